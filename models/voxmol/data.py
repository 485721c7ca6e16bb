"""Batches of conformers for VoxMol, as atoms: they become densities on the device that trains (spec voxmol.md 2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data.geom_drugs.store import Conformers, Ensembles
from models.training.batch import TensorBatch, batch_loader
from models.training.datamodule import StepData
from models.training.sampling import StepBatches, nested_subset
from models.voxmol.voxels import ATOMIC_NUMBERS, PADDING

_AT_A_TIME = 65536  # conformers whose coordinates are in memory while they are measured


@dataclass(frozen=True)
class AtomBatch(TensorBatch):
    """B conformers, padded to N atoms.

    coordinates: (B, N, 3) [Angstrom]. channels: (B, N), PADDING at padding. conformers: (B,) their numbers.
    """

    coordinates: Tensor
    channels: Tensor
    conformers: Tensor

    def __len__(self) -> int:
        return len(self.channels)


def padded(raw: Conformers, conformers: Sequence[int]) -> AtomBatch:
    """Conformers of elements that have a channel, as one batch."""
    B, N = len(raw), int(raw.counts.max())
    real = np.arange(N) < raw.counts[:, None]
    coordinates = np.zeros((B, N, 3), np.float32)
    channels = np.full((B, N), PADDING, np.int64)
    coordinates[real], channels[real] = raw.positions, _CHANNEL_OF[raw.atomic_numbers]
    return AtomBatch(
        torch.from_numpy(coordinates), torch.from_numpy(channels), torch.as_tensor(np.asarray(conformers))
    )


_CHANNEL_OF = np.full(256, PADDING)
_CHANNEL_OF[list(ATOMIC_NUMBERS)] = np.arange(len(ATOMIC_NUMBERS))


class _StoreBatches(Dataset):
    """A data set that is asked for whole batches, so that a batch is one read of the store."""

    def __init__(self, store: Ensembles, conformers: np.ndarray):
        self.store, self.conformers = store, conformers

    def __len__(self) -> int:
        return len(self.conformers)

    def __getitems__(self, rows: list[int]) -> AtomBatch:
        chosen = self.conformers[rows]
        return padded(self.store.read(chosen), chosen)


class GeomDrugsData(StepData):
    """Training batches by step, and the fixed validation conformers that are twirled.

    store: file made by data.geom_drugs.prepare; molecules with elements that have no channel are left out and counted.
    batch_size: conformers per step over all processes; what does not fill a batch waits for the next epoch.
    conformers_per_molecule: those of largest weight. train_fraction: of the training conformers, a nested random
    subset, drawn by train_size_seed. largest_radius: conformers with an atom farther than this from the mean of their
    atoms are left out and counted [Angstrom]; None keeps them, cut off where they leave the grid. monitor_molecules:
    the first so many of the validation split are the monitor's, one conformer of each, in four batches.
    workers: processes that read ahead; 0 reads in the training process. seed, steps: the run's.
    """

    def __init__(
        self,
        store: str,
        batch_size: int,
        seed: int,
        steps: int,
        conformers_per_molecule: int = 5,
        train_fraction: float = 1.0,
        train_size_seed: int = 0,
        largest_radius: float | None = None,
        monitor_molecules: int = 64,
        workers: int = 0,
    ):
        super().__init__(batch_size, seed, steps, drop_last=True)
        self.store = Ensembles(Path(store))
        self.largest_radius, self.workers = largest_radius, workers
        self.left_out = {"element": 0, "radius": 0}
        everything = self._usable("train", conformers_per_molecule)
        size = max(1, round(train_fraction * len(everything)))
        self.train_conformers = nested_subset(everything, size, train_size_seed)
        self.held_out = self._usable("validation", 1)
        if not len(self.held_out):
            raise ValueError(
                f"store {store}: no molecule of the validation split can be used: prepare it with more molecules, "
                "or raise largest_radius"
            )
        self.monitor_conformers = self.held_out[:monitor_molecules]

    @property
    def examples(self) -> int:
        return len(self.train_conformers)

    def load(self, batches: StepBatches, rank: int) -> DataLoader:
        return batch_loader(_StoreBatches(self.store, self.train_conformers), batches, self.workers)

    def monitor_dataloader(self) -> list[AtomBatch]:
        """The monitor's molecules in four batches (fewer where there are less than four)."""
        parts = min(4, len(self.monitor_conformers))
        return [self._batch(part) for part in np.array_split(self.monitor_conformers, parts)]

    def validation_batches(self, molecules: int, batch_size: int) -> list[AtomBatch]:
        """One conformer of each of the first so many validation molecules."""
        chosen = self.held_out[:molecules]
        return [self._batch(chosen[k : k + batch_size]) for k in range(0, len(chosen), batch_size)]

    def describe(self, batch: AtomBatch) -> str:
        """Names the records of a batch, for error messages."""
        return f"conformers {batch.conformers.tolist()} of {self.store.path}"

    def provenance(self) -> dict[str, object]:
        """What the numbers of a run rest on, for its summary."""
        return {
            "dataset": self.store.dataset,
            "source": self.store.source,
            "digest": self.store.digest,
            "train_conformers": len(self.train_conformers),
            "monitor_molecules": len(self.monitor_conformers),
            "left_out": self.left_out,
        }

    def _batch(self, conformers: np.ndarray) -> AtomBatch:
        return padded(self.store.read(conformers), conformers)

    def _usable(self, split: str, per_molecule: int) -> np.ndarray:
        """The split's conformers that are not left out."""
        store = self.store
        conformers = store.split_conformers(split, per_molecule)
        foreign = _CHANNEL_OF[store.atomic_numbers] == PADDING
        foreign_atoms = np.concatenate([[0], np.cumsum(foreign)])[store.atom_offsets]
        known = np.diff(foreign_atoms)[store.molecule[conformers]] == 0
        self.left_out["element"] += int((~known).sum())
        conformers = conformers[known]
        if self.largest_radius is None:
            return conformers
        near = np.concatenate(
            [np.zeros(0, bool)]
            + [
                _radii(store.read(conformers[k : k + _AT_A_TIME])) <= self.largest_radius
                for k in range(0, len(conformers), _AT_A_TIME)
            ]
        )
        self.left_out["radius"] += int((~near).sum())
        return conformers[near]


def _radii(raw: Conformers) -> np.ndarray:
    """(B,) the largest distance of an atom from the mean of its conformer's atoms [Angstrom]."""
    starts = np.cumsum(raw.counts) - raw.counts
    means = np.add.reduceat(raw.positions, starts) / raw.counts[:, None]
    distances = np.linalg.norm(raw.positions - np.repeat(means, raw.counts, axis=0), axis=1)
    return np.maximum.reduceat(distances, starts)
