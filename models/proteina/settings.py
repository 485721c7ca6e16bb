"""Settings of Proteína; the defaults are the published ones (spec proteina.md 3, 4, 5, 6)."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from data.settings import Probability, Share, settings
from models.training.settings import GradientConfig, Optimizer, RotationStudyConfig

SEQUENCE_FEATURES = ("index", "chain_break", "x_sc")


@settings
class ProteinaConfig:
    """The network: 60M parameters without pair updates."""

    width: PositiveInt = 512
    """Channels d of a token."""
    layers: PositiveInt = 10
    """Of attention and transition."""
    heads: PositiveInt = 8
    """Attention heads; divides width."""
    pair: PositiveInt = 256
    """Channels p of a pair of residues."""
    cond: PositiveInt = 512
    """Channels of the condition."""
    time: Annotated[int, Field(ge=4)] = 256
    """Channels of the embedded time."""
    index: Annotated[int, Field(ge=2)] = 128
    """Channels of the embedded residue number, an even number."""
    fold: PositiveInt = 256
    """Channels of each level of the fold."""
    x_t_bins: Annotated[int, Field(ge=2)] = 64
    """Bins of the distances between noised residues."""
    x_sc_bins: Annotated[int, Field(ge=2)] = 128
    """The same in the network's own first guess."""
    separation_bins: Annotated[int, Field(ge=3)] = 127
    """Bins of the differences of residue numbers."""
    least: PositiveFloat = 0.1
    """First limit of the bins of distances [nm]."""
    largest: PositiveFloat = 3.0
    """Last limit of them [nm]."""
    registers: NonNegativeInt = 10
    """Tokens beside the residues."""
    normalise_queries: bool = True
    """Whether queries and keys are normalised."""
    update_every: PositiveInt | None = None
    """Layers between updates of the pairs; null: none."""
    triangles: bool = False
    """Whether updates multiply triangles."""
    hidden: PositiveInt | None = None
    """Channels of triangles; null: those of pairs, at most 196."""
    buckets: Annotated[int, Field(ge=2)] = 64
    """Of the predicted distances where pairs are updated."""
    fold_classes: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt] = (0, 0, 0)
    """Classes, architectures and topologies of CATH; 0 each without fold conditioning: one learned vector remains."""
    sequence_features: tuple[str, str, str] = SEQUENCE_FEATURES
    """Order of the columns of a matrix, index, chain_break and x_sc, which differs between published sizes."""
    recompute: Literal["nothing", "pairs", "everything"] = "nothing"
    """What the backward pass computes again rather than remembers: pair features and their updates, or layers too."""

    def __post_init__(self):
        if self.width % self.heads:
            raise ValueError(f"Proteina: width {self.width} is not a multiple of heads {self.heads}")
        if sorted(self.sequence_features) != sorted(SEQUENCE_FEATURES):
            raise ValueError(
                f"Proteina: sequence_features must be {', '.join(SEQUENCE_FEATURES)} in some order"
            )
        if self.index % 2:
            raise ValueError(f"Proteina: index must be even to embed, not {self.index}")
        if self.triangles and self.update_every is None:
            raise ValueError("Proteina: triangles update pairs: give update_every")

    def updates_after(self, layer: int) -> bool:
        """Whether pairs are updated after a layer; after the last one they would have no reader."""
        return self.update_every is not None and layer < self.layers - 1 and layer % self.update_every == 0


_LARGE = {"pair": 512, "sequence_features": ("index", "x_sc", "chain_break")}
_200M = {"width": 768, "layers": 15, "heads": 12} | _LARGE
_400M = {"width": 1024, "layers": 18, "heads": 16} | _LARGE
# The published sizes (spec proteina.md 4.1), as arguments of ProteinaConfig.
PUBLISHED = {
    "60M": {},
    "60M-tri": {"update_every": 2, "triangles": True},
    "200M": _200M,
    "200M-tri": _200M | {"update_every": 3, "triangles": True},
    "400M-tri": _400M | {"update_every": 5, "triangles": True},
}


@settings
class PathConfig:
    """From noise to chains, in a straight line."""

    output: Literal["velocity", "clean"] = "velocity"
    """What the network gives: the velocity, or the clean chain."""


@settings
class TimesConfig:
    """How the times of training are distributed."""

    power: PositiveFloat = 1.9
    """First parameter of the Beta(power, 1) distribution of times."""
    uniform: Probability = 0.02
    """Probability of a uniform time instead."""


@settings
class FlowConfig:
    """What is learnt."""

    path: PathConfig = PathConfig()
    """From noise to chains."""
    times: TimesConfig = TimesConfig()
    """Distribution of the times."""
    self_conditioning: Probability = 0.5
    """Probability that a step shows the network its own first guess."""
    distogram: NonNegativeFloat = 1.0
    """Weight of the loss of final distances, where pairs are updated."""
    distogram_largest: PositiveFloat = 1.0
    """Last limit of those distances [nm]."""
    distogram_from: Probability = 0.3
    """That loss counts at times after this one."""


@settings
class ProteinaTaskSettings:
    """Flow matching of C-alpha chains."""

    network: ProteinaConfig = ProteinaConfig()
    """Sizes of the network."""
    optimizer: Optimizer = Optimizer(lr=1e-4)
    """Adam at a constant rate, without weight decay."""
    flow: FlowConfig = FlowConfig()
    """What is learnt."""
    ema_decay: Share = 0.999
    """Decay per step of the averaged weights; averaging starts at the initial weights, without bias correction."""
    monitor_times: tuple[Share, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99)
    """Times at which the equivariance error is measured."""
    monitor_noise_seed: NonNegativeInt = 0
    """Of the noise of the monitor's chains, the same at all steps and times."""
    gradients: GradientConfig | None = None
    """When and how the gradients of both parts of the loss are measured; null: they are not."""
    rotation_study: RotationStudyConfig | None = None
    """What rotations.parquet is measured with; null: it is not written."""
