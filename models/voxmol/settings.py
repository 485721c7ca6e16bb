"""Settings of VoxMol; the defaults are the published ones (spec voxmol.md 2, 3, 4, 5)."""

from itertools import accumulate
from operator import mul
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from data.settings import Share, settings
from models.training.settings import Optimizer

# Upstream measures voxels from 15 Angstrom below the molecule's centre; where its rounding happens depends on it.
_BOX = 15.0


@settings
class VoxMolConfig:
    """The network: 111.5M parameters."""

    elements: Annotated[int, Field(ge=1, le=8)] = 8
    """Channels of the density, of C H O N F S Cl Br the first so many."""
    channels: PositiveInt = 32
    """Features at full resolution."""
    multipliers: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 2, 2, 4)
    """Features of each level over those of the one before, cumulative."""
    attention: Annotated[tuple[bool, ...], Field(min_length=1)] = (False, False, True, True)
    """Whether the blocks of each level attend."""
    blocks: PositiveInt = 2
    """Residual blocks of a level of the encoder; the decoder has one more."""
    groups: NonNegativeInt = 16
    """Of every norm, a divisor of every width; 0: no norms."""
    dropout: Share = 0.1
    """In every residual block."""
    channels_last: bool = True
    """Features of a voxel lie side by side in memory on levels of up to 64, which changes rounding only."""
    recompute: bool = False
    """The backward pass computes blocks again, which takes longer and needs a fraction of the memory."""

    def __post_init__(self):
        if len(self.attention) != len(self.multipliers):
            raise ValueError(
                f"VoxMol: attention has {len(self.attention)} levels, multipliers has {len(self.multipliers)}"
            )
        normed = {self.channels, *self.widths}
        if self.groups and (odd := sorted(width for width in normed if width % self.groups)):
            raise ValueError(f"VoxMol: groups {self.groups} does not divide the width {odd[0]}")

    @property
    def widths(self) -> list[int]:
        """Features of each level."""
        return list(accumulate(self.multipliers, mul, initial=self.channels))[1:]

    @property
    def coarsening(self) -> int:
        """Voxels along the edge of one of the coarsest; a grid's size is a multiple of it."""
        return 2 ** (len(self.multipliers) - 1)


# The published sizes, as arguments of VoxMolConfig.
PUBLISHED = {"111M": {}, "28M": {"channels": 16}, "7M": {"channels": 8, "groups": 8}}


@settings
class GridConfig:
    """A cubic grid."""

    size: Annotated[int, Field(ge=2, multiple_of=2)] = 64
    """Voxels G along an edge, divisible as often as the network halves it."""
    resolution: PositiveFloat = 0.25
    """Edge of a voxel, a divisor of 15 [Angstrom]."""
    radius: PositiveFloat = 0.5
    """Of every atom [Angstrom]."""
    half_window: PositiveInt = 5
    """Voxels on either side of an atom's own that it touches."""
    centring: Literal["upstream", "exact"] = "upstream"
    """upstream displaces molecules by 1/2 + resolution / 2 voxels ([Angstrom] read as voxels), as published; exact does
    not."""

    def __post_init__(self):
        if abs(_BOX / self.resolution - round(_BOX / self.resolution)) > 1e-9:
            raise ValueError(f"grid: resolution must divide {_BOX:g} Angstrom, not {self.resolution}")

    @property
    def offset(self) -> int:
        """Added to coordinates in voxels, so that they are positive."""
        return round(_BOX / self.resolution) + self.half_window

    @property
    def first(self) -> int:
        """The grid's first voxel, counted as `offset` counts."""
        return self.offset + 1 - self.size // 2

    @property
    def voxel_centre(self) -> float:
        """Where in a voxel distances are measured to [voxels]."""
        return 0.5 * self.resolution if self.centring == "upstream" else -0.5

    @property
    def origin(self) -> float:
        """Index at which an atom at coordinate 0 has its peak."""
        return self.size / 2 - 1 - self.voxel_centre

    def width(self, radius):
        """Squared width of a Gaussian [voxels^2], of an atom's radius [Angstrom], a number or a tensor."""
        return 0.93**2 * (radius / self.resolution) ** 2


@settings
class AugmentConfig:
    """How a molecule is put before the network."""

    rotation: Literal["euler_xyz", "haar", "octahedral", "none"] = "euler_xyz"
    """Of every molecule at every step: three uniform angles as published, uniform, of the grid, or none."""
    shift: NonNegativeFloat = 0.5
    """Largest shift along each axis [Angstrom]."""


@settings
class MonitorConfig:
    """What of the network is measured."""

    rotations: Literal["axis_preserving", "two_axis_turns", "octahedral"] = "axis_preserving"
    """What the monitor's rotations are drawn from, for every molecule anew: the 16 of the grid that keep an axis,
    another reading of the published 16, or all 24."""
    full_twirl: NonNegativeInt = 16
    """So many molecules of each of the monitor's batches are twirled over all 24 rotations, too, by the averaged
    weights; 0: none."""
    seed: NonNegativeInt = 0
    """Draws pose and noise of the monitor's molecules, the same at every step."""


@settings
class LatentConfig:
    """How the bottleneck is compared under rotations at the end of a run."""

    molecules: NonNegativeInt = 0
    """Validation molecules whose bottleneck is compared; 0: none."""
    batch_size: Annotated[int, Field(ge=2, multiple_of=2)] = 16
    """Molecules at once, an even number: different ones are compared in pairs."""
    noise: Literal["turned", "fresh"] = "turned"
    """Noise of rotated densities: turned with them, so that 0 and 360 degrees are the same input, or drawn anew."""


@settings
class VoxMolTaskSettings:
    """Denoising of voxelised molecules by least squares."""

    network: VoxMolConfig = VoxMolConfig()
    """Sizes of the network."""
    optimizer: Optimizer = Optimizer(name="scale_free_adamw", lr=2e-5, weight_decay=0.01, betas=(0.99, 0.999))
    """AdamW without epsilon, at a constant rate; weight decay on everything."""
    grid: GridConfig = GridConfig()
    """The voxels."""
    augment: AugmentConfig = AugmentConfig()
    """How a molecule is put before the network."""
    monitor: MonitorConfig = MonitorConfig()
    """What of the network is measured."""
    latents: LatentConfig = LatentConfig()
    """How the bottleneck is compared under rotations at the end of a run."""
    sigma: PositiveFloat = 0.9
    """Standard deviation of the noise."""
    ema_decay: Share = 0.999
    """Decay per step of the averaged weights; averaging starts at the initial weights, without bias correction."""
    compile: str | None = None
    """Backend of torch.compile for training, such as inductor; null: none."""
