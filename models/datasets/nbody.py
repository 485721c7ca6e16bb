"""Batches of charged particles: positions, velocities, charges and future positions (spec segnn.md 2.2)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data.nbody.baselines import baselines
from data.nbody.settings import NBodyDataSettings
from data.nbody.store import NBodyStore
from models.datasets.points import Points, complete_graph
from models.training.batch import TensorBatch, batch_loader
from models.training.datamodule import StepData
from models.training.sampling import NumberedRows, StepBatches, stream_seed
from twirl.groups import SO3


@dataclass(frozen=True)
class NBodyBatch(TensorBatch):
    """B graphs of n particles. x, v: (B, n, 3). charges: (B, n). targets: (B, K, n, 3), positions at K later frames.

    trajectories: (B,) their numbers in the store.
    """

    vertical: ClassVar[None] = None

    x: Tensor
    v: Tensor
    charges: Tensor
    targets: Tensor
    trajectories: Tensor

    @property
    def y(self) -> Tensor:
        """Positions at the last target frame, (B, n, 3)."""
        return self.targets[:, -1]

    @property
    def index(self) -> Tensor:
        """Edges (2, n (n - 1)) from every particle to every other: receivers and senders."""
        return complete_graph(self.x.shape[1], self.x.device)

    def points(self) -> Points:
        """Particles, and the products of the charges at both ends of every edge."""
        receiver, sender = self.index
        products = self.charges[:, receiver] * self.charges[:, sender]
        return Points(self.x, self.v, self.x.new_empty(*self.x.shape[:2], 0), products.unsqueeze(-1))

    def rows(self, rows: Tensor) -> "NBodyBatch":
        """The graphs of these rows."""
        fields = (self.x, self.v, self.charges, self.targets, self.trajectories)
        return NBodyBatch(*(field[rows] for field in fields))


class _TrainingBatches(Dataset):
    """A data set that returns whole batches for (step, row) pairs."""

    def __init__(self, data: "NBodyData", rank: int):
        self.everything, self.turn, self.seed, self.rank = data.train, data.rotate, data.seed, rank

    def __len__(self) -> int:
        return len(self.everything.x)

    def __getitems__(self, numbered: list[tuple[int, int]]) -> NBodyBatch:
        steps, rows = zip(*numbered, strict=True)
        batch = self.everything.rows(torch.tensor(rows))
        if not self.turn:
            return batch
        generator = torch.Generator().manual_seed(stream_seed(self.seed, "view", steps[0], self.rank))
        R = SO3().sample(1, generator)[0].to(batch.x.dtype)
        turned = (a @ R.T for a in (batch.x, batch.v))
        return NBodyBatch(*turned, batch.charges, batch.targets @ R.T, batch.trajectories)


class NBodyData(StepData):
    """Training batches by step, whole splits for evaluation, and the monitor's fixed graphs.

    The store is held in memory. seed, steps: of the run.
    """

    def __init__(self, settings: NBodyDataSettings, seed: int, steps: int):
        super().__init__(settings.batch_size, seed, steps, drop_last=True)
        self.store = NBodyStore(Path(settings.store))
        self.frames = [settings.input_frame, *settings.target_frames]
        self.train = self._read(self.store.split_indices("train"))
        self.held_out = {
            split: self._read(self.store.split_indices(split)) for split in ("validation", "test")
        }
        self.rotate, self.monitor_trajectories = settings.rotate, settings.monitor_trajectories

    def _read(self, trajectories: np.ndarray) -> NBodyBatch:
        raw = self.store.read(trajectories, self.frames)
        position, velocity, charges = (torch.from_numpy(a) for a in (raw.position, raw.velocity, raw.charges))
        return NBodyBatch(
            position[:, 0].contiguous(),
            velocity[:, 0].contiguous(),
            charges,
            position[:, 1:].contiguous(),
            torch.as_tensor(trajectories),
        )

    @property
    def examples(self) -> int:
        return len(self.train.x)

    def load(self, batches: StepBatches, rank: int) -> DataLoader:
        return batch_loader(_TrainingBatches(self, rank), NumberedRows(batches), 0)

    def held_out_batches(self, split: str) -> Iterator[NBodyBatch]:
        """The whole "validation" or "test" split in file order."""
        everything = self.held_out[split]
        for rows in torch.arange(len(everything.x)).split(self.batch_size):
            yield everything.rows(rows)

    def monitor_dataloader(self) -> list[NBodyBatch]:
        """The monitor's graphs, which are the same in every run."""
        validation = self.held_out["validation"]
        rows = np.arange(min(self.monitor_trajectories, len(validation.x)))
        parts = np.array_split(rows, min(4, len(rows)))
        return [validation.rows(torch.from_numpy(part)) for part in parts]

    def describe(self, batch: NBodyBatch) -> str:
        """The records of a batch, for error messages."""
        return f"trajectories {batch.trajectories.tolist()} of {self.store.path}"

    def provenance(self) -> dict[str, object]:
        """The data on which a run's numbers depend, for its summary.

        untrained_errors: of simple predictions of the test split.
        """
        return {
            "dataset": self.store.dataset,
            "source": self.store.source,
            "digest": self.store.digest,
            "train_trajectories": len(self.train.x),
            **{f"{split}_trajectories": len(batch.x) for split, batch in self.held_out.items()},
            "monitor_trajectories": self.monitor_trajectories,
            "untrained_errors": self.untrained_errors,
        }

    @cached_property
    def untrained_errors(self) -> dict[str, float]:
        """Mean squared errors on the test split of simple predictions without a network, see data.nbody.baselines."""
        errors = baselines(self.store, self.frames[0], self.frames[-1])
        return {name: errors[name]["test"] for name in ("static", "velocity", "drift")}
