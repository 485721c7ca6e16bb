"""Batches of motion capture: present and future positions of joints (spec egno.md 2.4, 2.8, 3.1)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data.mocap.settings import MocapDataSettings
from data.mocap.skeleton import VERTICAL, edges
from data.mocap.store import MotionStore
from models.datasets.points import Points
from models.training.batch import TensorBatch, batch_loader
from models.training.datamodule import StepData
from models.training.sampling import StepBatches

HEIGHT_UNIT = 10.0  # [ASF units]


@cache
def skeleton_graph(device: torch.device) -> tuple[Tensor, Tensor]:
    """The graph of all samples: index (2, 130), row 0 the receivers, and the edges' type (130,), 1.0 or 2.0."""
    index, kind = edges()
    return torch.from_numpy(index).to(device), torch.from_numpy(kind).float().to(device)


@dataclass(frozen=True)
class MotionBatch(TensorBatch):
    """B samples of 31 joints.

    x, v: (B, 31, 3) positions and velocities of the input frame. targets: (B, T, 31, 3) positions at later frames.
    height: (B, 31) along the vertical, divided by the largest in the batch; invariant. samples: (B,) their
    numbers in the store.
    """

    vertical: ClassVar[str] = "xyz"[VERTICAL]

    x: Tensor
    v: Tensor
    targets: Tensor
    height: Tensor
    samples: Tensor

    @property
    def y(self) -> Tensor:
        """Positions at the last target frame, (B, 31, 3)."""
        return self.targets[:, -1]

    @property
    def index(self) -> Tensor:
        """Edges (2, 130): receivers and senders."""
        return skeleton_graph(self.x.device)[0]

    def points(self) -> Points:
        """Joints, their heights, and the types of the edges between them."""
        kind = skeleton_graph(self.x.device)[1].to(self.x.dtype)
        types = kind[:, None].expand(len(self.x), -1, 1)
        return Points(self.x, self.v, self.height.unsqueeze(-1), types)


def read_batch(store: MotionStore, samples: np.ndarray, frames: int) -> MotionBatch:
    """The samples with these numbers in the store, with `frames` target frames."""
    windows = store.read(samples, frames)
    x = torch.from_numpy(windows.x)
    y = x[..., VERTICAL] / HEIGHT_UNIT
    return MotionBatch(
        x,
        torch.from_numpy(windows.v),
        torch.from_numpy(windows.y),
        y / y.max(),
        torch.as_tensor(samples),
    )


class _Samples(Dataset):
    """A data set that returns whole batches of rows."""

    def __init__(self, data: "MocapData"):
        self.store, self.samples, self.frames = data.store, data.train_samples, data.frames

    def __len__(self) -> int:
        return len(self.samples)

    def __getitems__(self, rows: list[int]) -> MotionBatch:
        return read_batch(self.store, self.samples[rows], self.frames)


class MocapData(StepData):
    """Training batches by step, validation and test batches in order, and the monitor's fixed samples.

    seed, steps: of the run.
    """

    def __init__(self, settings: MocapDataSettings, seed: int, steps: int):
        super().__init__(settings.batch_size, seed, steps, drop_last=True)
        self.store = MotionStore(Path(settings.store))
        self.motion, self.frames = settings.motion, settings.frames
        self.train_samples = self.store.indices(self.motion, "train")
        self.validation_samples = self.store.indices(self.motion, "validation")
        self.test_samples = self.store.indices(self.motion, "test")
        spread = np.linspace(0, len(self.validation_samples) - 1, settings.monitor_samples)
        self.monitor_samples = self.validation_samples[np.unique(spread.round().astype(int))]

    @property
    def examples(self) -> int:
        return len(self.train_samples)

    def load(self, batches: StepBatches, rank: int) -> DataLoader:
        return batch_loader(_Samples(self), batches, 0)

    def held_out_batches(self, split: Literal["validation", "test"]) -> Iterator[MotionBatch]:
        """A whole split in order; the last batch may be short."""
        samples = {"validation": self.validation_samples, "test": self.test_samples}[split]
        for first in range(0, len(samples), self.batch_size):
            yield self._batch(samples[first : first + self.batch_size])

    def monitor_dataloader(self) -> list[MotionBatch]:
        """The monitor's samples, which are the same in every run on a motion."""
        parts = range(0, len(self.monitor_samples), self.batch_size)
        return [self._batch(self.monitor_samples[k : k + self.batch_size]) for k in parts]

    def _batch(self, samples: np.ndarray) -> MotionBatch:
        return read_batch(self.store, samples, self.frames)

    def describe(self, batch: MotionBatch) -> str:
        """The records of a batch, for error messages."""
        return f"samples {batch.samples.tolist()} of {self.store.path}"

    def provenance(self) -> dict[str, object]:
        """The data on which a run's numbers depend, for its summary.

        caveat: a sentence for readers of the numbers. untrained_errors: of simple predictions of the test split.
        """
        errors = self.store.predictors[self.motion]["test"]
        names = {"static": "static", "velocity": "constant_velocity", "drift": "scaled_velocity"}
        return {
            "dataset": self.store.dataset,
            "source": self.store.source,
            "motion": self.motion,
            "caveat": self.store.caveats[self.motion],
            "digest": self.store.digest,
            "train_samples": len(self.train_samples),
            "validation_samples": len(self.validation_samples),
            "test_samples": len(self.test_samples),
            "monitor_samples": len(self.monitor_samples),
            "untrained_errors": {name: errors[stored] for name, stored in names.items()},
        }
