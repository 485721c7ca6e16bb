"""Settings of the simple networks (spec segnn.md 7, egno.md 4.4)."""

from typing import Literal

from pydantic import PositiveInt

from data.settings import settings
from models.training.settings import Optimizer


@settings
class BaselineConfig:
    """Which network, and its size."""

    kind: Literal["linear", "rf", "gnn", "egnn"] = "egnn"
    """An affine map, a radial field, a graph network without symmetry, an E(n)-equivariant one."""
    layers: PositiveInt = 4
    """Of all but linear."""
    hidden: PositiveInt = 64
    """Features of nodes, messages and inner layers of all but linear."""
    node_features: PositiveInt = 1
    """egnn: given of every node, speed and height of joints 2, speed of particles 1."""
    edge_features: PositiveInt = 2
    """rf, egnn: given of every edge, type or product of charges, and squared distance: 2; gnn is without the latter."""


@settings
class BaselineTaskSettings:
    """Prediction of positions at the last target frame."""

    network: BaselineConfig = BaselineConfig()
    """Which network, and its size."""
    optimizer: Optimizer = Optimizer(lr=5e-4, weight_decay=1e-12)
    """Adam at a constant rate."""
    evaluate_every: PositiveInt = 150
    """Between measurements of validation and test errors, which are also measured after the last step [steps]."""
