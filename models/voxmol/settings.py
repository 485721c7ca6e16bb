"""Settings of VoxMol; the defaults are the published ones (spec voxmol.md 2, 3, 4, 5)."""

from itertools import accumulate
from operator import mul
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from data.settings import Share, settings
from models.training.settings import Optimizer

# The official code measures voxels from 15 Angstrom below the molecule's centre, which decides how it rounds.
_BOX = 15.0


@settings
class VoxMolConfig:
    """The network: 111.5M parameters."""

    elements: Annotated[int, Field(ge=1, le=8)] = 8
    """Number of density channels: the first so many of the elements C H O N F S Cl Br."""
    channels: PositiveInt = 32
    """Features at full resolution."""
    multipliers: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 2, 2, 4)
    """Features of each level in units of those of the level before."""
    attention: Annotated[tuple[bool, ...], Field(min_length=1)] = (False, False, True, True)
    """Whether the blocks of each level contain attention."""
    blocks: PositiveInt = 2
    """Residual blocks per level of the encoder; the decoder has one more per level."""
    groups: NonNegativeInt = 16
    """Groups of every group norm, a divisor of every width; 0: no norms."""
    dropout: Share = 0.1
    """Dropout probability in every residual block."""
    channels_last: bool = True
    """Whether levels of up to 64 features use the channels-last memory format, which changes rounding only."""
    recompute: bool = False
    """Activation checkpointing: the backward pass recomputes blocks, which is slower and saves most of the memory."""

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
        """Voxels along the edge of a voxel of the coarsest level; a grid's size is a multiple of it."""
        return 2 ** (len(self.multipliers) - 1)


# The published sizes, as arguments of VoxMolConfig.
PUBLISHED = {"111M": {}, "28M": {"channels": 16}, "7M": {"channels": 8, "groups": 8}}


@settings
class GridConfig:
    """A cubic grid."""

    size: Annotated[int, Field(ge=2, multiple_of=2)] = 64
    """Voxels G along an edge; divisible by 2 as often as the network halves the grid."""
    resolution: PositiveFloat = 0.25
    """Edge length of a voxel, a divisor of 15 [Angstrom]."""
    radius: PositiveFloat = 0.5
    """Radius of every atom [Angstrom]."""
    half_window: PositiveInt = 5
    """Number of voxels that an atom's density reaches on either side of the atom's own voxel."""
    centring: Literal["upstream", "exact"] = "upstream"
    """upstream: molecules are displaced by 1/2 + resolution / 2 voxels, as published (there [Angstrom] is read as
    voxels); exact: they are not."""

    def __post_init__(self):
        if abs(_BOX / self.resolution - round(_BOX / self.resolution)) > 1e-9:
            raise ValueError(f"grid: resolution must divide {_BOX:g} Angstrom, not {self.resolution}")

    @property
    def offset(self) -> int:
        """Offset that makes coordinates in voxels positive."""
        return round(_BOX / self.resolution) + self.half_window

    @property
    def first(self) -> int:
        """The grid's first voxel, in coordinates with `offset` added."""
        return self.offset + 1 - self.size // 2

    @property
    def voxel_centre(self) -> float:
        """The point in a voxel to which distances are measured [voxels]."""
        return 0.5 * self.resolution if self.centring == "upstream" else -0.5

    @property
    def origin(self) -> float:
        """Voxel index of the peak of an atom at coordinate 0."""
        return self.size / 2 - 1 - self.voxel_centre

    def width(self, radius):
        """Squared width of the Gaussian [voxels^2] of an atom of this radius [Angstrom], a number or a tensor."""
        return 0.93**2 * (radius / self.resolution) ** 2


@settings
class AugmentConfig:
    """How molecules are rotated and shifted."""

    rotation: Literal["euler_xyz", "haar", "octahedral", "none"] = "euler_xyz"
    """Random rotation of every molecule at every step: euler_xyz, three uniform angles, as published; haar, uniform;
    octahedral, a rotation of the grid; or none."""
    shift: NonNegativeFloat = 0.5
    """Largest shift along each axis [Angstrom]."""


@settings
class MonitorConfig:
    """How the equivariance error is measured."""

    rotations: Literal["axis_preserving", "two_axis_turns", "octahedral"] = "axis_preserving"
    """The set from which the monitor draws rotations, separately for each molecule: axis_preserving, the 16 rotations
    of the grid that keep an axis; two_axis_turns, the other interpretation of the paper's 16; octahedral, all 24."""
    full_twirl: NonNegativeInt = 16
    """Molecules per monitor batch that are also twirled over all 24 rotations, with the averaged weights; 0: none."""
    seed: NonNegativeInt = 0
    """Seed of the pose and noise of the monitor's molecules, which are the same at every step."""


@settings
class VoxMolTaskSettings:
    """Training VoxMol to denoise voxelised molecules by least squares."""

    network: VoxMolConfig = VoxMolConfig()
    """Sizes of the network."""
    optimizer: Optimizer = Optimizer(name="scale_free_adamw", lr=2e-5, weight_decay=0.01, betas=(0.99, 0.999))
    """AdamW without epsilon, at a constant learning rate; weight decay applies to all parameters."""
    grid: GridConfig = GridConfig()
    """The voxels."""
    augment: AugmentConfig = AugmentConfig()
    """How molecules are rotated and shifted."""
    monitor: MonitorConfig = MonitorConfig()
    """How the equivariance error is measured."""
    sigma: PositiveFloat = 0.9
    """Standard deviation of the noise."""
    ema_decay: Share = 0.999
    """Decay per step of the exponential moving average of the weights; it starts at the initial weights, without bias
    correction."""
    compile: str | None = None
    """Backend of torch.compile for training, such as inductor; null: no compilation."""
