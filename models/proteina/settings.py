"""Settings of Proteína; the defaults are the published ones (spec proteina.md 3, 4, 5, 6)."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from data.settings import Probability, Share, settings
from models.training.settings import Optimizer

SEQUENCE_FEATURES = ("index", "chain_break", "x_sc")


@settings
class ProteinaConfig:
    """The network: 60M parameters without pair updates."""

    width: PositiveInt = 512
    """Channels d of a token."""
    layers: PositiveInt = 10
    """Number of layers, each of an attention and a transition."""
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
    """Bins of the distances in the self-conditioning prediction."""
    separation_bins: Annotated[int, Field(ge=3)] = 127
    """Bins of the differences of residue numbers."""
    least: PositiveFloat = 0.1
    """First limit of the bins of distances [nm]."""
    largest: PositiveFloat = 3.0
    """Last limit of the bins of distances [nm]."""
    registers: NonNegativeInt = 10
    """Number of register tokens, which precede the residues."""
    normalise_queries: bool = True
    """Whether queries and keys are normalised."""
    update_every: PositiveInt | None = None
    """Layers between updates of the pair features; null: no updates."""
    triangles: bool = False
    """Whether pair updates include triangle multiplication."""
    hidden: PositiveInt | None = None
    """Channels of triangle multiplication; null: those of pairs, at most 196."""
    buckets: Annotated[int, Field(ge=2)] = 64
    """Bins of the predicted distances (networks that update pairs)."""
    fold_classes: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt] = (0, 0, 0)
    """Numbers of CATH classes, architectures and topologies; 0 each: no fold conditioning, only a learned vector."""
    sequence_features: tuple[str, str, str] = SEQUENCE_FEATURES
    """Order of the sequence features index, chain_break and x_sc; it differs between published sizes."""
    recompute: Literal["nothing", "pairs", "everything"] = "nothing"
    """Activation checkpointing: what the backward pass recomputes to save memory; pairs: pair features and their
    updates; everything: also layers."""

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
        """Whether pairs are updated after a layer; after the last layer nothing would read them."""
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
    """The linear path from noise to chains."""

    output: Literal["velocity", "clean"] = "velocity"
    """What the network predicts: the velocity, or the clean chain."""


@settings
class TimesConfig:
    """The distribution of times in training."""

    power: PositiveFloat = 1.9
    """First parameter of the Beta(power, 1) distribution of times."""
    uniform: Probability = 0.02
    """Probability of drawing the time uniformly instead."""


@settings
class FlowConfig:
    """Flow matching: path, times, self-conditioning and the auxiliary loss."""

    path: PathConfig = PathConfig()
    """The path from noise to chains."""
    times: TimesConfig = TimesConfig()
    """Distribution of the times."""
    self_conditioning: Probability = 0.5
    """Probability that a training step uses self-conditioning: the network also gets its own first prediction."""
    distogram: NonNegativeFloat = 1.0
    """Weight of the distogram loss (networks that update pairs)."""
    distogram_largest: PositiveFloat = 1.0
    """Last limit of the distogram's bins [nm]."""
    distogram_from: Probability = 0.3
    """The distogram loss applies at times after this one."""


@settings
class ProteinaTaskSettings:
    """Training Proteína by flow matching on C-alpha chains."""

    network: ProteinaConfig = ProteinaConfig()
    """Sizes of the network."""
    optimizer: Optimizer = Optimizer(lr=1e-4)
    """Adam at a constant learning rate, without weight decay."""
    flow: FlowConfig = FlowConfig()
    """Settings of flow matching."""
    ema_decay: Share = 0.999
    """Decay per step of the exponential moving average of the weights; it starts at the initial weights, without bias
    correction."""
    monitor_times: tuple[Share, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99)
    """Times at which the equivariance error is measured."""
    monitor_noise_seed: NonNegativeInt = 0
    """Seed of the noise of the monitor's chains, which is the same at all steps and times."""
