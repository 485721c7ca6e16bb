"""VN-PointNet: rotation-invariant classification of point clouds (spec vn_pointnet.md section 3.2).

Read from top to bottom in order of execution. Shapes: B clouds of N points, k neighbours, C vector channels;
vector features are (3, B, N, C), pooled ones (3, B, C).
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.vn_pointnet.edges import EdgeLayer, edge_features, nearest
from models.vn_pointnet.layers import (
    VNBatchNorm,
    VNLinear,
    VNLinearLeakyReLU,
    VNMaxPool,
    VNMeanPool,
    VNStdFeature,
)
from models.vn_pointnet.settings import VNPointNetConfig
from twirl.representations import Vectors

if TYPE_CHECKING:
    from twirl.relaxation.places import Place


def _pool(channels: int, pooling: str) -> nn.Module:
    return {"mean": VNMeanPool, "max": lambda: VNMaxPool(channels)}[pooling]()


class GlobalBranch(nn.Module):
    """One set of vectors for the whole cloud, the counterpart of PointNet's transformation net: -> (3, B, c1)."""

    def __init__(self, config: VNPointNetConfig):
        super().__init__()
        c1, c2, c3, f1, f2 = config.c1, config.c2, config.c3, config.f1, config.f2
        self.conv1 = VNLinearLeakyReLU(c1, c1)
        self.conv2 = VNLinearLeakyReLU(c1, c2)
        self.conv3 = VNLinearLeakyReLU(c2, c3)
        self.pool = _pool(c3, config.pooling)
        self.fc1 = VNLinearLeakyReLU(c3, f1)
        self.fc2 = VNLinearLeakyReLU(f1, f2)
        self.fc3 = VNLinear(f2, c1)

    def forward(self, V: Tensor) -> Tensor:
        V = self.pool(self.conv3(self.conv2(self.conv1(V))))
        return self.fc3(self.fc2(self.fc1(V)))


class VNPointNet(nn.Module):
    """Class scores of point clouds, unchanged by rotations about the origin (but not by reflections)."""

    def __init__(self, config: VNPointNetConfig):
        super().__init__()
        self.config = config
        c1, c2, c3 = config.c1, config.c2, config.c3
        self.conv_pos = EdgeLayer(c1)
        self.pool = _pool(c1, config.pooling)
        self.conv1 = VNLinearLeakyReLU(c1, c1)
        self.fstn = GlobalBranch(config) if config.global_branch else VNMeanPool()
        self.conv2 = VNLinearLeakyReLU(2 * c1, c2)
        self.conv3 = VNLinear(c2, c3)
        self.bn3 = VNBatchNorm(c3)
        self.std_feature = VNStdFeature(2 * c3)
        self.fc1 = nn.Linear(6 * c3, config.h1)
        self.bn1 = nn.BatchNorm1d(config.h1)
        self.fc2 = nn.Linear(config.h1, config.h2)
        self.dropout = nn.Dropout(config.dropout)
        self.bn2 = nn.BatchNorm1d(config.h2)
        self.fc3 = nn.Linear(config.h2, config.classes)

    def edges(self, points: Tensor) -> Tensor:
        """Steps 1-3: (B, N, 3) -> (3, B, N, c1)."""
        index = nearest(points, self.config.neighbours)
        if self.config.pooling == "mean" and self.conv_pos.weights() is not None:
            return self.conv_pos.mean(points, index)
        return self.pool(self.conv_pos(edge_features(points, index)))

    def invariants(self, points: Tensor) -> Tensor:
        """Steps 1-18, the equivariant trunk and its invariant coordinates: (B, N, 3) -> (B, 6 c3)."""
        V = self.conv1(self.edges(points))
        V = self.conv2(V, self.fstn(V))
        V = self.bn3(self.conv3(V))
        mean = V.mean(2)
        z0 = self.std_feature.frame(V, mean)
        return torch.cat([farthest(V, z0), farthest(mean, z0)], dim=1).flatten(1)

    def forward(self, points: Tensor) -> Tensor:
        """points (B, N, 3) -> logits (B, classes)."""
        self._check(points)
        x = F.relu(self.bn1(self.fc1(self.invariants(points))))
        x = F.relu(self.bn2(self.dropout(self.fc2(x))))
        return self.fc3(x)

    def places(self) -> list["Place"]:
        """The 22 linear maps on vectors that may be relaxed, in order of execution (spec vn_pointnet.md 3.4).

        These are the ones that ES relaxes, without the map to the frame and the directions of max pooling.
        """
        from twirl.relaxation.places import Place  # here, since the network itself does not need it

        def place(name: str, reads: str | None = None) -> Place:
            mapped = self.get_submodule(name)
            shapes = (mapped.in_features, 3), (mapped.out_features, 3)
            return Place(name, Vectors(), Vectors(), *shapes, axes=(-1, 0), reads=reads)

        places = []
        for name, module in self.named_modules():
            if isinstance(module, VNLinearLeakyReLU):
                places += [place(f"{name}.feature"), place(f"{name}.direction", f"{name}.feature")]
            elif name in ("fstn.fc3", "conv3"):
                places.append(place(name))
        return places

    def _check(self, points: Tensor) -> None:
        if points.ndim != 3 or points.shape[-1] != 3:
            raise ValueError(f"VN-PointNet: points must be (clouds, points, 3), not {tuple(points.shape)}")
        if points.shape[1] < self.config.neighbours:
            raise ValueError(
                f"VN-PointNet: clouds of {points.shape[1]} points cannot give every point "
                f"{self.config.neighbours} neighbours; give more points or set neighbours lower"
            )
        if self.training and len(points) < 2:
            raise ValueError("VN-PointNet: training needs at least 2 clouds per batch, for its batch norms")


def farthest(V: Tensor, z0: Tensor) -> Tensor:
    """The largest coordinate of every channel along every frame vector, over the points of a cloud: (B, C, 3).

    V: (3, B, N, C), or (3, B, C) where all points share it. z0: (3, B, N, 3) frames. Only the largest coordinates
    are computed with gradients.
    """
    shared = V.ndim == 3
    with torch.no_grad():
        reached = [_coordinates(V, z0[..., k], shared).argmax(1) for k in range(3)]
        n = torch.stack(reached, dim=-1).expand(3, -1, -1, -1)  # (3, B, C, 3)
    vector = V.unsqueeze(-1) if shared else V.gather(2, n.mT).mT
    return (z0.gather(2, n) * vector).sum(0)


def _coordinates(V: Tensor, axis: Tensor, shared: bool) -> Tensor:
    """<V, axis> at every point: axis (3, B, N) -> (B, N, C)."""
    if shared:
        return axis.permute(1, 2, 0) @ V.transpose(0, 1)
    x, y, z = axis.unsqueeze(-1)
    return (x * V[0]).addcmul_(y, V[1]).addcmul_(z, V[2])
