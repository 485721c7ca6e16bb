"""Batches of C-alpha chains (spec proteina.md 2.5, 2.6 and 6.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data.pdb.settings import ChainDataSettings
from data.pdb.store import ChainStore
from models.training.batch import TensorBatch, batch_loader
from models.training.datamodule import StepData
from models.training.sampling import NumberedRows, StepBatches, nested_subset, stream_seed

LONGEST_BOND = 0.4  # [nm] between neighbours in a chain without a gap


@dataclass(frozen=True)
class ChainBatch(TensorBatch):
    """B chains padded to n residues.

    coordinates: (B, n, 3) [nm], zero at padding. mask: (B, n), true at residues. residue_index: (B, n) long, the
    authors' numbers, -1 at padding. chain_breaks: (B, n), true where the next residue is more than 0.4 nm away.
    chains: (B,) their numbers in the store.
    """

    coordinates: Tensor
    mask: Tensor
    residue_index: Tensor
    chain_breaks: Tensor
    chains: Tensor


def padded(
    coordinates: Sequence[np.ndarray],
    residue_index: Sequence[np.ndarray],
    chains: Sequence[int],
    length: int | None = None,
) -> ChainBatch:
    """A batch of chains (n_b, 3) [nm] with their residue numbers (n_b,), padded to the longest, or to `length`.

    With monitor batches padded to one length, all chains have the same weight in the percent.
    """
    n = max(map(len, coordinates)) if length is None else length
    B = len(coordinates)
    x, mask = torch.zeros(B, n, 3), torch.zeros(B, n, dtype=torch.bool)
    index, breaks = torch.full((B, n), -1), torch.zeros(B, n, dtype=torch.bool)
    for b, (points, numbers) in enumerate(zip(coordinates, residue_index, strict=True)):
        m = len(points)
        x[b, :m] = torch.as_tensor(points, dtype=torch.float32)
        mask[b, :m] = True
        index[b, :m] = torch.as_tensor(numbers, dtype=torch.long)
        breaks[b, : m - 1] = (x[b, 1:m] - x[b, : m - 1]).square().sum(-1) > LONGEST_BOND**2
    return ChainBatch(x, mask, index, breaks, torch.as_tensor(chains))


class _Chains(Dataset):
    """A data set that returns whole batches, so that a batch is one read of the store."""

    def __init__(self, store: ChainStore, chains: np.ndarray):
        self.store, self.chains = store, chains

    def __len__(self) -> int:
        return len(self.chains)

    def __getitems__(self, rows: list[int]) -> ChainBatch:
        return read_batch(self.store, self.chains[rows])


class _Clusters(Dataset):
    """The same for batches of clusters: one chain of each, drawn with a seed from (seed, step, cluster)."""

    def __init__(self, store: ChainStore, clusters: list[np.ndarray], seed: int):
        self.store, self.clusters, self.seed = store, clusters, seed

    def __len__(self) -> int:
        return len(self.clusters)

    def __getitems__(self, rows: list[tuple[int, int]]) -> ChainBatch:
        chosen = [
            self.clusters[row][stream_seed(self.seed, "subset", step, row) % len(self.clusters[row])]
            for step, row in rows
        ]
        return read_batch(self.store, np.array(chosen))


def read_batch(store: ChainStore, chains: np.ndarray, length: int | None = None) -> ChainBatch:
    """A padded batch of the chains with these numbers in the store."""
    read = store.read(chains)
    return padded(read.parts(read.coordinates), read.parts(read.numbers), chains, length)


class ChainData(StepData):
    """Training batches by step, and the monitor's fixed validation chains. seed, steps: of the run."""

    def __init__(self, settings: ChainDataSettings, seed: int, steps: int):
        super().__init__(settings.batch_size, seed, steps, drop_last=True)
        self.store = ChainStore(Path(settings.store))
        self.sampling, self.monitor_batch = settings.sampling, settings.monitor_batch
        self.workers = settings.workers
        self.train_chains = nested_subset(
            self.store.split_indices("train"), settings.train_size, settings.train_size_seed
        )
        self.monitor_chains = self.store.split_indices("validation")[: settings.monitor_chains]

    @cached_property
    def clusters(self) -> list[np.ndarray]:
        """The training chains, by sequence cluster."""
        groups = self.store.group[self.train_chains]
        order = np.argsort(groups, kind="stable")
        return np.split(self.train_chains[order], np.flatnonzero(np.diff(groups[order])) + 1)

    @property
    def examples(self) -> int:
        return len(self.clusters if self.sampling == "clusters" else self.train_chains)

    def load(self, batches: StepBatches, rank: int) -> DataLoader:
        if self.sampling == "clusters":
            clusters = _Clusters(self.store, self.clusters, self.seed)
            return batch_loader(clusters, NumberedRows(batches), self.workers)
        return batch_loader(_Chains(self.store, self.train_chains), batches, self.workers)

    def monitor_dataloader(self) -> list[ChainBatch]:
        """The paper's validation batches of 3 chains, padded to one length, so that all chains have the same weight."""
        longest = int(self.store.counts[self.monitor_chains].max())
        firsts = range(0, len(self.monitor_chains), self.monitor_batch)
        parts = [self.monitor_chains[first : first + self.monitor_batch] for first in firsts]
        return [read_batch(self.store, part, longest) for part in parts]

    def describe(self, batch: ChainBatch) -> str:
        """The records of a batch, for error messages."""
        names = self.store.names
        return f"chains {', '.join(names[chain] for chain in batch.chains.tolist())} of {self.store.path}"

    def provenance(self) -> dict[str, object]:
        """The data on which a run's numbers depend, for its summary."""
        return {
            "dataset": self.store.dataset,
            "source": self.store.source,
            "files": [file["name"] for file in self.store.config.get("files", [])],
            "grouping": self.store.grouping,
            "digest": self.store.digest,
            "train_chains": len(self.train_chains),
            "validation_chains": len(self.monitor_chains),
            "mean_residues": float(self.store.counts[self.train_chains].mean()),
        }
