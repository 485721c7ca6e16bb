"""PaiNN for points that move: polarizable atom interaction neural network (Schuett, Unke, Gastegger 2021).

Shapes: B graphs of N points with the same E edges, F features; scalars s (B, N, F), vectors v (B, N, F, 3). `index`
(2, E) holds receivers i and senders j. E(3)-equivariant; equation numbers are the paper's.
"""

import math

import torch
from torch import Tensor, nn

from models.datasets.points import Points, features
from models.painn.settings import PaiNNConfig


class PaiNN(nn.Module):
    """Positions of points some time later: the present ones, moved by a gated sum of the vectors of each point.

    The paper's network begins with the elements of atoms and vectors of zero. Here scalars begin with what is known of
    a point that does not turn, and vectors with its velocity; filters see what is known of an edge beside its length.
    """

    def __init__(self, config: PaiNNConfig):
        super().__init__()
        F = config.features
        self.embedding = nn.Linear(config.node_features, F)
        self.velocity = nn.Linear(1, F, bias=False)
        self.basis = RadialBasis(config.radial, config.cutoff)
        self.messages = nn.ModuleList(
            Message(F, config.radial, config.edge_features) for _ in range(config.layers)
        )
        self.updates = nn.ModuleList(Update(F) for _ in range(config.layers))
        self.gate = mlp(F, F)
        self.displacement = nn.Linear(F, 1, bias=False)
        nn.init.xavier_uniform_(self.displacement.weight, gain=0.1)  # points hardly move at first

    def forward(self, points: Points, index: Tensor) -> Tensor:
        """(Points, index (2, E)) -> positions (B, N, 3)."""
        receiver, sender = index
        nodes, _ = features(points, index)
        r = points.x[:, sender] - points.x[:, receiver]  # from the receiver to the sender, (B, E, 3)
        distance = r.norm(dim=-1, keepdim=True).clamp_min(1e-8)
        direction, radial = r / distance, self.basis(distance)
        s = self.embedding(nodes)
        v = self.velocity(points.v[..., None]).mT
        for message, update in zip(self.messages, self.updates, strict=True):
            s, v = message(s, v, radial, points.edges, direction, index)
            s, v = update(s, v)
        gated = self.gate(s)[..., None] * v
        return points.x + self.displacement(gated.mT)[..., 0]


class RadialBasis(nn.Module):
    """sin(n pi r / r_cut) / r for n = 1 ... N, and the cosine cutoff: distances (..., 1) -> (..., N), (..., 1)."""

    def __init__(self, size: int, cutoff: float):
        super().__init__()
        self.cutoff = cutoff
        self.register_buffer("frequencies", torch.arange(1, size + 1) * (math.pi / cutoff), persistent=False)

    def forward(self, distance: Tensor) -> tuple[Tensor, Tensor]:
        near = 0.5 * (1 + torch.cos(math.pi * distance / self.cutoff)) * (distance < self.cutoff)
        return torch.sin(distance * self.frequencies) / distance, near


class Message(nn.Module):
    """Eqs. 7 and 8: what senders tell receivers, filtered by distance."""

    def __init__(self, F: int, radial: int, edge_features: int):
        super().__init__()
        self.phi = mlp(F, 3 * F)
        self.filter = nn.Linear(radial + edge_features, 3 * F)

    def forward(
        self,
        s: Tensor,
        v: Tensor,
        radial: tuple[Tensor, Tensor],
        edges: Tensor,
        direction: Tensor,
        index: Tensor,
    ) -> tuple[Tensor, Tensor]:
        receiver, sender = index
        waves, near = radial
        W = self.filter(torch.cat([waves, edges], dim=-1)) * near
        to_s, from_v, from_r = (self.phi(s)[:, sender] * W).chunk(3, dim=-1)  # (B, E, F) each
        to_v = from_v[..., None] * v[:, sender] + from_r[..., None] * direction[:, :, None]
        return s.index_add(1, receiver, to_s), v.index_add(1, receiver, to_v)


class Update(nn.Module):
    """Eqs. 9 and 10: scalars and vectors of a point inform each other."""

    def __init__(self, F: int):
        super().__init__()
        self.mix = nn.Linear(F, 2 * F, bias=False)
        self.a = nn.Sequential(nn.Linear(2 * F, F), nn.SiLU(), nn.Linear(F, 3 * F))

    def forward(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        U, V = self.mix(v.mT).mT.chunk(2, dim=2)  # (B, N, F, 3) each
        length = (V.square().sum(-1) + 1e-8).sqrt()  # differentiable at zero
        a_vv, a_sv, a_ss = self.a(torch.cat([s, length], dim=-1)).chunk(3, dim=-1)
        return s + a_ss + a_sv * (U * V).sum(-1), v + a_vv[..., None] * U


def mlp(dim_in: int, dim_out: int) -> nn.Sequential:
    """Two affine maps with a SiLU between them."""
    return nn.Sequential(nn.Linear(dim_in, dim_in), nn.SiLU(), nn.Linear(dim_in, dim_out))
