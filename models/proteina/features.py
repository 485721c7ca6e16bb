"""Encodings of times, residue numbers and coordinates (spec proteina.md 4.2).

B chains of n residues. Pair features are one-hot vectors; here they are represented by the indices of the ones, and the
linear layer on them adds rows of its matrix.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

TIME_SCALE = 2000.0
INDEX_BASE = 2056.0


def time_embedding(t: Tensor, width: int) -> Tensor:
    """(B,) -> (B, width): sines, then cosines, of 2000 t f_k, f_k geometric from 1 to 1/2000.

    Angles reach 2000. They are computed in float32 from 2000 t in the precision of t, as officially; the result
    has the precision of t.
    """
    half = width // 2
    k = torch.arange(half, dtype=torch.float32, device=t.device)
    frequency = torch.exp(-k * (math.log(TIME_SCALE) / (half - 1)))
    angle = (TIME_SCALE * t).float()[:, None] * frequency
    return F.pad(torch.cat([angle.sin(), angle.cos()], dim=1), (0, width % 2)).to(t.dtype)


def index_embedding(index: Tensor, width: int, dtype: torch.dtype) -> Tensor:
    """Residue numbers (B, n), which start at 1 in every chain, -> (B, n, width): sines, then cosines."""
    k = torch.arange(width // 2, dtype=dtype, device=index.device)
    angle = index[..., None].to(dtype) * (math.pi / INDEX_BASE ** (2 * k / width))
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def squared_distances(x: Tensor) -> Tensor:
    """(B, n, 3) -> (B, n, n), from differences, because rounding of the expanded square depends on the orientation."""
    return (x[:, :, None] - x[:, None]).square().sum(-1)


def distance_bins(x: Tensor, bins: int, least: float, largest: float) -> Tensor:
    """(B, n, 3) [nm] -> (B, n, n): the number of limits strictly below each distance, of bins - 1 evenly spaced."""
    limits = torch.linspace(least, largest, bins - 1, dtype=x.dtype, device=x.device)
    return torch.bucketize(squared_distances(x).sqrt(), limits, out_int32=True)


def separation_bins(index: Tensor, bins: int) -> Tensor:
    """Residue numbers (B, n) -> (B, n, n): i - j, clipped to +-(bins - 1) / 2 and counted from 0.

    The official code's bins // 2 limits on either side are half-integers for odd `bins` and integers for even ones.
    """
    edge = bins / 2 - 1
    limits = torch.linspace(-edge, edge, bins - 1, dtype=torch.float64, device=index.device)
    separation = index[:, :, None] - index[:, None]
    return torch.bucketize(separation.to(torch.float64), limits, out_int32=True)
