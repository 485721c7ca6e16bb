"""The packed store of motions: one memory-mapped file.

One HDF5 file of contiguous, uncompressed arrays. With F frames of 31 joints in R trials, and S samples:

    positions (F, 31, 3) f8 [ASF units], y up, 120 frames/s      trial_start (R + 1,) i8, first frame of each
    trial_motion (R,) u1      trial_case, trial_number, trial_offset (R,) i8      trial_source (R,) utf-8
    sample_motion (S,) u1     sample_split (S,) u1 (0 train, 1 validation, 2 test)
    sample_trial (S,) i8      sample_start (S,) i8, frame within the trial

and the attributes format, source, dataset (for captions), motions (names by number), caveats (by motion: a sentence
that belongs beside every number from it, or empty), predictors (by motion and split: errors without training),
config, digest. trial_offset: upstream's index of a trial's first stored frame. Samples are in upstream's order.
Training imports this module: numpy and h5py only.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from data.errors import DataError
from data.files import replacing
from data.mapped import MappedStore
from data.mocap.skeleton import JOINTS
from data.mocap.trials import SPLITS, WINDOW, Samples, Trial

FORMAT = "mocap-store-1"
HORIZON = 30  # frames from a sample's input to its last target


@dataclass(frozen=True)
class Windows:
    """B samples. x, v: (B, 31, 3) f4, positions [ASF units] and velocities [ASF units/frame] of the input frame.

    y: (B, T, 31, 3) f4, positions at the last T frames of the horizon.
    """

    x: np.ndarray
    v: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.x)


class MotionStore(MappedStore):
    """Random access to the samples of a store by number. Pickles as its path, for data-loader workers.

    Attributes read from the file: source, dataset, motions, caveats, predictors, config, digest.
    """

    FORMAT = FORMAT
    PREPARED_BY = "data.mocap.prepare"

    def _read(self, file: h5py.File) -> None:
        for name in ("source", "dataset", "digest"):
            setattr(self, name, str(file.attrs[name]))
        for name in ("motions", "caveats", "predictors", "config"):
            setattr(self, name, json.loads(file.attrs[name]))
        self._motion, self._split = file["sample_motion"][:], file["sample_split"][:]
        self.sample_trial, self.sample_start = file["sample_trial"][:], file["sample_start"][:]
        self.trial_start = file["trial_start"][:]
        self.trial_motion = file["trial_motion"][:]
        self.trial_case, self.trial_number = file["trial_case"][:], file["trial_number"][:]
        self.trial_offset = file["trial_offset"][:]
        self._positions = self._map(file["positions"])

    def __len__(self) -> int:
        return len(self.sample_start)

    def indices(self, motion: str, split: str) -> np.ndarray:
        """Numbers of the samples of one motion and split, in order; DataError if there are none."""
        if motion not in self.motions:
            raise DataError(
                f"store {self.path} has no motion '{motion}': it has {', '.join(self.motions)}; prepare it with "
                f"data.mocap.motions [{motion}]"
            )
        of_motion = self._motion == self.motions.index(motion)
        return np.flatnonzero(of_motion & (self._split == SPLITS.index(split)))

    def trial(self, row: int) -> np.ndarray:
        """Positions (frames, 31, 3) f8 of one trial."""
        return np.array(self._positions[self.trial_start[row] : self.trial_start[row + 1]])

    def read(self, indices: Sequence[int] | np.ndarray, steps: int = 5) -> Windows:
        """The samples at `indices` (B,), in that order, with `steps` target frames."""
        if not 1 <= steps <= HORIZON:
            raise DataError(f"a sample has 1 to {HORIZON} target frames, not {steps}")
        indices = np.asarray(indices, dtype=np.int64)
        first = self.trial_start[self.sample_trial[indices]] + self.sample_start[indices]
        x = self._positions[first]
        v = self._positions[first + 1] - x
        y = self._positions[first[:, None] + np.arange(HORIZON - steps + 1, HORIZON + 1)]
        return Windows(x.astype(np.float32), v.astype(np.float32), y.astype(np.float32))


def write_store(
    path: str | os.PathLike,
    motions: Mapping[str, tuple[Sequence[Trial], Mapping[str, Samples]]],
    *,
    source: str,
    dataset: str,
    caveats: Mapping[str, str],
    config: dict,
) -> None:
    """Writes the trials of every motion and the samples of its splits; the file appears when complete.

    DataError for trials that are not (frames, 31, 3) finite numbers or have no frame, and for samples outside their
    trial.
    """
    path = Path(path)
    trials = [(m, trial) for m, (of_motion, _) in enumerate(motions.values()) for trial in of_motion]
    for _, trial in trials:
        _check(trial)
    rows = {(m, trial.case): row for row, (m, trial) in enumerate(trials)}
    samples = [
        (m, SPLITS.index(split), *_locate(name, case, start, rows.get((m, case)), trials))
        for m, (name, (_, by_split)) in enumerate(motions.items())
        for split, chosen in by_split.items()
        for case, start in chosen.windows
    ]
    motion, split, row, start = (np.array(column, dtype=np.int64) for column in zip(*samples, strict=True))
    ends = np.cumsum([0, *(len(trial.positions) for _, trial in trials)]).astype("<i8")
    positions = np.concatenate([trial.positions for _, trial in trials]).astype("<f8")
    columns = {
        "trial_start": ends,
        "trial_motion": np.array([m for m, _ in trials], dtype=np.uint8),
        **{
            f"trial_{key}": np.array([getattr(trial, key) for _, trial in trials], dtype="<i8")
            for key in ("case", "number", "offset")
        },
        "sample_motion": motion.astype(np.uint8),
        "sample_split": split.astype(np.uint8),
        "sample_trial": row.astype("<i8"),
        "sample_start": start.astype("<i8"),
    }
    digest = hashlib.blake2b(json.dumps(list(motions)).encode(), digest_size=16)
    for column in (positions, *columns.values()):
        digest.update(np.ascontiguousarray(column))
    with replacing(path) as temporary:
        with h5py.File(temporary, "w", alignment_threshold=1, alignment_interval=64) as file:
            file.create_dataset("positions", data=positions)
            for name, column in columns.items():
                file.create_dataset(name, data=column)
            sources = [trial.source for _, trial in trials]
            file.create_dataset("trial_source", data=sources, dtype=h5py.string_dtype())
            file.attrs["format"] = FORMAT
            file.attrs["digest"] = digest.hexdigest()
            file.attrs["source"], file.attrs["dataset"] = source, dataset
            for name, value in {"motions": list(motions), "caveats": dict(caveats), "config": config}.items():
                file.attrs[name] = json.dumps(value)
            file.attrs["predictors"] = json.dumps({})
        _add_predictors(temporary)


def _check(trial: Trial) -> None:
    shape = trial.positions.shape
    if len(shape) != 3 or shape[1:] != (len(JOINTS), 3):
        raise DataError(f"trial {trial.source} has positions {shape}, not (frames, {len(JOINTS)}, 3)")
    if not shape[0]:
        raise DataError(f"trial {trial.source} has no frames")
    if not np.isfinite(trial.positions).all():
        raise DataError(f"trial {trial.source} has a position that is not a number")


def _locate(
    motion: str, case: int, start: int, row: int | None, trials: Sequence[tuple[int, Trial]]
) -> tuple[int, int]:
    """(row, frame within the trial) of a sample."""
    if row is None:
        raise DataError(f"motion {motion}: a sample asks for case {case}, which is absent")
    trial = trials[row][1]
    if not trial.has(start):
        raise DataError(
            f"motion {motion}: the sample of case {case} at {start} needs {WINDOW} frames, and trial {trial.source} "
            f"has {trial.offset} to {trial.offset + len(trial.positions) - 1}"
        )
    return row, start - trial.offset


def _add_predictors(path: Path) -> None:
    """Writes the errors of predictors without training into the store at `path`."""
    store = MotionStore(path)
    errors = {
        motion: {
            split: predictor_errors(store.read(store.indices(motion, split), 1))
            for split in SPLITS
            if len(store.indices(motion, split))
        }
        for motion in store.motions
    }
    with h5py.File(path, "r+") as file:
        file.attrs["predictors"] = json.dumps(errors)


def predictor_errors(windows: Windows) -> dict[str, float]:
    """Mean squared errors at the last frame [ASF units^2] of predictors that need no training.

    static: x. constant_velocity: x + 30 v. scaled_velocity: x + a v with the a that fits these samples best. scale:
    this a.
    """
    x, v, y = (a.astype(np.float64) for a in (windows.x, windows.v, windows.y[:, -1]))
    scale = float((v * (y - x)).sum() / (v * v).sum())
    return {
        "static": float(np.mean((y - x) ** 2)),
        "constant_velocity": float(np.mean((y - x - HORIZON * v) ** 2)),
        "scaled_velocity": float(np.mean((y - x - scale * v) ** 2)),
        "scale": scale,
    }
