"""A prepared store: one HDF5 file of contiguous arrays, read through memory maps. Training imports this."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from data.errors import DataError


class MappedStore(ABC):
    """Opens a store and checks its format; a subclass reads the contents in `_read`. Pickles as its path."""

    FORMAT: str
    PREPARED_BY: str  # the module that writes such stores

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self._open()

    @abstractmethod
    def _read(self, file: h5py.File) -> None:
        """Sets the contents of the store as attributes."""

    def _open(self) -> None:
        if not self.path.exists():
            raise DataError(f"store {self.path} does not exist: prepare it with python -m {self.PREPARED_BY}")
        try:
            with h5py.File(self.path, "r") as file:
                if file.attrs.get("format") != self.FORMAT:
                    raise DataError(
                        f"store {self.path} is not of format {self.FORMAT}: delete it and prepare it again"
                    )
                self._read(file)
        except DataError:
            raise
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise DataError(
                f"store {self.path} cannot be read ({error}): delete it and prepare it again"
            ) from error

    def _map(self, dataset: h5py.Dataset) -> np.ndarray:
        if dataset.size == 0:
            return np.zeros(dataset.shape, dataset.dtype)
        start = dataset.id.get_offset()
        if dataset.chunks is not None or start is None:
            raise DataError(f"store {self.path}: {dataset.name} is not contiguous: prepare the store again")
        return np.memmap(self.path, dataset.dtype, "r", start, dataset.shape)

    def __getstate__(self) -> dict:
        return {"path": self.path}

    def __setstate__(self, state: dict) -> None:
        self.path = state["path"]
        self._open()


class RaggedStore(MappedStore):
    """A store of C records of different lengths, whose rows lie one record after the other.

    A subclass reads offsets (C + 1,) of the rows and split (C,), codes that index its SPLITS; the file lists `names`.
    """

    SPLITS: tuple[str, ...]
    offsets: np.ndarray
    split: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> np.ndarray:
        """(C,) rows of each record."""
        return np.diff(self.offsets)

    @property
    def names(self) -> list[str]:
        """The names that the file lists."""
        with h5py.File(self.path, "r") as file:
            return [name.decode() for name in file["names"][:]]

    def split_indices(self, split: str) -> np.ndarray:
        """Indices of the records of a split, by its name, in file order."""
        return np.flatnonzero(self.split == self.SPLITS.index(split))

    def rows(self, indices: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All rows of the records `indices` (B,), in that order, and how many each has; repeats are allowed."""
        indices = np.asarray(indices, dtype=np.int64)
        starts = self.offsets[indices]
        counts = self.offsets[indices + 1] - starts
        return ragged_rows(starts, counts), counts


def ragged_rows(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Concatenation of the ranges starts[b] ... starts[b] + counts[b] - 1."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - counts), counts)
