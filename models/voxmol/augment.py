"""The pose of a molecule in its grid: centred, rotated, shifted (spec voxmol.md section 2.3)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.voxmol.settings import AugmentConfig
from twirl.groups import SO3, Octahedral, about_axis


@dataclass(frozen=True)
class Pose:
    """rotation (..., 3, 3), then shift (..., 3) [Angstrom]."""

    rotation: Tensor
    shift: Tensor

    def __call__(self, coordinates: Tensor, channels: Tensor) -> Tensor:
        """Coordinates (B, N, 3) relative to the mean of each molecule's atoms, rotated and shifted; zero at padding."""
        real = (channels >= 0)[..., None]
        mean = (coordinates * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)
        turned = (self.rotation[:, None] * (coordinates - mean)[..., None, :]).sum(-1)
        return (turned + self.shift[:, None]) * real


def draw_pose(config: AugmentConfig, generator: torch.Generator) -> Pose:
    """One random pose, in float32 on the CPU."""
    if config.rotation == "euler_xyz":
        rotation = euler_xyz(2 * math.pi * torch.rand(3, generator=generator, dtype=torch.float64))
    elif config.rotation == "none":
        rotation = torch.eye(3)
    else:
        group = SO3() if config.rotation == "haar" else Octahedral()
        rotation = group.sample(1, generator)[0]
    shift = config.shift * (2 * torch.rand(3, generator=generator) - 1)
    return Pose(rotation.float(), shift)


def euler_xyz(angles: Tensor) -> Tensor:
    """Rotations (..., 3, 3) by angles (..., 3) [radian] about x, then y, then z; about y clockwise, as published.

    In the dtype of the angles. Raises ValueError if the last dimension does not have three angles.
    """
    x, y, z = angles.unbind(-1)
    return about_axis("z", z) @ about_axis("y", -y) @ about_axis("x", x)
