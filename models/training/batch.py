"""Batches of tensors that move as one, and their loader."""

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
    """Loads what `dataset` gives for every list of rows in `batches`, which is a whole batch already.

    workers: processes that read ahead; 0 reads in this one.
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
