"""VoxMol's network: a noised density to the clean one, by a 3D U-Net (spec voxmol.md section 4).

Read from top to bottom in order of execution. The network is not equivariant and gets no noise level, and it
predicts the clean density itself, not a correction of its input. Feature maps are (B, c, x, y, z).
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.training.dropout import dropout
from models.voxmol.settings import VoxMolConfig


def layout(config: VoxMolConfig, width: int) -> torch.memory_format:
    """Memory format of features of this width."""
    narrow = width <= 64  # wider levels have more weights than features, and oneDNN would reorder them
    return torch.channels_last_3d if config.channels_last and narrow else torch.contiguous_format


class ResidualBlock(nn.Module):
    """Norm, SiLU, convolution, norm, SiLU, dropout, convolution, and a skip, by a 1^3 convolution if widths differ."""

    def __init__(self, width: int, out: int, config: VoxMolConfig):
        super().__init__()
        self.norm1, self.conv1 = _norm(width, config), nn.Conv3d(width, out, 3, padding=1)
        self.norm2, self.conv2 = _norm(out, config), nn.Conv3d(out, out, 3, padding=1)
        self.shortcut = nn.Conv3d(width, out, 1) if width != out else nn.Identity()
        self.dropout = config.dropout

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = dropout(F.silu(self.norm2(h)), self.dropout, self.training)
        return self.conv2(h) + self.shortcut(x)


class Attention(nn.Module):
    """Attention among all voxels, with one head as wide as the features and no norm; residual."""

    def __init__(self, width: int):
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).mT  # (B, x y z, c)
        query, key, value = self.qkv(tokens)[:, None].chunk(3, dim=-1)
        attended = F.scaled_dot_product_attention(query, key, value)[:, 0]
        return (tokens + self.out(attended)).mT.unflatten(2, x.shape[2:])


class Block(nn.Module):
    """A residual block, then attention if its level has attention."""

    def __init__(self, width: int, out: int, attends: bool, config: VoxMolConfig):
        super().__init__()
        self.residual = ResidualBlock(width, out, config)
        self.attention = Attention(out) if attends else nn.Identity()
        self.recompute, self.layout = config.recompute, layout(config, out)

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=self.layout)
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(self._forward, x, use_reentrant=False)
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        return self.attention(self.residual(x))


class Middle(nn.Module):
    """A residual block, attention, a residual block."""

    def __init__(self, width: int, config: VoxMolConfig):
        super().__init__()
        self.first = ResidualBlock(width, width, config)
        self.attention = Attention(width)
        self.second = ResidualBlock(width, width, config)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.attention(self.first(x)))


class VoxMol(nn.Module):
    """forward: densities (B, elements, G, G, G) -> the same; G a multiple of `config.coarsening`."""

    def __init__(self, config: VoxMolConfig):
        super().__init__()
        self.config = config
        self.first = nn.Conv3d(config.elements, config.channels, 3, padding=1)
        self.encoder = nn.ModuleList(_encoder(config))
        self.middle = Middle(config.widths[-1], config)
        self.decoder = nn.ModuleList(_decoder(config, self.encoder))
        self.norm = _norm(config.channels, config)
        self.last = nn.Conv3d(config.channels, config.elements, 3, padding=1)

    def forward(self, y: Tensor) -> Tensor:
        return self.last(self.features(y))

    def features(self, y: Tensor) -> Tensor:
        """Input of the last convolution, (B, channels, G, G, G)."""
        x, skips = self._down(y)
        x = self.middle(x)
        for module in self.decoder:
            x = module(torch.cat([x, skips.pop()], dim=1) if isinstance(module, Block) else x)
        return F.silu(self.norm(x))

    def latents(self, y: Tensor) -> Tensor:
        """The bottleneck, (B, widths[-1], g, g, g) with g = G / coarsening."""
        return self.middle(self._down(y)[0])

    def _down(self, y: Tensor) -> tuple[Tensor, list[Tensor]]:
        if y.shape[-1] % self.config.coarsening:
            raise ValueError(
                f"VoxMol: a grid of {y.shape[-1]} cannot be halved {len(self.config.widths) - 1} times: "
                f"make its size a multiple of {self.config.coarsening}"
            )
        x = self.first(y.contiguous(memory_format=layout(self.config, self.config.channels)))
        skips = [x]
        for module in self.encoder:
            x = module(x)
            skips.append(x)
        return x, skips


def _norm(width: int, config: VoxMolConfig) -> nn.Module:
    return nn.GroupNorm(config.groups, width) if config.groups else nn.Identity()


def _encoder(config: VoxMolConfig) -> Iterator[nn.Module]:
    """The blocks of every level, and after every level except the last a convolution that halves the grid."""
    width = config.channels
    for level, (out, attends) in enumerate(zip(config.widths, config.attention, strict=True)):
        for _ in range(config.blocks):
            yield Block(width, out, attends, config)
            width = out
        if level < len(config.widths) - 1:
            yield nn.Conv3d(out, out, 3, stride=2, padding=1)


def _decoder(config: VoxMolConfig, encoder: nn.ModuleList) -> Iterator[nn.Module]:
    """The blocks of every level, one more to the width of the level before, and a convolution that doubles the grid.

    Every block reads the output of the block before it together with that of a module of the encoder, last first.
    """
    given = [config.channels, *(_width_out(module) for module in encoder)]
    for level in reversed(range(len(config.widths))):
        width, attends = config.widths[level], config.attention[level]
        narrowed = width // config.multipliers[level]
        for out in [width] * config.blocks + [narrowed]:
            yield Block(width + given.pop(), out, attends, config)
        if level > 0:
            yield nn.ConvTranspose3d(narrowed, narrowed, 4, stride=2, padding=1)


def _width_out(module: nn.Module) -> int:
    return module.out_channels if isinstance(module, nn.Conv3d) else module.residual.conv2.out_channels
