"""GEOM's archives, read as a stream."""

import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import DataError


@contextmanager
def opened_archive(path: Path) -> Iterator[tarfile.TarFile]:
    """A .tar.gz, to be read once. DataError, also while reading, if it is absent, cut, or something else."""
    if not path.exists():
        raise DataError(f"archive {path} does not exist: fetch it with python -m data.fetch {path}.dvc")
    try:
        with tarfile.open(path, "r|gz") as tar:
            yield tar
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(
            f"archive {path} is truncated or not a tar.gz file ({error}): delete it and fetch it again"
        ) from error
