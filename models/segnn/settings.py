"""Settings of SEGNN; the defaults are the published ones (spec segnn.md 3, 4)."""

import math
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from data.settings import settings
from models.training.settings import NO_RELAXATION, Component, RelaxedOptimizer


@settings
class SEGNNConfig:
    """The network: 147,424 parameters."""

    hidden_features: PositiveInt = 64
    """Of a dense layer with about as many weights as a product, which decides the channels."""
    layers: PositiveInt = 4
    """Of message passing."""
    lmax: PositiveInt = 1
    """Largest degree of features and attributes; above 1 e3nn computes the products."""
    center: Literal["none", "graph_mean", "coordinate_mean"] = "none"
    """Subtracted from positions among the features: nothing, the mean of the graph, or every particle's mean of its own
    three coordinates, a slip of the published code that makes the network no longer equivariant."""
    particles: Annotated[int, Field(ge=2)] = 5
    """Of each graph; as many as the store has."""
    products: Literal["fast", "e3nn"] = "fast"
    """Who computes the products for degrees up to 1; e3nn takes over three times as long, with features in the official
    order, on which ES's published slip depends."""

    @property
    def by_e3nn(self) -> bool:
        """Whether e3nn computes the products."""
        return self.lmax != 1 or self.products == "e3nn"

    @property
    def channels(self) -> int:
        """Of every degree: the fewest with which a product has as many weights as the dense layer."""
        degrees = range(self.lmax + 1)
        paths = sum(
            (a + b + c) % 2 == 0 and abs(a - b) <= c <= a + b
            for a in degrees
            for b in degrees
            for c in degrees
        )
        return math.ceil(self.hidden_features / paths**0.5)


@settings
class SEGNNTaskSettings:
    """Prediction of positions; the set-up that all methods share, which is ACE's."""

    network: SEGNNConfig = SEGNNConfig()
    """Sizes of the network."""
    relaxation: Component = NO_RELAXATION
    """A method of twirl.relaxation; Method relaxes nothing."""
    optimizer: RelaxedOptimizer = RelaxedOptimizer(lr=9e-4)
    """Adam at a constant rate."""
    evaluate_every: PositiveInt = 150
    """Between measurements of validation and test errors, which are also measured after the last step [steps]."""
    alphas_every: PositiveInt = 150
    """Between rows of alpha and beta of every layer [steps]."""
    compile: bool = False
    """Messages of training steps by torch.compile: a third less time a step, after a minute to begin with; on CPU it
    needs a C++ compiler."""

    def __post_init__(self):
        if self.compile and self.network.by_e3nn:
            network = self.network
            raise ValueError(
                f"compile is for the fast products of degrees up to 1, and the network has lmax {network.lmax} and "
                f"products {network.products!r}: leave compile false"
            )
