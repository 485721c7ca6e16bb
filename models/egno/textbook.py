"""The formulas of spec egno.md 3.2 to 3.6 without optimisation, which tests and the benchmark compare with.

Copies of the graph for every frame one below the other, every map on its whole input along edges, sums by
scattered writes, temporal convolutions by complex Fourier transforms. Weights are those of an EGNO.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from models.egno.network import EGNO, SLOPE


def positions(
    network: EGNO,
    x: Tensor,
    v: Tensor,
    h: Tensor,
    edges: Tensor,
    edge_attr: Tensor,
) -> Tensor:
    """As EGNO.forward: (B, T, N, 3)."""
    c, W = network.config, dict(network.named_parameters())
    B, N, _ = x.shape
    T, M = c.frames, B * N
    offsets = N * torch.arange(B, device=x.device)
    edges = (edges[:, None] + offsets[:, None]).flatten(1)
    offsets = M * torch.arange(T, device=x.device)
    row, col = (edges[:, None] + offsets[:, None]).flatten(1)
    edge_attr = edge_attr.flatten(0, 1).repeat(T, 1)
    centre = x.mean(1, keepdim=True).expand_as(x).reshape(M, 3).repeat(T, 1)
    times = network.times.to(x).repeat_interleave(M, dim=0)
    h = torch.cat([h.flatten(0, 1).repeat(T, 1), times], dim=1)
    h = F.linear(h, W["embedding.weight"], W["embedding.bias"])
    x, v = x.flatten(0, 1).repeat(T, 1), v.flatten(0, 1).repeat(T, 1)
    for k in range(c.layers):
        if c.time_conv:
            h = _fourier(h.view(T, M, -1), W[f"time_convs.{k}.weights"], SLOPE).flatten(0, 1)
            pair = torch.stack([x - centre, v], dim=-1).view(T, M, 3, 2)
            pair = _fourier(pair, W[f"time_convs_x.{k}.weights"], None).flatten(0, 1)
            x, v = pair[..., 0] + centre, pair[..., 1]
        x, h = _layer(network, W, k, x, v, h, row, col, edge_attr)
    return x.view(T, B, N, 3).transpose(0, 1)


def _fourier(z: Tensor, weights: Tensor, slope: float | None) -> Tensor:
    T = len(z)
    modes = min(weights.shape[2], T // 2 + 1)
    f = torch.fft.rfft(z, dim=0)
    g = torch.zeros_like(f)
    W = torch.view_as_complex(weights.contiguous())
    g[:modes] = torch.einsum("t...i,iot->t...o", f[:modes], W[:, :, :modes])
    y = torch.fft.irfft(g, n=T, dim=0)
    return z + (y if slope is None else F.leaky_relu(y, slope))


def _layer(
    network: EGNO,
    W: Mapping[str, Tensor],
    k: int,
    x: Tensor,
    v: Tensor,
    h: Tensor,
    row: Tensor,
    col: Tensor,
    edge_attr: Tensor,
) -> tuple[Tensor, Tensor]:
    c = network.config
    act = torch.tanh if c.flat else F.silu

    def linear(name: str, z: Tensor) -> Tensor:
        return F.linear(z, W[f"layers.{k}.{name}.weight"], W[f"layers.{k}.{name}.bias"])

    r = x[row] - x[col]
    radial = r.square().sum(1, keepdim=True)
    radial = F.normalize(radial, dim=1) if c.norm else radial
    receiver, sender = W[f"layers.{k}.message.weight"].chunk(2)
    edge = W[f"layers.{k}.edge.weight"]
    first = torch.cat([edge[:, :1], receiver, sender, edge[:, 1:]], dim=1)
    inputs = torch.cat([radial, h[row], h[col], edge_attr], dim=1)
    m = act(linear("message_out", act(F.linear(inputs, first, W[f"layers.{k}.edge.bias"]))))
    pull = _sum(r * linear("pull_out", act(linear("pull", m))), row, len(x))
    degree = _sum(torch.ones_like(r), row, len(x))
    x = x + (pull / degree.clamp(min=1)).clamp(-100, 100)
    if c.velocity:
        x = x + linear("drift_out", act(linear("drift", h))) * v
    total = torch.cat([h, _sum(m, row, len(x))], dim=1)
    return x, linear("readout", act(linear("update", total)))


def _sum(values: Tensor, row: Tensor, nodes: int) -> Tensor:
    result = values.new_zeros(nodes, values.shape[1])
    return result.scatter_add_(0, row[:, None].expand_as(values), values)
