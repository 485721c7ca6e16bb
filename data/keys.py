"""The keys of a `data.<dataset>` block of a tier."""

import dataclasses

from data.errors import DataError


def check_keys(values: dict, kind: type, where: str) -> None:
    """Raises DataError for a key of `values`, found at `where`, that the dataclass `kind` does not have."""
    names = [field.name for field in dataclasses.fields(kind)]
    for key in values:
        if key not in names:
            raise DataError(f"{where} has no key '{key}': it has {', '.join(names)}")
