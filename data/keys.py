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
    """The `files` of a block, each as an instance of the dataclass `kind`; DataError for one without a name."""
    files = values.get("files") or []
    if not isinstance(files, list | tuple):
        raise DataError(f"{where}.files is {files!r}, not a list of files")
    for file in files:
        if not isinstance(file, dict):
            raise DataError(f"{where}.files lists {file!r}, not a mapping with the file's name")
        check_keys(file, kind, f"{where}.files")
        if not isinstance(file.get("name"), str):
            raise DataError(f"{where}.files lists a file without a name: {file!r}")
    return tuple(kind(**file) for file in files)


def is_whole(value: Any, least: int) -> bool:
    """Whether a value of a block is a whole number (true and false are none) of at least `least`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
