"""From stored clouds to network inputs: rotations and the recipe's augmentations (spec vn_pointnet.md 2.2).

Every function takes points (B, N, 3) and returns as many, on their device and in their dtype, and draws from
`generator` alone. Draws are made on the generator's device: a CPU generator gives the same on every device.
"""

import torch
from torch import Tensor

from twirl.groups import SO2, SO3

ROTATIONS = ("none", "z", "so3")
STRETCH = (2 / 3, 3 / 2)
OFFSET = 0.2
MOST_DROPPED = 0.875
SCALE = (0.8, 1.25)
SHIFT = 0.1


def train_view(
    points: Tensor,
    rotation: str,
    generator: torch.Generator,
    *,
    most_dropped: float = MOST_DROPPED,
    shift_in_ball: bool = False,
) -> Tensor:
    """The training input: stretched and offset, shuffled, rotated, thinned, scaled, shifted, in this order.

    most_dropped: bound of the share of dropped points; 0 drops none. shift_in_ball: the last shift uniform in
    a ball, not in the recipe's cube: with rotation "so3" the distribution is then exactly invariant.
    """
    points = stretched(points, generator)
    points = shuffled(points, generator)
    points = rotated(points, rotation, generator)
    points = thinned(points, generator, most_dropped)
    points = scaled(points, generator)
    return shifted(points, generator, in_ball=shift_in_ball)


def evaluation_view(points: Tensor, rotation: str, generator: torch.Generator) -> Tensor:
    """The test input: rotated, nothing else."""
    return rotated(points, rotation, generator)


def stretched(points: Tensor, generator: torch.Generator) -> Tensor:
    """p -> p * s + t, per cloud and axis: s uniform in STRETCH, t uniform in [-OFFSET, OFFSET]."""
    shape = (len(points), 1, 3)
    factor = _uniform(shape, *STRETCH, generator, points)
    return points * factor + _uniform(shape, -OFFSET, OFFSET, generator, points)


def shuffled(points: Tensor, generator: torch.Generator) -> Tensor:
    """The points of each cloud in a random order."""
    order = _uniform(points.shape[:2], 0, 1, generator).argsort(1).to(points.device)
    return points.gather(1, order[..., None].expand_as(points))


def rotated(points: Tensor, rotation: str, generator: torch.Generator) -> Tensor:
    """p -> R p, one R per cloud: "none", "z" uniform about z, "so3" uniform over all rotations."""
    if rotation not in ROTATIONS:
        raise ValueError(f"rotation is {rotation!r}, not one of {', '.join(ROTATIONS)}")
    if rotation == "none":
        return points
    group = SO3() if rotation == "so3" else SO2("z")
    R = group.sample(len(points), generator, points.dtype).to(points.device)
    return points @ R.mT


def thinned(points: Tensor, generator: torch.Generator, most: float = MOST_DROPPED) -> Tensor:
    """Random points replaced by the cloud's first: each with probability r, r uniform in [0, most) per cloud."""
    r = _uniform((len(points), 1), 0, most, generator)
    is_dropped = (_uniform(points.shape[:2], 0, 1, generator) < r).to(points.device)
    return torch.where(is_dropped[..., None], points[:, :1], points)


def scaled(points: Tensor, generator: torch.Generator) -> Tensor:
    """p -> s p, one s per cloud, uniform in SCALE."""
    return points * _uniform((len(points), 1, 1), *SCALE, generator, points)


def shifted(points: Tensor, generator: torch.Generator, *, in_ball: bool = False) -> Tensor:
    """p -> p + t, one t per cloud, uniform in the cube [-SHIFT, SHIFT]^3 or in the ball of radius SHIFT."""
    if not in_ball:
        return points + _uniform((len(points), 1, 3), -SHIFT, SHIFT, generator, points)
    direction = torch.randn(len(points), 1, 3, generator=generator, device=generator.device)
    direction = torch.nn.functional.normalize(direction, dim=-1)
    radius = SHIFT * _uniform((len(points), 1, 1), 0, 1, generator) ** (1 / 3)
    return points + (radius * direction).to(points)


def _uniform(
    shape, low: float, high: float, generator: torch.Generator, like: Tensor | None = None
) -> Tensor:
    """Uniform in [low, high), on the generator's device, or like another tensor."""
    drawn = low + (high - low) * torch.rand(*shape, generator=generator, device=generator.device)
    return drawn if like is None else drawn.to(like)
