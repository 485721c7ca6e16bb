"""Batches of point clouds with the published augmentation (spec vn_pointnet.md 2.2, 2.3, 5)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data.modelnet40.augment import evaluation_view, train_view
from data.modelnet40.settings import ModelnetDataSettings
from data.modelnet40.store import CloudStore
from models.training.batch import TensorBatch, batch_loader
from models.training.datamodule import StepData
from models.training.sampling import NumberedRows, StepBatches, stream_seed


@dataclass(frozen=True)
class CloudBatch(TensorBatch):
    """B clouds of N points. points: (B, N, 3). label: (B,). clouds: (B,) their numbers in the store."""

    points: Tensor
    label: Tensor
    clouds: Tensor


class _TrainingViews(Dataset):
    """A data set that returns whole batches for (step, row) pairs, augmented with seeds from (seed, step, rank)."""

    def __init__(self, data: "ModelnetData", rank: int):
        self.store, self.clouds, self.points = data.store, data.train_clouds, data.points
        self.view, self.seed, self.rank = data.view, data.seed, rank

    def __len__(self) -> int:
        return len(self.clouds)

    def __getitems__(self, numbered: list[tuple[int, int]]) -> CloudBatch:
        steps, rows = zip(*numbered, strict=True)
        batch = read_batch(self.store, self.clouds[list(rows)], self.points)
        generator = torch.Generator().manual_seed(stream_seed(self.seed, "view", steps[0], self.rank))
        view = self.view
        points = train_view(
            batch.points,
            view.rotation,
            generator,
            most_dropped=view.most_dropped,
            shift_in_ball=view.shift_in_ball,
        )
        return CloudBatch(points, batch.label, batch.clouds)


def read_batch(store: CloudStore, clouds: np.ndarray, points: int) -> CloudBatch:
    """The clouds as stored, the first `points` of each."""
    raw = store.read(clouds, points)
    return CloudBatch(torch.from_numpy(raw.points), torch.from_numpy(raw.label), torch.as_tensor(clouds))


class ModelnetData(StepData):
    """Training batches by step, test batches, and the monitor's fixed test clouds. seed, steps: of the run."""

    def __init__(self, settings: ModelnetDataSettings, seed: int, steps: int):
        super().__init__(settings.batch_size, seed, steps, drop_last=True)
        self.store = CloudStore(Path(settings.store))
        self.train_clouds = self.store.split_indices("train")
        self.test_clouds = self.store.split_indices("test")
        self.monitor_clouds = self.test_clouds[: settings.monitor_clouds]
        self.points, self.view, self.workers = settings.points, settings.view, settings.workers

    @property
    def examples(self) -> int:
        return len(self.train_clouds)

    def load(self, batches: StepBatches, rank: int) -> DataLoader:
        return batch_loader(_TrainingViews(self, rank), NumberedRows(batches), self.workers)

    def test_batches(self, step: int) -> Iterator[CloudBatch]:
        """The whole test split, with an order and orientations that depend on the step."""
        generator = torch.Generator().manual_seed(stream_seed(self.seed, "test", step))
        order = torch.randperm(len(self.test_clouds), generator=generator)
        for rows in order.split(self.batch_size):
            yield self._test_view(self.test_clouds[rows.numpy()], generator)

    def monitor_dataloader(self) -> list[CloudBatch]:
        """The monitor's clouds in fixed orientations, which are the same in every run with the same view."""
        generator = torch.Generator().manual_seed(stream_seed(0, "test"))
        parts = np.array_split(self.monitor_clouds, min(4, len(self.monitor_clouds)))
        return [self._test_view(part, generator) for part in parts]

    def _test_view(self, clouds: np.ndarray, generator: torch.Generator) -> CloudBatch:
        batch = read_batch(self.store, clouds, self.points)
        points = evaluation_view(batch.points, self.view.rotation, generator)
        return CloudBatch(points, batch.label, batch.clouds)

    def describe(self, batch: CloudBatch) -> str:
        """The records of a batch, for error messages."""
        return f"clouds {batch.clouds.tolist()} of {self.store.path}"

    def provenance(self) -> dict[str, object]:
        """The data on which a run's numbers depend, for its summary."""
        return {
            "dataset": self.store.dataset,
            "source": self.store.source,
            "digest": self.store.digest,
            "classes": list(self.store.classes),
            "train_clouds": len(self.train_clouds),
            "test_clouds": len(self.test_clouds),
            "monitor_clouds": len(self.monitor_clouds),
        }
