"""Batches of C-alpha chains."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.training.batch import TensorBatch

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

    Monitor batches padded to one length make every chain weigh the same in the percent over all of them.
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
