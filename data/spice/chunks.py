"""Long labelling in chunks, each a SPICE file once finished: a job that was killed goes on where it was."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from data.processes import map_in_processes
from data.spice.label import LEVEL, Labelled
from data.spice.raw import write_spice

MOLECULES_PER_CHUNK = 16

Task = TypeVar("Task")


def labelled_chunks(
    tasks: Sequence[Task],
    function: Callable[[Task], Labelled],
    folder: Path,
    key: dict,
    workers: int | None,
    on_done: Callable[[Task, bool], None],
) -> list[Path]:
    """`function` of every task, in SPICE files of 16 molecules each, in order.

    folder: where they are kept. Chunks found there are not made again if they were made under the same `key` (all
    that the labels depend on); a folder with another key is emptied. on_done: told each task that is done, and
    whether it was made now rather than found.
    """
    _claim(folder, key)
    chunks = [
        tasks[first : first + MOLECULES_PER_CHUNK] for first in range(0, len(tasks), MOLECULES_PER_CHUNK)
    ]
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
        molecules = []
        for task in chunk:
            molecules.append(next(results))
            on_done(task, True)
        write_spice(path, molecules, LEVEL)
    results.close()
    return paths


def _claim(folder: Path, key: dict) -> None:
    text = json.dumps(key, sort_keys=True)
    mark = folder / "key.json"
    if mark.exists() and mark.read_text() == text:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    mark.write_text(text)
