"""Rotation-invariant inputs of EScAIP: smeared distances and bond-orientational order (spec escaip.md 2.5)."""

import math

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
    return torch.stack([part.norm(dim=1) for part in mean.split([2 * l + 1 for l in degrees], dim=1)], dim=1)


class GaussianSmearing:
    """K Gaussians on a regular grid over [0, cutoff], as wide as two grid steps.

    value_k(d) = exp(-(d - c_k)^2 / (2 sigma^2)). Neither parameters nor buffers: the grid follows from K and
    the cutoff.
    """

    def __init__(self, cutoff: float, size: int):
        self.size = size
        self.spacing = cutoff / (size - 1)

    def __call__(self, graph: NeighborGraph) -> Tensor:
        """(N, M, K); zero where a slot holds no other atom."""
        steps = graph.distance[..., None] / self.spacing
        centres = torch.arange(self.size, dtype=steps.dtype, device=steps.device)
        return torch.exp((steps - centres).square() / -8.0) * graph.real[..., None]

    def window(self, graph: NeighborGraph) -> tuple[Tensor, Tensor]:
        """The Gaussians that differ from zero at working precision: their numbers and values, (N, M, w) each."""
        half = math.ceil(math.sqrt(-8 * math.log(torch.finfo(graph.distance.dtype).eps / 4)))
        steps = graph.distance / self.spacing
        offsets = torch.arange(-half, half + 1, device=steps.device)
        numbers = steps.round().long()[..., None] + offsets
        values = torch.exp((steps[..., None] - numbers).square() / -8.0)
        inside = (numbers >= 0) & (numbers < self.size) & graph.real[..., None]
        return numbers.clamp(0, self.size - 1), values * inside
