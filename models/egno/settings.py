"""Settings of EGNO; the defaults are the published ones for motion capture (spec egno.md 3, 4)."""

from pydantic import PositiveInt

from data.settings import settings
from models.training.settings import NO_RELAXATION, Component, RelaxedOptimizer


@settings
class EGNOConfig:
    """The network: 1,192,684 parameters."""

    layers: PositiveInt = 6
    """Number of layers; each is a convolution along time and a graph layer on every frame."""
    hidden: PositiveInt = 128
    """Features of a node and of a message."""
    node_features: PositiveInt = 2
    """Invariant features of a node in the data: 2 for joints (speed and height), 1 for particles (speed)."""
    edge_features: PositiveInt = 2
    """Features of an edge in the data: its type or the product of charges, and the squared distance."""
    frames: PositiveInt = 5
    """Number of predicted frames; equals the number of target frames in the data."""
    modes: PositiveInt = 2
    """Frequencies that the convolutions along time keep."""
    time_features: PositiveInt = 32
    """Features that encode the number of the frame."""
    flat: bool = False
    """Whether layers use tanh instead of SiLU and are four times as wide inside."""
    norm: bool = False
    """Whether messages get the squared distance divided by itself, an option of the official code."""
    velocity: bool = True
    """Whether velocities move nodes."""
    time_conv: bool = True
    """Whether there are convolutions along time; without them each frame is computed independently."""


@settings
class EGNOTaskSettings:
    """Training EGNO to predict future frames."""

    network: EGNOConfig = EGNOConfig()
    """Sizes of the network."""
    relaxation: Component = NO_RELAXATION
    """The relaxation method, a class of twirl.relaxation; Method relaxes nothing."""
    optimizer: RelaxedOptimizer = RelaxedOptimizer(lr=5e-4, weight_decay=1e-10)
    """Adam at a constant learning rate."""
    evaluate_every: PositiveInt = 80
    """Steps between measurements of the validation and test errors; the last step is also measured."""
    patience: PositiveInt | None = None
    """Early stopping: the selected step is final after this many evaluations without a lower validation
    error; null: off."""
    alphas_every: PositiveInt = 80
    """Steps between logged alphas and betas of every relaxed layer."""
