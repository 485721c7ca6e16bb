"""Values from YAML held against a class of settings, and what is wrong with them in one sentence."""

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from pydantic import TypeAdapter
from pydantic import ValidationError as Refused

from data.errors import DataError
from data.settings import defaults, merge, schema

Settings = TypeVar("Settings")


class SettingsError(DataError):
    """Settings that cannot be used: one sentence for a person."""


def read(kind: type[Settings], values: Any, where: str) -> Settings:
    """Settings of a class from what YAML gives; what it leaves out is as `defaults` says.

    where: the file or key that they come from, to begin a sentence with. Raises SettingsError at the first key, type or
    bound that cannot be right, or where fields do not go together.
    """
    check(values, schema(kind), where)
    try:
        return TypeAdapter(kind).validate_python(merge(defaults(kind), values))
    except Refused as error:
        first = error.errors(include_url=False)[0]
        reason = first.get("ctx", {}).get("error", first["msg"])
        path = "".join(f".{part}" for part in first["loc"])
        raise SettingsError(f"{where}{path}: {reason}") from error


def check(value: Any, allowed: Mapping[str, Any], where: str) -> None:
    """Raises SettingsError unless the value is what a JSON schema allows."""
    error = best_match(Draft202012Validator(allowed).iter_errors(value))
    if error:
        raise SettingsError(f"{where}: {sentence(error)}")


def sentence(error: ValidationError) -> str:
    """A violation of a schema as a person would say it."""
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
        about = " (YAML reads 1e3 as text, 1.0e+3 as a number)" if text else ""
        return f"{where or 'the whole'} must be of type {kinds}, not {value!r}{about}."
    if rule == "enum":
        return f"{where} must be one of {', '.join(map(str, wanted))}, not {value!r}."
    return f"{where}: {error.message}."


def hint(word: object, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: what was probably meant, else all that is known."""
    known = list(known)
    close = difflib.get_close_matches(str(word), known, n=1)
    return f": did you mean {close[0]}?" if close else f" (known: {', '.join(known)})."


def is_number(text: str) -> bool:
    """Whether a text reads as a finite number, e.g. "3e-3"."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
