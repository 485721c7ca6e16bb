"""The formulas of spec voxmol.md sections 4 and 5 without optimisation, which a test and the benchmark compare with.

Channels come first in memory; norm, SiLU and dropout are separate operations; attention is products and a softmax.
The weights are those of a VoxMol.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.voxmol.network import Attention, Block, ResidualBlock, VoxMol


def predict(network: VoxMol, y: Tensor) -> Tensor:
    """As VoxMol.forward."""
    x = network.first(y)
    skips = [x]
    for module in network.encoder:
        x = _block(module, x) if isinstance(module, Block) else module(x)
        skips.append(x)
    middle = network.middle
    x = _residual(middle.second, _attention(middle.attention, _residual(middle.first, x)))
    for module in network.decoder:
        x = _block(module, torch.cat([x, skips.pop()], 1)) if isinstance(module, Block) else module(x)
    return network.last(F.silu(network.norm(x)))


def _block(block: Block, x: Tensor) -> Tensor:
    x = _residual(block.residual, x)
    return x if isinstance(block.attention, nn.Identity) else _attention(block.attention, x)


def _residual(block: ResidualBlock, x: Tensor) -> Tensor:
    h = block.conv1(F.silu(block.norm1(x)))
    h = F.dropout(F.silu(block.norm2(h)), block.dropout, block.training)
    return block.conv2(h) + block.shortcut(x)


def _attention(layer: Attention, x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    query, key, value = layer.qkv(tokens).chunk(3, dim=-1)
    weights = (query @ key.transpose(1, 2) * key.shape[-1] ** -0.5).softmax(-1)
    attended = tokens + layer.out(weights @ value)
    return attended.transpose(1, 2).reshape(x.shape)


class PlainTraining:
    """AdamW without epsilon and the exponential moving average of the weights, one tensor at a time."""

    def __init__(self, network: VoxMol, averaged: VoxMol, lr: float = 2e-5, decay: float = 0.01):
        self.network, self.averaged, self.lr, self.decay = network, averaged, lr, decay
        self.betas, self.average, self.t = (0.99, 0.999), 0.999, 0
        self.state = {p: (torch.zeros_like(p), torch.zeros_like(p)) for p in network.parameters()}

    @torch.no_grad()
    def update(self) -> None:
        self.t += 1
        (b1, b2), t = self.betas, self.t
        for p, (m, v) in self.state.items():
            p.mul_(1 - self.lr * self.decay)
            m.mul_(b1).add_(p.grad, alpha=1 - b1)
            v.mul_(b2).addcmul_(p.grad, p.grad, value=1 - b2)
            scale = v.sqrt() / (1 - b2**t) ** 0.5
            scale[scale == 0] = torch.inf
            p.addcdiv_(m, scale, value=-self.lr / (1 - b1**t))
            p.grad = None
        for mean, p in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
            mean.mul_(self.average).add_(p, alpha=1 - self.average)
