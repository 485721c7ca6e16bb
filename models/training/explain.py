"""The help text of a run's configuration: every key with its type, its default and its sentence."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from data.settings import schema
from models.training.configuration import SECTIONS, class_paths, schema_of
from models.training.settings import RunIdentity


def explanation(config: Mapping[str, Any]) -> str:
    """The help text of a configuration's keys; those of model and data only if it names their classes."""
    parts = {"run": schema(RunIdentity)}
    if config:
        parts |= schema_of(*class_paths(config, "the configuration"))["properties"]
    else:
        parts |= {name: schema(kind) for name, kind in SECTIONS.items()}
    return "\n".join(_lines("", {"properties": parts}))


def _lines(prefix: str, node: Mapping[str, Any]) -> Iterator[str]:
    for name, part in node.get("properties", {}).items():
        key = f"{prefix}{name}"
        if part.get("properties"):
            yield from _lines(f"{key}.", part)
            continue
        kind = part.get("enum") or part.get("type", "anything")
        kinds = " or ".join(map(str, kind)) if isinstance(kind, list) else kind
        default = f", default {part['default']}" if "default" in part else ""
        yield f"--{key} ({kinds}{default})"
        yield textwrap.indent(textwrap.fill(part.get("description", ""), 100), "    ")
