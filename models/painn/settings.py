"""Settings of PaiNN; the defaults are its paper's for molecules, except the cutoff, which suits the particles."""

from pydantic import PositiveFloat, PositiveInt

from data.settings import settings
from models.training.settings import Optimizer


@settings
class PaiNNConfig:
    """The network."""

    features: PositiveInt = 128
    """Scalars and vectors of every point."""
    layers: PositiveInt = 3
    """Of message and update."""
    radial: PositiveInt = 20
    """Waves that a distance is expanded in."""
    cutoff: PositiveFloat = 20.0
    """Largest distance at which points exchange messages; almost all pairs of particles are closer."""
    node_features: PositiveInt = 1
    """Given of every point: its speed, and whatever else the data set knows."""
    edge_features: PositiveInt = 1
    """Given of every edge: the product of charges."""


@settings
class PaiNNTaskSettings:
    """Prediction of positions at the last target frame."""

    network: PaiNNConfig = PaiNNConfig()
    """The network."""
    optimizer: Optimizer = Optimizer(lr=5e-4, weight_decay=1e-12)
    """Adam at a constant rate, as EGNN's on this data set."""
    evaluate_every: PositiveInt = 150
    """Between measurements of validation and test errors, which are also measured after the last step [steps]."""
