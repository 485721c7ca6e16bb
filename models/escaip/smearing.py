"""The expansion of distances in Gaussians, and its product with a matrix (spec escaip.md 2.5 and 3.1).

At any distance only about 25 of 600 Gaussians differ from zero. On a CPU the rows are sorted by distance, so that
blocks of them share a narrow band of columns: the product, which is half of the network's arithmetic, then
costs a tenth. On other devices, and for short grids, the product is dense.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.escaip.graph import NeighborGraph

ROWS = 128  # rows that share a band


def gaussian_smearing(graph: NeighborGraph, cutoff: float, size: int) -> Tensor:
    """Values of `size` Gaussians on a regular grid over [0, cutoff], with a width of two grid steps: (N, M, size).

    value_k(d) = exp(-(d - c_k)^2 / (2 sigma^2)), sigma = 2 (c_1 - c_0); zero where a slot holds no other atom.
    """
    return _gaussians(graph.distance * ((size - 1) / cutoff), graph.real, 0, size)


def _gaussians(grid: Tensor, real: Tensor, low: int, high: int) -> Tensor:
    """Gaussians low .. high - 1 at distances in grid steps: (...) -> (..., high - low)."""
    centres = torch.arange(low, high, dtype=grid.dtype, device=grid.device)
    return torch.exp((grid[..., None] - centres).square() / -8) * real[..., None]


@dataclass(frozen=True)
class Band:
    """values: (rows, high - low), Gaussians low .. high - 1 of some rows, whose other Gaussians are zero."""

    rows: slice
    columns: slice
    values: Tensor


@dataclass(frozen=True)
class SmearedDistances:
    """Either dense: (N, M, K), or bands of the N M rows sorted by distance; order: (N M,) sorts them."""

    shape: torch.Size
    dense: Tensor | None
    order: Tensor | None = None
    bands: tuple[Band, ...] = ()

    @classmethod
    def of(cls, graph: NeighborGraph, cutoff: float, size: int) -> "SmearedDistances":
        shape = graph.distance.shape
        if graph.distance.device.type == "cpu":
            grid, order = (graph.distance.flatten() * ((size - 1) / cutoff)).sort()
            half = math.sqrt(-8 * math.log(torch.finfo(grid.dtype).eps / 4))
            rows = [slice(first, min(first + ROWS, len(grid))) for first in range(0, len(grid), ROWS)]
            low = (grid[[r.start for r in rows]] - half).floor().clamp(min=0).int().tolist()
            high = (grid[[r.stop - 1 for r in rows]] + half).ceil().clamp(max=size - 1).int().tolist()
            columns = [slice(a, b + 1) for a, b in zip(low, high, strict=True)]
            blocks = list(zip(rows, columns, strict=True))
            if 4 * sum((r.stop - r.start) * (c.stop - c.start) for r, c in blocks) < len(grid) * size:
                real = graph.real.flatten()[order]
                bands = tuple(Band(r, c, _gaussians(grid[r], real[r], c.start, c.stop)) for r, c in blocks)
                return cls(shape, None, order, bands)
        return cls(shape, gaussian_smearing(graph, cutoff, size))

    def linear(self, weight: Tensor, bias: Tensor) -> Tensor:
        """F.linear of the smeared distances (N, M, K): (N, M, E); the bands change rounding only."""
        if self.dense is not None:
            return F.linear(self.dense, weight, bias)
        product = _BandedProduct.apply(weight, self.bands)
        return product[self.order.argsort()].unflatten(0, self.shape) + bias


class _BandedProduct(torch.autograd.Function):
    """Smeared distances times the transposed weight (E, K), on the bands only; differentiable in the weight."""

    @staticmethod
    def forward(ctx, weight: Tensor, bands: tuple[Band, ...]) -> Tensor:
        ctx.bands, ctx.size = bands, weight.shape[1]
        columns_first = weight.t().contiguous()
        product = weight.new_empty(bands[-1].rows.stop, len(weight))
        for band in bands:
            torch.mm(band.values, columns_first[band.columns], out=product[band.rows])
        return product

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream: Tensor) -> tuple[Tensor, None]:
        gradient = upstream.new_zeros(ctx.size, upstream.shape[1])
        for band in ctx.bands:
            gradient[band.columns].addmm_(band.values.t(), upstream[band.rows])
        return gradient.t(), None
