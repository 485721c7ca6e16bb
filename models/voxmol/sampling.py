"""Walk-jump sampling: Langevin steps among noised densities, then a jump to the clean one (spec voxmol.md 7)."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

Denoiser = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Walk:
    """delta: step. friction: gamma. lipschitz: 1 / u, an inverse mass. sigma: of the noise, the same as in training."""

    sigma: float = 0.9
    delta: float = 0.5
    friction: float = 1.0
    lipschitz: float = 1.0


def score(denoise: Denoiser, y: Tensor, sigma: float) -> Tensor:
    """Gradient of the log density of noised densities y, (f(y) - y) / sigma^2."""
    return (denoise(y) - y) / sigma**2


def walk_step(denoise: Denoiser, y: Tensor, v: Tensor, noise: Tensor, walk: Walk) -> tuple[Tensor, Tensor]:
    """One step of underdamped Langevin dynamics: half a drift, kick, friction and noise, kick, half a drift.

    y, v: positions and velocities of chains (B, C, G, G, G). noise: standard normal. Returns the next y and v.
    """
    u, gamma, half = 1 / walk.lipschitz, walk.friction, walk.delta / 2
    y = y + half * v
    kick = u * half * score(denoise, y, walk.sigma)
    v = math.exp(-gamma) * (v + kick) + kick + math.sqrt(u * (1 - math.exp(-2 * gamma))) * noise
    return y + half * v, v


@torch.no_grad()
def walk_jump(
    denoise: Denoiser, shape: tuple[int, ...], walk: Walk, steps: int, every: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """Clean densities (B, C, G, G, G) = `shape` of all chains, one every `every` steps.

    Chains start at rest from noise over a uniform background. generator: on the device of the chains.
    """
    device = generator.device
    y = walk.sigma * torch.randn(shape, generator=generator, device=device)
    y += torch.rand(shape, generator=generator, device=device)
    v = torch.zeros_like(y)
    for step in range(1, steps + 1):
        y, v = walk_step(denoise, y, v, torch.randn(shape, generator=generator, device=device), walk)
        if step % every == 0:
            yield denoise(y)
