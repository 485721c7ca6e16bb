"""Settings said once: typed, documented classes, and the schema and the defaults that follow from them.

A class of settings states of every field its type, its bounds and what it means:

    @settings
    class Optimizer:
        \"\"\"Adam.\"\"\"

        lr: PositiveFloat = 1e-3
        \"\"\"Learning rate.\"\"\"

Fields are given by name, and a wrong one is refused when the object is made. Modules of settings import nothing
heavy (no torch, numpy or h5py), so that a plan is checked in an instant.
"""

import dataclasses
import importlib
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, NonNegativeInt, TypeAdapter
from pydantic.dataclasses import dataclass

Class = TypeVar("Class", bound=type)

Seed = NonNegativeInt
Count = NonNegativeInt
Probability = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0, lt=1)]  # of something, never all of it


@dataclass_transform(frozen_default=True, kw_only_default=True)
def settings(kind: Class) -> Class:
    """Makes a class of settings: a frozen dataclass that checks types and bounds and knows no other fields.

    The string below a field is its description.
    """
    config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
    made = dataclass(frozen=True, kw_only=True, config=config)(kind)
    # pydantic reads these strings in `kind` itself, not in what derives from it: there they come with the type.
    for field in dataclasses.fields(made):
        about = made.__pydantic_fields__[field.name].description
        field.type = Annotated[field.type, Field(description=about)] if about else field.type
    return made


def of_dataset(dataset: str) -> type:
    """The settings of a data set's preparation: of geom_drugs the class data.geom_drugs.settings.GeomDrugsSettings."""
    name = "".join(word.capitalize() for word in dataset.split("_")) + "Settings"
    return getattr(importlib.import_module(f"data.{dataset}.settings"), name)


@cache
def schema(kind: type, partial: bool = False) -> dict[str, Any]:
    """The JSON schema of a class of settings, without references, so that every part stands for itself.

    partial: nothing is required, for layers that say only some of the fields. Not to be changed by callers.
    """
    full = TypeAdapter(kind).json_schema()
    return _plain(full, full.get("$defs", {}), partial)


def defaults(kind: type) -> dict[str, Any]:
    """The default of every field that has one, as YAML would give it."""
    missing = dataclasses.MISSING
    given = {}
    for field in dataclasses.fields(kind):
        if field.default is not missing:
            given[field.name] = plain(field.default)
        elif field.default_factory is not missing:
            given[field.name] = plain(field.default_factory())
    return given


def plain(value: Any) -> Any:
    """Settings as YAML gives them: dictionaries and lists."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


def merge(*layers: Mapping) -> dict[str, Any]:
    """Later layers over earlier ones: mappings key by key, anything else replaced whole."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = merged.get(key)
            both = isinstance(value, Mapping) and isinstance(old, Mapping)
            merged[key] = merge(old, value) if both else merge(value) if isinstance(value, Mapping) else value
    return merged


def _plain(node: dict[str, Any], definitions: dict[str, Any], partial: bool) -> dict[str, Any]:
    """One part of a schema of pydantic's: references replaced, alternatives of different types merged into one."""
    node = {key: value for key, value in node.items() if key not in ("title", "$defs")}
    if "$ref" in node:
        node = definitions[node.pop("$ref").rsplit("/", 1)[1]] | node
        return _plain(node, definitions, partial)
    if "anyOf" in node:
        parts = [_plain(part, definitions, partial) for part in node.pop("anyOf")]
        return _merged(parts) | node
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if node.get("type") == "integer" and "exclusiveMinimum" in node:
        node["minimum"] = node.pop("exclusiveMinimum") + 1  # "the minimum of 1" is plainer than "more than 0"
    if partial:
        node.pop("required", None)
    if "properties" in node:
        node["properties"] = {
            name: _plain(part, definitions, partial) for name, part in node["properties"].items()
        }
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            node[key] = _plain(node[key], definitions, partial)
    if "prefixItems" in node:
        node["prefixItems"] = [_plain(part, definitions, partial) for part in node["prefixItems"]]
    return node


def _merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Alternatives as one part, whose keywords each concern one type: a number or null, one integer or a list.

    Errors then name all types that are admitted, not what is wrong with each alternative.
    """
    merged: dict[str, Any] = {"type": []}
    for part in parts:
        kinds = part["type"] if isinstance(part["type"], list) else [part["type"]]
        merged["type"] += kinds
        merged |= {key: value for key, value in part.items() if key not in ("type", "default")}
    if "enum" in merged and "null" in merged["type"]:
        merged["enum"] = [*merged["enum"], None]
    return merged
