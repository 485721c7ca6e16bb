"""Upstream's pickles, read by an unpickler that makes containers, numbers and arrays, and calls nothing else.

motion_run.pkl: (bones, trials), trials a list of arrays (frames, 31, 3). split*.pkl: (train, validation, test),
each a dict from case to start frames.
"""

from pathlib import Path
from typing import Any

import numpy as np

from data.errors import DataError
from data.mocap.skeleton import JOINTS, PARENTS
from data.pickles import ARRAYS, RefusedError, load_restricted


def _load(path: Path) -> Any:
    if not path.exists():
        raise DataError(f"pickle {path} does not exist: fetch it with python -m data.fetch {path}.dvc")
    try:
        with path.open("rb") as file:
            return load_restricted(file, ARRAYS)
    except RefusedError as error:
        raise DataError(
            f"pickle {path} holds {error}, and only containers and arrays of numbers are read: it is not upstream's"
        ) from error
    except Exception as error:  # damaged bytes make pickle and numpy raise a dozen kinds of exception
        raise DataError(f"pickle {path} is truncated or not a pickle ({error}): fetch it again") from error


def read_positions(path: Path) -> list[np.ndarray]:
    """The trials of a converted motion, by case: arrays (frames, 31, 3) f8."""
    content = _load(path)
    if not isinstance(content, tuple) or len(content) != 2 or not all(isinstance(c, list) for c in content):
        raise DataError(f"pickle {path} is not upstream's pair of bones and trials")
    bones, trials = content
    expected = [[child, int(parent)] for child, parent in enumerate(PARENTS[1:], 1)]
    if not all(_is_pair(bone) for bone in bones) or sorted(list(bone) for bone in bones) != expected:
        raise DataError(f"pickle {path} has {len(bones)} bones that are not those of the 31 joints")
    for case, trial in enumerate(trials):
        if not isinstance(trial, np.ndarray) or trial.ndim != 3 or trial.shape[1:] != (len(JOINTS), 3):
            shape = trial.shape if isinstance(trial, np.ndarray) else type(trial).__name__
            raise DataError(
                f"pickle {path}: case {case} is {shape}, not positions of {len(JOINTS)} joints, (frames, 31, 3)"
            )
        if not len(trial):
            raise DataError(f"pickle {path}: case {case} has no frames")
        if not np.isfinite(trial).all():
            raise DataError(f"pickle {path}: case {case} has a position that is not a number")
    return [np.asarray(trial, dtype=np.float64) for trial in trials]


def _is_pair(bone: Any) -> bool:
    return isinstance(bone, list | tuple) and len(bone) == 2 and all(isinstance(end, int) for end in bone)


def read_split(path: Path) -> dict[str, dict[int, np.ndarray]]:
    """Start frames (n,) i8 of every case, by split ("train", "validation", "test"), cases in upstream's order."""
    content = _load(path)
    if not isinstance(content, tuple) or len(content) != 3:
        raise DataError(f"pickle {path} is not upstream's triple of train, validation and test cases")
    splits = {}
    for name, cases in zip(("train", "validation", "test"), content, strict=True):
        if not isinstance(cases, dict) or not cases:
            raise DataError(f"pickle {path}: the {name} split is not a mapping of cases to start frames")
        for case, starts in cases.items():
            whole = isinstance(starts, np.ndarray) and starts.ndim == 1 and starts.dtype.kind in "iu"
            if not isinstance(case, int) or not whole or (starts < 0).any():
                raise DataError(
                    f"pickle {path}: case {case!r} of the {name} split has no list of start frames"
                )
        splits[name] = {case: np.array(starts, dtype=np.int64) for case, starts in cases.items()}
    return splits
