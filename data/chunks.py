"""Long work in chunks, each of which becomes a file: a job that was killed resumes after the last one."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from data.files import write_text
from data.processes import map_in_processes

TASKS_PER_CHUNK = 16

Task = TypeVar("Task")
Result = TypeVar("Result")


def finished_chunks(
    tasks: Sequence[Task],
    function: Callable[[Task], Result],
    write: Callable[[Path, Sequence[Result]], object],
    folder: Path,
    key: dict,
    workers: int | None,
    on_done: Callable[[Task, bool], None],
) -> list[Path]:
    """`function` of every task, in HDF5 files of 16 results each, in order, as `write` writes them.

    write: gives a file its name only when the file is complete. folder: holds the files. Chunks that are in it are not
    made again if they were made under the same `key` (everything that the results depend on); a folder with another
    key is emptied. on_done: is called with each finished task, and with whether it was computed in this call.
    """
    claim(folder, key)
    chunks = [tasks[first : first + TASKS_PER_CHUNK] for first in range(0, len(tasks), TASKS_PER_CHUNK)]
    paths = [folder / f"chunk-{k:05d}.hdf5" for k in range(len(chunks))]
    missing = []
    for path, chunk in zip(paths, chunks, strict=True):
        if path.exists():
            for task in chunk:
                on_done(task, False)
        else:
            missing.append((path, chunk))
    if not missing:
        return paths
    results = map_in_processes(function, (task for _, chunk in missing for task in chunk), workers)
    for path, chunk in missing:
        done = []
        for task in chunk:
            done.append(next(results))
            on_done(task, True)
        write(path, done)
    results.close()
    return paths


def claim(folder: Path, key: dict) -> None:
    """Makes `folder` the place for work under `key`, everything that the work depends on; deletes other work in it."""
    text = json.dumps(key, sort_keys=True)
    mark = folder / "key.json"
    if mark.exists() and mark.read_text() == text:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_text(mark, text)
