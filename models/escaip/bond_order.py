"""Bond-orientational order, the invariant description of an atom's surroundings (spec escaip.md 2.5)."""

import torch
from e3nn import o3
from torch import Tensor

from models.escaip.graph import NeighborGraph


def bond_order(graph: NeighborGraph, orders: int) -> Tensor:
    """Bond-orientational order of every atom, q_l for l = 0 .. orders - 1. Returns (N, orders).

    q_l = || mean over neighbours of Y_l(direction) || with component-normalised real harmonics, so q_0 = 1.
    Explicit harmonics rather than Legendre sums: where symmetry makes q_l vanish, the latter turn rounding
    into noise that depends on the orientation. An atom without neighbours has q = 0.
    """
    degrees = list(range(orders))
    harmonics = o3.spherical_harmonics(degrees, graph.direction, normalize=False, normalization="component")
    real = graph.real
    mean = (harmonics * real[..., None]).sum(1) / real.sum(1).clamp(min=1)[:, None]
    by_degree = mean.split([2 * degree + 1 for degree in degrees], dim=1)
    return torch.stack([part.norm(dim=1) for part in by_degree], dim=1)
