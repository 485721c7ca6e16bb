"""Rotation-invariant inputs of EScAIP: smeared distances and bond-orientational order (spec escaip.md 2.5)."""

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


def gaussian_smearing(graph: NeighborGraph, cutoff: float, size: int) -> Tensor:
    """Distances on K Gaussians at a regular grid over [0, cutoff], as wide as two grid steps. (N, M, K).

    value_k(d) = exp(-(d - c_k)^2 / (2 sigma^2)), sigma = 2 (c_1 - c_0); zero where a slot holds no other atom.
    """
    spacing = cutoff / (size - 1)
    centres = torch.arange(size, dtype=graph.distance.dtype, device=graph.distance.device)
    return torch.exp((graph.distance[..., None] / spacing - centres).square() / -8) * graph.real[..., None]
