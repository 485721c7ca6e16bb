"""What all `data.<dataset>` blocks of a tier are held to."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from data.errors import DataError


def check_keys(values: dict, kind: type, where: str) -> None:
    """Raises DataError for a key of `values`, found at `where`, that the dataclass `kind` does not have."""
    names = [field.name for field in dataclasses.fields(kind)]
    for key in values:
        if key not in names:
            raise DataError(f"{where} has no key '{key}': it has {', '.join(names)}")


def checked_block(block: Any, kind: type, where: str, sources: Sequence[str] | None = None) -> dict[str, Any]:
    """A copy of the block, with keys of the dataclass `kind` and, where it has one, a known `source`."""
    if not isinstance(block, dict):
        raise DataError(f"{where} is not a mapping of keys to values: see config/schema.yaml")
    check_keys(block, kind, where)
    if sources is not None and block.get("source") not in sources:
        raise DataError(f"{where}.source is {block.get('source')!r}, not one of {', '.join(sources)}")
    return dict(block)


def raw_files(values: dict[str, Any], kind: type, where: str) -> tuple:
    """The `files` of a block, each as an instance of the dataclass `kind`."""
    files = values.get("files") or []
    for file in files:
        check_keys(file, kind, f"{where}.files")
    return tuple(kind(**file) for file in files)
