"""Moving points as networks read them: vectors, and invariant features (spec egno.md 3.1)."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from twirl.representations import Identity, Tree, Vectors


@dataclass(frozen=True)
class Points:
    """B graphs of N points. x, v: (B, N, 3). nodes: (B, N, F), edges: (B, E, A), invariant features from the data."""

    x: Tensor
    v: Tensor
    nodes: Tensor
    edges: Tensor


ACTS_ON_POINTS = Tree({"x": Vectors(), "v": Vectors(), "nodes": Identity(), "edges": Identity()})


def features(points: Points, index: Tensor) -> tuple[Tensor, Tensor]:
    """Invariant features of nodes (B, N, 1 + F), speeds first, and of edges (B, E, A + 1), squared distances last.

    index: (2, E), receivers and senders. Squared distances are those of the input frame and get no gradient.
    """
    h = torch.cat([points.v.norm(dim=-1, keepdim=True), points.nodes], dim=-1)
    r = points.x.index_select(1, index[0]) - points.x.index_select(1, index[1])
    return h, torch.cat([points.edges, r.square().sum(-1, keepdim=True).detach()], dim=-1)


@cache
def complete_graph(n: int, device: torch.device) -> Tensor:
    """All ordered pairs of n points: (2, n (n - 1)), receivers and senders, sorted by the former, then the latter."""
    return torch.nonzero(torch.eye(n, device=device) == 0).mT.contiguous()
