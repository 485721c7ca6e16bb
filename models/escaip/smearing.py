"""Distances on a grid of Gaussians, and their product with a matrix (spec escaip.md 2.5 and 3.1).

Of 600 Gaussians only some 25 differ from zero at any one distance. On CPU the rows are sorted by distance, so that
blocks of them share a narrow band of columns: the product, which is half of the network's arithmetic, then
costs a tenth. Elsewhere, and where a grid is short, it is the dense product.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.escaip.graph import NeighborGraph

BLOCK = 128  # rows that share a band
Block = tuple[slice, slice]  # rows, columns


def gaussian_smearing(graph: NeighborGraph, cutoff: float, size: int) -> Tensor:
    """Distances on `size` Gaussians at a regular grid over [0, cutoff], as wide as two grid steps. (N, M, size).

    value_k(d) = exp(-(d - c_k)^2 / (2 sigma^2)), sigma = 2 (c_1 - c_0); zero where a slot holds no other atom.
    """
    spacing = cutoff / (size - 1)
    centres = torch.arange(size, dtype=graph.distance.dtype, device=graph.distance.device)
    return torch.exp((graph.distance[..., None] / spacing - centres).square() / -8) * graph.real[..., None]


@dataclass(frozen=True)
class SmearedDistances:
    """values: (N, M, K). order: (N M,) rows by distance, with the blocks of the sorted rows; None: dense."""

    values: Tensor
    order: Tensor | None
    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, graph: NeighborGraph, cutoff: float, size: int) -> "SmearedDistances":
        values = gaussian_smearing(graph, cutoff, size)
        if values.device.type != "cpu":
            return cls(values, None, ())
        distance, order = graph.distance.flatten().sort()
        half = math.sqrt(-8 * math.log(torch.finfo(distance.dtype).eps / 4))
        grid = distance * ((size - 1) / cutoff)
        rows = [slice(first, min(first + BLOCK, len(grid))) for first in range(0, len(grid), BLOCK)]
        low = (grid[[r.start for r in rows]] - half).floor().clamp(min=0).int().tolist()
        high = (grid[[r.stop - 1 for r in rows]] + half).ceil().clamp(max=size - 1).int().tolist()
        blocks = tuple((r, slice(a, b + 1)) for r, a, b in zip(rows, low, high, strict=True))
        touched = sum((r.stop - r.start) * (c.stop - c.start) for r, c in blocks)
        return cls(values, order, blocks) if 4 * touched < grid.numel() * size else cls(values, None, ())

    def linear(self, weight: Tensor, bias: Tensor) -> Tensor:
        """F.linear(values, weight, bias): (N, M, E), to rounding."""
        if self.order is None:
            return F.linear(self.values, weight, bias)
        sorted_values = self.values.flatten(0, 1)[self.order]
        product = _BandedProduct.apply(sorted_values, weight, self.blocks)
        unsorted = product[self.order.argsort()].unflatten(0, self.values.shape[:2])
        return unsorted + bias


class _BandedProduct(torch.autograd.Function):
    """values (n, K) times weight (E, K) transposed, over the blocks alone; differentiable in the weight."""

    @staticmethod
    def forward(ctx, values: Tensor, weight: Tensor, blocks: tuple[Block, ...]) -> Tensor:
        ctx.save_for_backward(values)
        ctx.blocks = blocks
        columns_first = weight.t().contiguous()
        product = values.new_empty(len(values), len(weight))
        for rows, columns in blocks:
            torch.mm(values[rows, columns], columns_first[columns], out=product[rows])
        return product

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream: Tensor) -> tuple[None, Tensor, None]:
        (values,) = ctx.saved_tensors
        gradient = upstream.new_zeros(values.shape[1], upstream.shape[1])
        for rows, columns in ctx.blocks:
            gradient[columns].addmm_(values[rows, columns].t(), upstream[rows])
        return None, gradient.t(), None
