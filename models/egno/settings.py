"""Settings of EGNO; the defaults are the published ones for motion capture (spec egno.md 3, 4)."""

from pydantic import PositiveInt

from data.settings import settings
from models.training.settings import NO_RELAXATION, Component, RelaxedOptimizer


@settings
class EGNOConfig:
    """The network: 1,192,684 parameters."""

    layers: PositiveInt = 6
    """Each a convolution along time and a graph layer on every frame."""
    hidden: PositiveInt = 128
    """Features of a node and of a message."""
    node_features: PositiveInt = 2
    """Given of every node: speed and height of joints 2, speed of particles 1."""
    edge_features: PositiveInt = 2
    """Given of every edge: type or product of charges, and squared distance: 2."""
    frames: PositiveInt = 5
    """Frames predicted; as many as the data's targets."""
    modes: PositiveInt = 2
    """Frequencies that the convolutions along time keep."""
    time_features: PositiveInt = 32
    """Of the number of the frame."""
    flat: bool = False
    """tanh in place of SiLU, and inner layers four times as wide."""
    norm: bool = False
    """Squared distances between features divided by themselves."""
    velocity: bool = True
    """Whether velocities move nodes."""
    time_conv: bool = True
    """Off, frames do not see each other."""


@settings
class EGNOTaskSettings:
    """Prediction of the next frames."""

    network: EGNOConfig = EGNOConfig()
    """Sizes of the network."""
    relaxation: Component = NO_RELAXATION
    """A method of twirl.relaxation; Method relaxes nothing."""
    optimizer: RelaxedOptimizer = RelaxedOptimizer(lr=5e-4, weight_decay=1e-10)
    """Adam at a constant rate."""
    evaluate_every: PositiveInt = 80
    """Between measurements of validation and test errors, which are also measured after the last step [steps]."""
    patience: PositiveInt | None = None
    """Evaluations without a better one after which the selected step stands; null: it may always change."""
    alphas_every: PositiveInt = 80
    """Between rows of alpha and beta of every place [steps]."""
