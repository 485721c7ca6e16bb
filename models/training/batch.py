"""Batches of tensors, which move between devices together, and their loader."""

from dataclasses import fields
from typing import Self

import torch
from torch.utils.data import DataLoader, Dataset, Sampler


class TensorBatch:
    """Base of dataclasses whose fields are all tensors."""

    def to(self, *args, **kwargs) -> Self:
        return type(self)(*(getattr(self, f.name).to(*args, **kwargs) for f in fields(self)))

    def pin_memory(self) -> Self:
        return type(self)(*(getattr(self, f.name).pin_memory() for f in fields(self)))


def batch_loader(dataset: Dataset, batches: Sampler, workers: int) -> DataLoader:
    """A loader of `dataset`, which returns a whole batch for each list of rows in `batches`.

    workers: processes that read ahead; 0 reads in the training process.
    """
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=_as_it_is,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def _as_it_is(batch: TensorBatch) -> TensorBatch:
    return batch
