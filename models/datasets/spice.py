"""Batches of molecules, with targets in normalised units (spec escaip.md 2.3, 4, 5.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data.spice.settings import SpiceDataSettings
from data.spice.store import Conformations, ConformationStore
from models.training.batch import TensorBatch, batch_loader
from models.training.datamodule import StepData
from models.training.sampling import StepBatches, nested_subset


@dataclass(frozen=True)
class MoleculeBatch(TensorBatch):
    """B molecules of N atoms in all.

    positions: (N, 3) [Angstrom]. atomic_numbers, graph_index: (N,). energy: (B,), forces: (N, 3), both
    normalised. conformations: (B,) their numbers in the store.
    """

    positions: Tensor
    atomic_numbers: Tensor
    graph_index: Tensor
    energy: Tensor
    forces: Tensor
    conformations: Tensor

    @property
    def num_graphs(self) -> int:
        return len(self.energy)


@dataclass(frozen=True)
class Normaliser:
    """E' = (E - energy_mean) / energy_std [eV], F' = F / force_std [eV/Angstrom]."""

    energy_mean: float
    energy_std: float
    force_std: float

    def __call__(self, raw: Conformations, conformations: Sequence[int]) -> MoleculeBatch:
        counts = torch.from_numpy(raw.counts)
        return MoleculeBatch(
            positions=torch.from_numpy(raw.positions),
            atomic_numbers=torch.from_numpy(raw.atomic_numbers).long(),
            graph_index=torch.arange(len(counts)).repeat_interleave(counts),
            energy=torch.from_numpy((raw.energy - self.energy_mean) / self.energy_std).float(),
            forces=torch.from_numpy(raw.forces) / self.force_std,
            conformations=torch.as_tensor(conformations),
        )


def _normaliser(settings: SpiceDataSettings, store: ConformationStore) -> Normaliser:
    """The units in the settings, or else those of the store."""

    def unit(name: str) -> float:
        given = getattr(settings, name)
        return getattr(store, name) if given is None else given

    return Normaliser(unit("energy_mean"), unit("energy_std"), unit("force_std"))


class _StoreBatches(Dataset):
    """A data set that returns whole batches, so that a batch is one read of the store."""

    def __init__(self, store: ConformationStore, conformations: np.ndarray, normaliser: Normaliser):
        self.store, self.conformations, self.normaliser = store, conformations, normaliser

    def __len__(self) -> int:
        return len(self.conformations)

    def __getitems__(self, rows: list[int]) -> MoleculeBatch:
        chosen = self.conformations[rows]
        return self.normaliser(self.store.read(chosen), chosen)


class SpiceData(StepData):
    """Training batches by step, and the monitor's fixed validation molecules. seed, steps: of the run."""

    def __init__(self, settings: SpiceDataSettings, seed: int, steps: int):
        super().__init__(settings.batch_size, seed, steps, drop_last=False)
        self.store, self.workers = ConformationStore(Path(settings.store)), settings.workers
        self.normaliser = _normaliser(settings, self.store)
        self.train_conformations = nested_subset(
            self.store.split_indices("train"), settings.train_size, settings.train_size_seed
        )
        self.monitor_conformations = self.store.split_indices("test")[: settings.monitor_molecules]
        if not len(self.monitor_conformations):
            raise ValueError(
                f"store {settings.store}: the test split is empty; prepare it with a larger test_fraction"
            )

    @property
    def examples(self) -> int:
        return len(self.train_conformations)

    def load(self, batches: StepBatches, rank: int) -> DataLoader:
        stored = _StoreBatches(self.store, self.train_conformations, self.normaliser)
        return batch_loader(stored, batches, self.workers)

    def monitor_dataloader(self) -> list[MoleculeBatch]:
        """The paper's four validation batches of 16 molecules (fewer if the test split is smaller)."""
        parts = np.array_split(self.monitor_conformations, min(4, len(self.monitor_conformations)))
        return [self.normaliser(self.store.read(part), part) for part in parts]

    def describe(self, batch: MoleculeBatch) -> str:
        """The records of a batch, for error messages."""
        return f"conformations {batch.conformations.tolist()} of {self.store.path}"

    def provenance(self) -> dict[str, object]:
        """The data on which a run's numbers depend, for its summary."""
        return {
            "labels": self.store.labels,
            "source": self.store.source,
            "files": [file["name"] for file in self.store.config.get("files", [])],
            "digest": self.store.digest,
            "train_conformations": len(self.train_conformations),
            "monitor_conformations": len(self.monitor_conformations),
        }
