"""What a configuration may say: its JSON schema, and a violation of it as a sentence."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from models.sources import ROOT
from workflow.configuration import ConfigError, is_number, read


@cache
def schema(root: Path = ROOT) -> dict:
    """The JSON schema of every file: $defs.runs_file, tier_file and tier_runs, in which "settings" are left open."""
    return read(root / "config" / "schema.yaml")


def schema_of(system: object, dataset: object, source: str, root: Path = ROOT) -> dict:
    """The same, in which $defs.settings are those of a system's runs on a data set.

    source: the file that names the system, for the sentence about one that is unknown.
    """
    whole = schema(root)
    definitions = whole["$defs"]
    if f"{system}" not in definitions:
        known = [name for name, part in definitions.items() if "trainer" in part.get("properties", {})]
        raise ConfigError(
            f"{source}: `system` is {system!r}, which config/schema.yaml does not know{hint(system, known)}"
        )
    settings = definitions[system]
    if f"{dataset}_batches" in definitions:  # a system that learns several data sets leaves `data` open
        batches = {"data": {"$ref": f"#/$defs/{dataset}_batches"}}
        settings = {**settings, "properties": {**batches, **settings["properties"]}}
    return {**whole, "$defs": {**definitions, "settings": settings}}


def check(value: Mapping, within: Mapping, definition: str, source: str) -> None:
    """Raises ConfigError, in a sentence that begins with `source`, unless $defs.<definition> admits the value."""
    validator = Draft202012Validator({**within, "$ref": f"#/$defs/{definition}"})
    error = best_match(validator.iter_errors(value))
    if error:
        raise ConfigError(f"{source}: {_sentence(error)}")


def missing(settings: Mapping, within: Mapping) -> Iterator[str]:
    """Keys of $defs.settings that the settings of a run do not give."""
    yield from _missing(within["$defs"]["settings"], settings, within)


def _sentence(error: ValidationError) -> str:
    """A schema violation as a person would say it."""
    where = ".".join(str(part) for part in error.absolute_path)
    rule, wanted, value = error.validator, error.validator_value, error.instance
    if rule == "additionalProperties" and wanted is False:
        known = error.schema.get("properties", {})
        key = next(key for key in value if key not in known)
        return f"{where + '.' if where else ''}{key} is not a known key{hint(key, known)}"
    if rule == "required":
        key = next(key for key in wanted if key not in value)
        return f"{where + '.' if where else ''}{key} is missing."
    if rule == "type":
        kinds = " or ".join([wanted] if isinstance(wanted, str) else wanted)
        text = isinstance(value, str) and is_number(value)
        remark = " (YAML reads 1e3 as text, 1.0e+3 as a number)" if text else ""
        return f"{where or 'the whole'} must be of type {kinds}, not {value!r}{remark}."
    if rule == "enum":
        return f"{where} must be one of {', '.join(map(str, wanted))}, not {value!r}."
    return f"{where}: {error.message}."


def _missing(definition: Mapping, value: Mapping, schema: Mapping, prefix: str = "") -> Iterator[str]:
    """Keys of the schema that a resolved run lacks."""
    if "$ref" in definition:
        definition = schema["$defs"][definition["$ref"].rsplit("/", 1)[1]]
    for key, part in definition.get("properties", {}).items():
        if key not in value:
            yield f"{prefix}{key}"
        elif isinstance(value[key], Mapping):
            yield from _missing(part, value[key], schema, f"{prefix}{key}.")


def hint(word: object, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: the nearest known one, or all."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    if close:
        return f": did you mean {close[0]}?"
    return f" (known: {', '.join(known)})."
