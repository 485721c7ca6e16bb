"""Opening the official archives."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import DataError


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """An opened zip file; DataError if it is missing or not a zip file."""
    try:
        file = zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise DataError(
            f"archive {path} does not exist: fetch it with python -m data.fetch {path}.dvc"
        ) from error
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(
            f"archive {path} is truncated or not a zip file ({error}): delete it and fetch it again"
        ) from error
    with file:
        yield file
