"""What EGNO is given: points with velocities, and numbers that do not turn with them (spec egno.md 3.1)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.datasets.mocap import MotionBatch
from twirl.representations import Identity, Tree, Vectors


@dataclass(frozen=True)
class Points:
    """B graphs of N points. x, v: (B, N, 3). nodes: (B, N, F), edges: (B, E, A), whatever else is known of them."""

    x: Tensor
    v: Tensor
    nodes: Tensor
    edges: Tensor


ACTS_ON_POINTS = Tree({"x": Vectors(), "v": Vectors(), "nodes": Identity(), "edges": Identity()})


def features(points: Points, index: Tensor) -> tuple[Tensor, Tensor]:
    """h (B, N, 1 + F) and edge_attr (B, E, A + 1) of the network: speeds first, squared distances last.

    index: (2, E). Squared distances are of the input frame, and no gradient runs through them.
    """
    h = torch.cat([points.v.norm(dim=-1, keepdim=True), points.nodes], dim=-1)
    r = points.x.index_select(1, index[0]) - points.x.index_select(1, index[1])
    return h, torch.cat([points.edges, r.square().sum(-1, keepdim=True).detach()], dim=-1)


def of_motion(batch: MotionBatch, kind: Tensor) -> Points:
    """Joints, their heights, and the types (E,) of the edges between them."""
    edges = kind[:, None].expand(len(batch.x), -1, 1)
    return Points(batch.x, batch.v, batch.height.unsqueeze(-1), edges)
