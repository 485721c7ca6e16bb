"""The packed store of simulated trajectories: one memory-mapped file.

One HDF5 file of contiguous, uncompressed arrays. With C trajectories of n particles and F stored frames:

    position (C, F, n, 3) f8      velocity (C, F, n, 3) f8      charges (C, n) f8
    frames (F,) i8, their numbers      split (C,) u1 (0 train, 1 test, 2 validation)

and the attributes format, source, dataset (for captions), config and digest. Trajectories of a split follow each
other in the order of the random stream; the velocity of a frame is the one that has just moved the particles.
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

FORMAT = "nbody-store-1"
FILE_ORDER = ("train", "test", "validation")  # the number of a split in the file is its place here


@dataclass(frozen=True)
class Trajectories:
    """B trajectories of n particles at F frames."""

    position: np.ndarray  # (B, F, n, 3) f4
    velocity: np.ndarray  # (B, F, n, 3) f4
    charges: np.ndarray  # (B, n) f4

    def __len__(self) -> int:
        return len(self.charges)


class NBodyStore(MappedStore):
    """Random access to a store by trajectory. Pickles as its path, for data-loader workers.

    Attributes read from the file: source, dataset, config, digest (of the content), frames (stored, ascending)
    and split (C,).
    """

    FORMAT = FORMAT
    PREPARED_BY = "data.nbody.prepare"

    def _read(self, file: h5py.File) -> None:
        for name in ("source", "dataset", "digest"):
            setattr(self, name, str(file.attrs[name]))
        self.config = json.loads(file.attrs["config"])
        self.frames = tuple(file["frames"][:].tolist())
        self.split = file["split"][:]
        self._position, self._velocity, self._charges = (
            self._map(file[name]) for name in ("position", "velocity", "charges")
        )

    def __len__(self) -> int:
        return len(self.split)

    @property
    def particles(self) -> int:
        return self._charges.shape[1]

    def split_indices(self, split: str) -> np.ndarray:
        """Indices of the "train", "test" or "validation" trajectories, in file order."""
        return np.flatnonzero(self.split == FILE_ORDER.index(split))

    def read(self, indices: Sequence[int] | np.ndarray, frames: Sequence[int] | None = None) -> Trajectories:
        """The trajectories at `indices` (B,), in that order, at the frames of these numbers (all without them)."""
        frames = self.frames if frames is None else frames
        for frame in frames:
            if frame not in self.frames:
                raise DataError(
                    f"store {self.path} has the frames {', '.join(map(str, self.frames))} and not {frame}: "
                    "prepare it with that one in data.nbody.frames"
                )
        columns = [self.frames.index(frame) for frame in frames]
        indices = np.asarray(indices, dtype=np.int64)
        position, velocity = (
            a[indices[:, None], columns].astype(np.float32) for a in (self._position, self._velocity)
        )
        return Trajectories(position, velocity, self._charges[indices].astype(np.float32))


def write_store(
    path: str | os.PathLike,
    splits: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    frames: Sequence[int],
    *,
    source: str,
    dataset: str,
    config: dict,
) -> str:
    """Writes a store of {split: (position, velocity, charges)} with arrays as in the file; returns its digest.

    The file appears under `path` only when complete. An empty split is a DataError.
    """
    path = Path(path)
    for name in FILE_ORDER:
        if not len(splits[name][0]):
            raise DataError(f"store {path}: there is no trajectory for the {name} split")
    position, velocity, charges = (
        np.concatenate([splits[name][k] for name in FILE_ORDER]).astype("<f8") for k in range(3)
    )
    arrays = {
        "position": position,
        "velocity": velocity,
        "charges": charges,
        "frames": np.array(frames, "<i8"),
        "split": np.repeat(np.arange(3, dtype=np.uint8), [len(splits[name][0]) for name in FILE_ORDER]),
    }
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays.values():
        digest.update(np.ascontiguousarray(array))
    with (
        replacing(path) as temporary,
        h5py.File(temporary, "w", alignment_threshold=1, alignment_interval=64) as file,
    ):
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
        file.attrs["format"] = FORMAT
        file.attrs["digest"] = digest.hexdigest()
        file.attrs["source"] = source
        file.attrs["dataset"] = dataset
        file.attrs["config"] = json.dumps(config, sort_keys=True)
    return digest.hexdigest()
