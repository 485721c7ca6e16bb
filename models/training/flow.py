"""Flow matching from noise at t = 0 to data at t = 1: path, prior, times, sampler (spec proteina.md sections 3 and 7).

B chains padded to n points: x (B, n, 3), mask (B, n), t (B,). Networks may predict velocities or clean points;
samplers and losses always see a prediction of the clean points, x1_hat. The score is that of a standard normal prior.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

LARGEST_TIME = 1 - 1e-5


def centred(x: Tensor, mask: Tensor) -> Tensor:
    """x minus each chain's mean over its points, and zero at padding."""
    weight = mask[..., None].to(x.dtype)
    mean = (x * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
    return (x - mean) * weight


def squared_error(x: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean over a chain's coordinates of the squared difference: (B,)."""
    weight = mask[..., None].to(x.dtype)
    return ((x - target) * weight).square().sum((1, 2)) / (x.shape[-1] * weight.sum((1, 2)))


def _over_points(t: Tensor) -> Tensor:
    return t[:, None, None]


@dataclass(frozen=True)
class PathSample:
    """One point of a path per chain: its ends x_0 and x_1, the time t and the point x_t."""

    x_0: Tensor
    x_1: Tensor
    t: Tensor
    x_t: Tensor


@dataclass(frozen=True)
class LinearPath:
    """x_t = (1 - t) x_0 + t x_1, whose velocity is x_1 - x_0.

    output: what the network predicts, the velocity or the clean points.
    """

    output: Literal["velocity", "clean"] = "velocity"

    def sample(self, x_0: Tensor, x_1: Tensor, t: Tensor) -> PathSample:
        s = _over_points(t)
        return PathSample(x_0, x_1, t, (1 - s) * x_0 + s * x_1)

    def clean(self, x_t: Tensor, t: Tensor, output: Tensor) -> Tensor:
        """x1_hat from a network's output: x_t + (1 - t) v, or the output itself."""
        output = self.gain(t, output.to(x_t.dtype))
        return x_t + output if self.output == "velocity" else output

    def idle(self, x_t: Tensor) -> Tensor:
        """x1_hat from an output of zero: x_t, or zero."""
        return x_t if self.output == "velocity" else torch.zeros_like(x_t)

    def gain(self, t: Tensor, output: Tensor) -> Tensor:
        """The difference between `clean` and `idle`: (1 - t) v, or the output itself."""
        return (1 - _over_points(t)) * output if self.output == "velocity" else output

    @staticmethod
    def velocity(x_t: Tensor, t: Tensor, x1_hat: Tensor) -> Tensor:
        """(x1_hat - x_t) / (1 - t)."""
        return (x1_hat - x_t) / (1 - _over_points(t))

    @staticmethod
    def score(x_t: Tensor, t: Tensor, velocity: Tensor) -> Tensor:
        """The gradient of the log density of x_t, (t v - x_t) / (1 - t)."""
        s = _over_points(t)
        return (s * velocity - x_t) / (1 - s)

    @staticmethod
    def weight(t: Tensor) -> Tensor:
        """1 / ((1 - t)^2 + 1e-5), which converts the error of x1_hat to that of the velocity: (B,)."""
        return 1 / ((1 - t).square() + 1e-5)


@dataclass(frozen=True)
class GaussianPrior:
    """Independent normal points with standard deviation `scale`, then centred."""

    scale: float = 1.0

    def sample(self, mask: Tensor, generators: Sequence[torch.Generator], dtype=torch.float32) -> Tensor:
        """(B, n, 3), zero at padding. Chain b draws from generator b; its numbers do not depend on the padding.

        They are drawn on the CPU, so that they are the same for every device.
        """
        return centred(self.scale * normal_points(mask.cpu(), generators, dtype), mask.cpu()).to(mask.device)


def normal_points(mask: Tensor, generators: Sequence[torch.Generator], dtype=torch.float32) -> Tensor:
    """Independent normal points (B, n, 3), zero at padding, chain b's from generator b; drawn on the CPU."""
    x, where = torch.zeros(*mask.shape, 3, dtype=dtype), mask.cpu()
    for points, valid, generator in zip(x, where, generators, strict=True):
        points[valid] = torch.randn(int(valid.sum()), 3, generator=generator, dtype=dtype)
    return x.to(mask.device)


@dataclass(frozen=True)
class TimeDistribution:
    """Times on [0, 1]: uniform with probability `uniform`, else Beta(power, 1), of density power t^(power - 1)."""

    power: float = 1.9
    uniform: float = 0.02

    def sample(self, generator: torch.Generator) -> float:
        chosen, u = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        return u if chosen < self.uniform else u ** (1 / self.power)


def sampling_times(
    steps: int, schedule: Literal["log", "uniform", "power"] = "log", p: float = 2.0
) -> Tensor:
    """(steps + 1,) float64 from 0 to 1.

    log: 1 - t spaced evenly in its logarithm over p decades, then stretched to [0, 1]. power: t^p.
    """
    if steps < 1:
        raise ValueError(f"sampling needs at least 1 step, not {steps}")
    even = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    if schedule == "uniform":
        return even
    if schedule == "power":
        return even**p
    t = 1 - torch.logspace(-p, 0, steps + 1, dtype=torch.float64).flip(0)
    return (t - t[0]) / (t[-1] - t[0])


@dataclass(frozen=True)
class Noise:
    """The noise of a stochastic sampler, which a drift along the score balances.

    strength: g(t), the strength of both as a function of the time: "1/t", (1 - t) / t ("us") or a tangent ("tan").
    scale: factor of the noise only; 1 keeps the path's distribution, less sharpens it. until: the last time with noise.
    """

    strength: Literal["1/t", "us", "tan"] = "1/t"
    scale: float = 0.4
    until: float = 0.99

    def g(self, t: float) -> float:
        t = min(t, LARGEST_TIME)
        if self.strength == "1/t":
            return 1 / (t + 0.01)
        if self.strength == "us":
            return (1 - t) / (t + 0.01)
        angle = (1 - t) * math.pi / 2
        return (math.pi / 2) * math.sin(angle) / (math.cos(angle) + 0.01)


def ode_step(x: Tensor, velocity: Tensor, dt: float) -> Tensor:
    """x + v dt."""
    return x + velocity * dt


def sde_step(
    x: Tensor, velocity: Tensor, t: Tensor, dt: float, g: float, scale: float, eps: Tensor
) -> Tensor:
    """x + (v + g s) dt + sqrt(2 g scale dt) eps, with the score s and normal eps."""
    drift = velocity + g * LinearPath.score(x, t, velocity)
    return x + drift * dt + math.sqrt(2 * g * scale * dt) * eps


def sample_path(
    denoise: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    x: Tensor,
    mask: Tensor,
    times: Tensor,
    noise: Noise | None = None,
    generators: Sequence[torch.Generator] = (),
) -> Tensor:
    """Integrates prior samples x (B, n, 3) along `times` to t = 1: by the probability flow, or with noise.

    denoise: (x_t, t, the previous x1_hat or None) -> x1_hat. Chains are centred after every step. generators: of
    the noise, one per chain, so that it does not depend on a chain's batch; on the CPU.
    """
    x, x1_hat = centred(x, mask), None
    moments = times.tolist()
    for now, following in pairwise(moments):
        t, dt = x.new_full((len(x),), now), following - now
        x1_hat = denoise(x, t, x1_hat)
        velocity = LinearPath.velocity(x, t, centred(x1_hat, mask))
        if noise is None or now > noise.until:
            x = ode_step(x, velocity, dt)
        else:
            eps = normal_points(mask, generators, x.dtype)
            x = sde_step(x, velocity, t, dt, noise.g(now), noise.scale, eps)
        x = centred(x, mask)
    return x
