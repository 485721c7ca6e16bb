"""The folder of a run: its files, and the lock by which one process at a time writes them."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RUN_FILES = ("run.yaml", "metrics.parquet", "timing.parquet", "summary.json")
"""What a finished run has: its settings, what was measured, how long it took, and how it came out."""


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
