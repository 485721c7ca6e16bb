"""Four simple networks that predict later positions of points (spec segnn.md section 7, egno.md 4.4).

Shapes: B graphs of N points with the same E edges, H features. `index` (2, E) holds receivers i and senders j.
"""

import torch
from torch import Tensor, nn

from models.baselines.settings import BaselineConfig
from models.datasets.points import Points, features

FURTHEST = 100.0  # largest displacement along a coordinate by one neighbour in one layer


def build(config: BaselineConfig) -> nn.Module:
    """The network of this kind: (Points, index) -> positions (B, N, 3)."""
    return {"linear": Linear, "rf": RadialField, "gnn": GNN, "egnn": EGNN}[config.kind](config)


class Linear(nn.Module):
    """y = A [x; v] + b, the same for every point; equivariant only if training makes A's blocks scalar matrices."""

    def __init__(self, config: BaselineConfig):
        super().__init__()
        self.map = nn.Linear(6, 3)

    def forward(self, points: Points, index: Tensor) -> Tensor:
        return self.map(torch.cat([points.x, points.v], dim=-1))


class RadialField(nn.Module):
    """Displacements along the lines between points, by distance alone (Koehler et al. 2019); E(3)-equivariant.

    x_i <- x_i + mean_j (x_i - x_j) phi(|x_i - x_j|, e_ij) + v_i psi(|v_i|)
    """

    def __init__(self, config: BaselineConfig):
        super().__init__()
        H = config.hidden
        self.phi = nn.ModuleList(
            nn.Sequential(nn.Linear(1 + config.edge_features, H), nn.SiLU(), timid(H), nn.Tanh())
            for _ in range(config.layers)
        )
        self.psi = nn.ModuleList(mlp(1, H, 1) for _ in range(config.layers))

    def forward(self, points: Points, index: Tensor) -> Tensor:
        _, edges = features(points, index)
        x, neighbours = points.x, Neighbours(index, points.x)
        speed = points.v.norm(dim=-1, keepdim=True)
        for phi, psi in zip(self.phi, self.psi, strict=True):
            d = neighbours.apart(x)
            push = d * phi(torch.cat([d.norm(dim=-1, keepdim=True), edges], dim=-1))
            x = x + neighbours.mean(push) + points.v * psi(speed)
        return x


class GNN(nn.Module):
    """Message passing on coordinates of positions and velocities: equivariant under permutations of points only."""

    def __init__(self, config: BaselineConfig):
        super().__init__()
        H = config.hidden
        self.embedding = nn.Linear(6, H)
        self.message = nn.ModuleList(
            nn.Sequential(mlp(2 * H + config.edge_features - 1, H, H), nn.SiLU())
            for _ in range(config.layers)
        )
        self.update = nn.ModuleList(mlp(2 * H, H, H) for _ in range(config.layers))
        self.readout = mlp(H, H, 3)

    def forward(self, points: Points, index: Tensor) -> Tensor:
        neighbours = Neighbours(index, points.x)
        h = self.embedding(torch.cat([points.x, points.v], dim=-1))
        for message, update in zip(self.message, self.update, strict=True):
            received = neighbours.total(message(torch.cat([*neighbours.ends(h), points.edges], dim=-1)))
            h = h + update(torch.cat([h, received], dim=-1))
        return self.readout(h)


class EGNN(nn.Module):
    """Messages of invariants, which weigh the lines between points (Satorras et al. 2021); E(3)-equivariant.

    m_ij = phi_e(h_i, h_j, |x_i - x_j|^2, e_ij)
    x_i <- x_i + mean_j clamp((x_i - x_j) phi_x(m_ij)) + psi(h_i) v_i,   h_i <- h_i + phi_h(h_i, sum_j m_ij)
    """

    def __init__(self, config: BaselineConfig):
        super().__init__()
        H, layers = config.hidden, range(config.layers)
        self.embedding = nn.Linear(config.node_features, H)
        self.message = nn.ModuleList(
            nn.Sequential(mlp(2 * H + 1 + config.edge_features, H, H), nn.SiLU()) for _ in layers
        )
        self.pull = nn.ModuleList(nn.Sequential(nn.Linear(H, H), nn.SiLU(), timid(H)) for _ in layers)
        self.drift = nn.ModuleList(mlp(H, H, 1) for _ in layers)
        self.update = nn.ModuleList(mlp(2 * H, H, H) for _ in layers)

    def forward(self, points: Points, index: Tensor) -> Tensor:
        h, edges = features(points, index)
        x, neighbours = points.x, Neighbours(index, points.x)
        h = self.embedding(h)
        for message, pull, drift, update in zip(
            self.message, self.pull, self.drift, self.update, strict=True
        ):
            d = neighbours.apart(x)
            m = message(torch.cat([*neighbours.ends(h), d.square().sum(-1, keepdim=True), edges], dim=-1))
            x = x + neighbours.mean((d * pull(m)).clamp(-FURTHEST, FURTHEST)) + drift(h) * points.v
            h = h + update(torch.cat([h, neighbours.total(m)], dim=-1))
        return x


class Neighbours:
    """Edges. Sums over senders are products with a 0/1 matrix, which give the same bits every time."""

    def __init__(self, index: Tensor, x: Tensor):
        self.receiver, self.sender = index
        self.incidence = nn.functional.one_hot(self.receiver, x.shape[1]).mT.to(x.dtype)  # (N, E)
        self.degree = self.incidence.sum(1, keepdim=True).clamp_min(1)

    def ends(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """Features of receivers and of senders: (B, N, F) -> (B, E, F) twice."""
        return a.index_select(1, self.receiver), a.index_select(1, self.sender)

    def apart(self, x: Tensor) -> Tensor:
        """x_i - x_j, (B, E, 3)."""
        receiver, sender = self.ends(x)
        return receiver - sender

    def total(self, of_edges: Tensor) -> Tensor:
        """Sum over the edges into each point: (B, E, F) -> (B, N, F)."""
        return self.incidence @ of_edges

    def mean(self, of_edges: Tensor) -> Tensor:
        """Mean over the edges into each point; zero where there are none."""
        return self.total(of_edges) / self.degree


def mlp(dim_in: int, hidden: int, dim_out: int) -> nn.Sequential:
    """Two affine maps with a SiLU between them."""
    return nn.Sequential(nn.Linear(dim_in, hidden), nn.SiLU(), nn.Linear(hidden, dim_out))


def timid(dim_in: int) -> nn.Linear:
    """A map to one number with small initial weights, so that initial displacements are small."""
    layer = nn.Linear(dim_in, 1, bias=False)
    nn.init.xavier_uniform_(layer.weight, gain=0.001)
    return layer
