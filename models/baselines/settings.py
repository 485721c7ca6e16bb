"""Settings of the baselines (spec segnn.md 7, egno.md 4.4)."""

from typing import Literal

from pydantic import PositiveInt

from data.settings import settings
from models.training.settings import Optimizer


@settings
class BaselineConfig:
    """Which network, and its size."""

    kind: Literal["linear", "rf", "gnn", "egnn"] = "egnn"
    """linear: an affine map; rf: a radial field; gnn: a graph network without symmetry; egnn: E(n)-equivariant."""
    layers: PositiveInt = 4
    """Number of layers (rf, gnn, egnn)."""
    hidden: PositiveInt = 64
    """Features of nodes, messages and hidden layers (rf, gnn, egnn)."""
    node_features: PositiveInt = 1
    """egnn: invariant features of a node in the data; 2 for joints (speed and height), 1 for particles (speed)."""
    edge_features: PositiveInt = 2
    """Features of an edge in the data: its type or the product of charges, and for rf and egnn the squared distance."""


@settings
class BaselineTaskSettings:
    """Training a baseline to predict positions at the last target frame."""

    network: BaselineConfig = BaselineConfig()
    """Which network, and its size."""
    optimizer: Optimizer = Optimizer(lr=5e-4, weight_decay=1e-12)
    """Adam at a constant learning rate."""
    evaluate_every: PositiveInt = 150
    """Steps between measurements of the validation and test errors; the last step is also measured."""
