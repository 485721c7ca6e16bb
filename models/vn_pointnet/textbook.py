"""The formulas of spec vn_pointnet.md 3.1 and 3.2 without optimisation, which tests and the benchmark compare with.

Features are (B, C, 3, N[, k]), every layer is computed on its whole input, one operation after another, and every
map is a separate product. Weights, batch norms and dropout are those of a VNPointNet.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.vn_pointnet.layers import EPS, VNBatchNorm, VNLinearLeakyReLU
from models.vn_pointnet.network import GlobalBranch, VNPointNet


def logits(network: VNPointNet, points: Tensor) -> Tensor:
    """points (B, N, 3) -> (B, classes), for mean pooling and plain maps."""
    x = points.mT
    x = _layer(network.conv_pos, _graph_feature(x, network.config.neighbours)).mean(-1)
    x = _layer(network.conv1, x)
    y = _branch(network.fstn, x) if network.config.global_branch else x.mean(-1)
    x = torch.cat([x, y.unsqueeze(-1).expand_as(x)], dim=1)
    x = _normalise(network.bn3, _map(network.conv3, _layer(network.conv2, x)))
    x = torch.cat([x, x.mean(-1, keepdim=True).expand_as(x)], dim=1)
    z = _layer(network.std_feature.vn2, _layer(network.std_feature.vn1, x))
    z0 = _map(network.std_feature.vn_lin, z).transpose(1, 2)
    x = torch.einsum("bcin,bikn->bckn", x, z0).flatten(1, 2).amax(-1)
    x = F.relu(network.bn1(network.fc1(x)))
    x = F.relu(network.bn2(network.dropout(network.fc2(x))))
    return network.fc3(x)


def _branch(branch: GlobalBranch, x: Tensor) -> Tensor:
    y = _layer(branch.conv3, _layer(branch.conv2, _layer(branch.conv1, x))).mean(-1)
    return _map(branch.fc3, _layer(branch.fc2, _layer(branch.fc1, y)))


def _graph_feature(x: Tensor, k: int) -> Tensor:
    square = (x * x).sum(1)
    similarity = 2 * x.mT @ x - square[:, :, None] - square[:, None, :]
    index = similarity.topk(k, dim=-1).indices
    rows = index + x.shape[2] * torch.arange(len(x), device=x.device)[:, None, None]
    x_j = x.mT.flatten(0, 1)[rows].permute(0, 3, 1, 2)
    x_i = x.unsqueeze(-1).expand_as(x_j)
    return torch.stack([x_j - x_i, x_i, torch.linalg.cross(x_j, x_i, dim=1)], dim=1)


def _map(linear: nn.Linear, V: Tensor) -> Tensor:
    return linear(V.transpose(1, -1)).transpose(1, -1)


def _normalise(norm: VNBatchNorm, V: Tensor) -> Tensor:
    n = V.norm(dim=2) + EPS
    m = norm.bn(n.flatten(2).unsqueeze(-1) if n.ndim > 2 else n[..., None, None]).view(n.shape)
    return V / n.unsqueeze(2) * m.unsqueeze(2)


def _layer(layer: VNLinearLeakyReLU, V: Tensor) -> Tensor:
    p = _normalise(layer.norm, _map(layer.feature, V))
    d = _map(layer.direction, V)
    s = (p * d).sum(2, keepdim=True)
    mask = (s >= 0).to(V.dtype)
    projected = p - s / ((d * d).sum(2, keepdim=True) + EPS) * d
    return layer.slope * p + (1 - layer.slope) * (mask * p + (1 - mask) * projected)
