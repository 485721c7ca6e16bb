"""Molecules as densities on a grid, one channel per element (spec voxmol.md section 3).

B molecules padded to N atoms: coordinates (B, N, 3) [Angstrom], channels (B, N), negative at padding. A grid is
(B, C, G, G, G), its axes x, y, z. An atom is a Gaussian, cut to a window of voxels; atoms of a channel combine as
independent probabilities do, V = 1 - prod (1 - g), so that 0 <= V <= 1. Densities outside the grid are cut off.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from models.voxmol.settings import GridConfig


def voxelise(
    coordinates: Tensor, channels: Tensor, grid: GridConfig, count: int, radii: Tensor | None = None
) -> Tensor:
    """The density (B, count, G, G, G) of molecules, on their device; deterministic to the bit.

    A Gaussian is the product of three, one per axis, and is combined in place: w += g - w g. radii: (B, N), or None for
    the grid's radius. Channels of `count` or more are an error.
    """
    _check(channels, count)
    delta, first = _windows(coordinates.detach(), grid)
    width = grid.width(grid.radius if radii is None else radii[..., None, None])
    factors = torch.exp(-delta.square() / width)
    first = first.where((channels >= 0)[..., None], grid.size)
    fill = _fill_blocks if coordinates.device.type == "cpu" else _fill_in_rounds
    return fill(factors, first, channels, grid.size, count)


def smooth_density(
    coordinates: Tensor, channels: Tensor, grid: GridConfig, count: int, radii: Tensor | None = None
) -> Tensor:
    """The same density by logarithms, as in the official code: differentiable and slower.

    An atom exactly at a voxel's centre has g = 1 there, where the gradient of log(1 - g) is NaN.
    """
    _check(channels, count)
    delta, first = _windows(coordinates, grid)
    squared = _outer_sum(*delta.square().unbind(-2))
    width = grid.width(grid.radius if radii is None else radii[..., None, None, None])
    g = torch.exp(-squared / width)
    index, inside = _indices(first, channels, grid, count)
    B, G = len(channels), grid.size
    total = g.new_zeros(B * count * G**3).index_add(0, index[inside], torch.log(1 - g[inside]))
    return (1 - torch.exp(total)).view(B, count, G, G, G)


def outside(coordinates: Tensor, channels: Tensor, grid: GridConfig) -> Tensor:
    """How many atoms of each molecule have their peak outside the grid, (B,)."""
    peak = coordinates / grid.resolution + grid.origin
    beyond = ((peak < -0.5) | (peak > grid.size - 0.5)).any(-1)
    return (beyond & (channels >= 0)).sum(-1)


def _check(channels: Tensor, count: int) -> None:
    if channels.numel() and int(channels.max()) >= count:
        raise ValueError(f"voxels: an atom has channel {int(channels.max())}, but there are only {count}")


def _windows(coordinates: Tensor, grid: GridConfig) -> tuple[Tensor, Tensor]:
    """For every atom and axis: distances to the voxels of its window [voxels] (B, N, 3, W), and its first index."""
    k = grid.half_window
    s = coordinates / grid.resolution + grid.offset
    near = s.detach().trunc()
    voxels = near[..., None] + 1 + torch.arange(-k, k + 1, dtype=s.dtype, device=s.device)
    return s[..., None] - (voxels + grid.voxel_centre), near.long() + 1 - k - grid.first


def _outer_sum(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Sums of (..., W) over three axes -> (..., W, W, W)."""
    return x[..., :, None, None] + y[..., None, :, None] + z[..., None, None, :]


def _outer_product(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    return x[..., :, None, None] * y[..., None, :, None] * z[..., None, None, :]


def _indices(first: Tensor, channels: Tensor, grid: GridConfig, count: int) -> tuple[Tensor, Tensor]:
    """For every voxel of every window: its index in the flattened grids, and whether it is inside a grid."""
    G, W = grid.size, 2 * grid.half_window + 1
    index = first[..., None] + torch.arange(W, device=first.device)
    inside = (index >= 0) & (index < G)
    molecule = torch.arange(len(channels), device=channels.device)[:, None]
    slab = (molecule * count + channels) * G**3
    scaled = index * torch.tensor([G * G, G, 1], device=index.device)[:, None]
    flat = slab[..., None, None, None] + _outer_sum(*scaled.unbind(-2))
    real = (channels >= 0)[..., None, None, None]
    return flat, _outer_product(*inside.unbind(-2)) & real


def _fill_blocks(factors: Tensor, first: Tensor, channels: Tensor, G: int, count: int) -> Tensor:
    """Adds atom by atom on views of the grid: fastest on a CPU, where zeroing the grid takes most of the time."""
    grids = torch.zeros(len(channels), count, G, G, G, dtype=factors.dtype)
    W = factors.shape[-1]
    for grid, g, rows in zip(grids.numpy(), factors, _blocks(first, channels, G, W), strict=True):
        gaussians = _outer_product(*g.unbind(-2)).numpy()
        for n, channel, (i, j, k), (i0, j0, k0), (i1, j1, k1) in rows:
            block = grid[channel, i0:i1, j0:j1, k0:k1]
            g = gaussians[n, i0 - i : i1 - i, j0 - j : j1 - j, k0 - k : k1 - k]
            block += g - block * g
    return grids


def _blocks(first: Tensor, channels: Tensor, G: int, W: int) -> Iterator[Iterator[tuple]]:
    """For every molecule, its atoms that reach the grid: (atom, channel, window's first index, first, last inside)."""
    first, channels = first.numpy(), channels.numpy()
    low, high = np.maximum(first, 0), np.minimum(first + W, G)
    touches = (low < high).all(-1)
    for b, touched in enumerate(touches):
        n = np.flatnonzero(touched)
        columns = (n, channels[b, n], first[b, n], low[b, n], high[b, n])
        yield zip(*(column.tolist() for column in columns), strict=True)


def _fill_in_rounds(factors: Tensor, first: Tensor, channels: Tensor, G: int, count: int) -> Tensor:
    """Adds one atom per molecule and channel in each round, which do not overlap: for a GPU."""
    B, W = len(channels), factors.shape[-1]
    owner = torch.arange(B, device=channels.device)[:, None] * count + channels
    owner = owner.where(channels >= 0, B * count).flatten()
    order = owner.argsort(stable=True)
    counts = torch.bincount(owner, minlength=B * count + 1)
    turn = torch.arange(len(owner), device=owner.device) - (counts.cumsum(0) - counts)[owner[order]]
    factors, first = factors.flatten(0, 1)[order], first.flatten(0, 1)[order]
    owner = owner[order]
    # The last entry collects what falls outside.
    flat = factors.new_zeros(B * count * G**3 + 1)
    offsets = torch.arange(W, device=first.device)
    for round_ in range(int(counts[:-1].max())):
        rows = ((turn == round_) & (owner < B * count)).nonzero()[:, 0]
        index = first[rows][..., None] + offsets
        inside = _outer_product(*((index >= 0) & (index < G)).unbind(-2))
        i, j, k = index.unbind(-2)
        places = owner[rows, None, None, None] * G**3 + _outer_sum(i * G * G, j * G, k)
        places = places.where(inside, B * count * G**3)
        g = _outer_product(*factors[rows].unbind(-2))
        w = flat[places]
        flat[places] = w + g - w * g
    return flat[:-1].view(B, count, G, G, G)
