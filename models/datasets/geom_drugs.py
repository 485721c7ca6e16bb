"""Batches of conformers as atoms, which the task turns into densities on the training device (spec voxmol.md 2)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data.geom_drugs.channels import ATOMIC_NUMBERS
from data.geom_drugs.settings import GeomDrugsDataSettings
from data.geom_drugs.store import Conformers, Ensembles
from models.training.batch import TensorBatch, batch_loader
from models.training.datamodule import StepData
from models.training.sampling import StepBatches, nested_subset

PADDING = -1  # the channel of padding


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
    """Conformers as one batch. Atoms of elements without a channel become padding; callers omit such conformers."""
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
    """A data set that returns whole batches, so that a batch is one read of the store."""

    def __init__(self, store: Ensembles, conformers: np.ndarray):
        self.store, self.conformers = store, conformers

    def __len__(self) -> int:
        return len(self.conformers)

    def __getitems__(self, rows: list[int]) -> AtomBatch:
        chosen = self.conformers[rows]
        return padded(self.store.read(chosen), chosen)


class GeomDrugsData(StepData):
    """Training batches by step, and the monitor's fixed validation conformers. seed, steps: of the run."""

    def __init__(self, settings: GeomDrugsDataSettings, seed: int, steps: int):
        super().__init__(settings.batch_size, seed, steps, drop_last=True)
        self.store = Ensembles(Path(settings.store))
        self.elements, self.workers = settings.elements, settings.workers
        self.left_out_molecules = self.left_out_conformers = 0
        everything = self._usable("train", settings.conformers_per_molecule)
        size = max(1, round(settings.train_fraction * len(everything)))
        self.train_conformers = nested_subset(everything, size, settings.train_size_seed)
        self.held_out = self._usable("validation", 1)
        self.monitor_conformers = self.held_out[: settings.monitor_molecules]

    @property
    def examples(self) -> int:
        return len(self.train_conformers)

    def load(self, batches: StepBatches, rank: int) -> DataLoader:
        return batch_loader(_StoreBatches(self.store, self.train_conformers), batches, self.workers)

    def monitor_dataloader(self) -> list[AtomBatch]:
        """The monitor's molecules in four batches (fewer if there are fewer than four molecules)."""
        parts = min(4, len(self.monitor_conformers))
        return [self._batch(part) for part in np.array_split(self.monitor_conformers, parts)]

    def validation_batches(
        self, molecules: int | None = None, batch_size: int = 64, shuffle: int | None = None
    ) -> Iterator[AtomBatch]:
        """One conformer of each of the first `molecules` validation molecules (None: all).

        shuffle: seed of their order; None: the order of the store.
        """
        chosen = self.held_out[:molecules]
        if shuffle is not None:
            chosen = np.random.default_rng(shuffle).permutation(chosen)
        return (self._batch(chosen[k : k + batch_size]) for k in range(0, len(chosen), batch_size))

    def describe(self, batch: AtomBatch) -> str:
        """The records of a batch, for error messages."""
        return f"conformers {batch.conformers.tolist()} of {self.store.path}"

    def provenance(self) -> dict[str, object]:
        """The data on which a run's numbers depend, for its summary."""
        return {
            "dataset": self.store.dataset,
            "source": self.store.source,
            "digest": self.store.digest,
            "train_conformers": len(self.train_conformers),
            "monitor_molecules": len(self.monitor_conformers),
            "molecules_of_other_elements": self.left_out_molecules,
            "conformers_of_other_elements": self.left_out_conformers,
        }

    def _batch(self, conformers: np.ndarray) -> AtomBatch:
        return padded(self.store.read(conformers), conformers)

    def _usable(self, split: str, per_molecule: int) -> np.ndarray:
        """The split's conformers in which every atom has a channel."""
        store = self.store
        conformers = store.split_conformers(split, per_molecule)
        channels = _CHANNEL_OF[store.atomic_numbers]
        foreign = (channels == PADDING) | (channels >= self.elements)
        foreign_atoms = np.concatenate([[0], np.cumsum(foreign)])[store.atom_offsets]
        known = np.diff(foreign_atoms)[store.molecule[conformers]] == 0
        if not known.any():
            raise ValueError(
                f"store {store.path}: every molecule of the {split} split has an element without a channel: prepare it "
                "with more molecules or other fractions of them"
            )
        left_out = conformers[~known]
        self.left_out_molecules += len(np.unique(store.molecule[left_out]))
        self.left_out_conformers += len(left_out)
        return conformers[known]
