"""Files of a run: complete or absent, and written by one process at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside `path`, renamed to it if the block succeeds and removed if not."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class FolderLockedError(RuntimeError):
    """Another process trains this run."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the exclusive lock of a run's folder; the operating system releases it if this process dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise FolderLockedError(
                f"{folder}: process {file.read().strip() or '(unknown)'} is training this run already; "
                "wait for it or stop it, then run again"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
