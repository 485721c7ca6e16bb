"""The first layer: from a point and its nearest neighbours to vector features (spec vn_pointnet.md 3.1, 3.2 steps 1-3).

The edge from point i to its neighbour j carries three vectors: x_j - x_i, x_i and x_j x x_i. The last is a
pseudovector, so the network distinguishes rotations from reflections; the second depends on the origin.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.vn_pointnet.layers import VNLinearLeakyReLU, root


@torch.no_grad()
def nearest(points: Tensor, k: int) -> Tensor:
    """Indices of the k nearest points of every point, itself first: (B, N, 3) -> (B, N, k)."""
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.topk(k, largest=False).indices


def neighbours(x: Tensor, index: Tensor) -> Tensor:
    """x_j of every edge: x (3, B, N), index (B, N, k) -> (3, B, N, k)."""
    B, N, _ = index.shape
    rows = index + N * torch.arange(B, device=index.device)[:, None, None]
    return x.flatten(1).index_select(1, rows.flatten()).view(3, *index.shape)


def edge_features(points: Tensor, index: Tensor) -> Tensor:
    """The three vectors of every edge as channels: points (B, N, 3), index (B, N, k) -> (3, B, N, k, 3)."""
    x = points.movedim(-1, 0)
    x_j = neighbours(x, index)
    x_i = x.unsqueeze(-1).expand_as(x_j)
    return torch.stack([x_j - x_i, x_i, torch.linalg.cross(x_j, x_i, dim=0)], dim=-1)


class EdgeLayer(VNLinearLeakyReLU):
    """VNLinearLeakyReLU on edges, (3, B, N, k, 3) -> (3, B, N, k, C)."""

    def __init__(self, channels_out: int):
        super().__init__(3, channels_out)

    def mean(self, points: Tensor, index: Tensor) -> Tensor:
        """The layer's output on every edge, averaged over the neighbours: (3, B, N, C). Needs plain maps.

        No mapped vector is ever formed. With e = x_j - x_i split into t x_i and a rest e', the three vectors
        of p = W_0 e + W_1 x_i + W_2 x_j x x_i are x_i, e' and the cross product, which are orthogonal:
        inner products of p and d = U_0 e + ... are sums of three terms, without cancellation. And as p and d
        are linear in e, the mean of a p + b d over the neighbours needs only those of a, b, a e and b e.
        """
        W, U = self.weights()
        x = points.movedim(-1, 0)
        x_i = x.unsqueeze(-1)
        e = neighbours(x, index) - x_i
        squared = (x_i * x_i).sum(0)
        t = (e * x_i).sum(0) / squared.clamp_min(torch.finfo(e.dtype).tiny)
        rest, cross = e - t * x_i, torch.linalg.cross(e, x_i.expand_as(e), dim=0)
        across = torch.stack([(rest * rest).sum(0), (cross * cross).sum(0)], dim=-1)
        length = root(squared)
        along = torch.stack([length * t, length.expand_as(t)], dim=-1)
        p, d = F.linear(along, W[:, :2]), F.linear(along, U[:, :2])
        pp, pd, dd = (F.linear(across, form[:, [0, 2]]) for form in (W * W, W * U, U * U))
        a, b = self.factors(torch.addcmul(pp, p, p), torch.addcmul(pd, p, d), torch.addcmul(dd, d, d))
        weights = torch.stack([*e, torch.ones_like(t)], dim=-2) / index.shape[-1]
        moments = (weights @ torch.cat([a, b], dim=-1)).movedim(-2, 0)  # (4, B, N, 2 C)
        shift, share = moments[:3], moments[3]
        V = torch.cat([W, U])
        cross = torch.linalg.cross(shift, x_i.expand_as(shift), dim=0)
        both = V[:, 0] * shift + V[:, 1] * (share * x_i) + V[:, 2] * cross
        of_feature, of_direction = both.chunk(2, dim=-1)
        return of_feature + of_direction
