"""Settings of SEGNN; the defaults are the published ones (spec segnn.md 3, 4)."""

import math
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from data.settings import Count, settings
from models.training.settings import NO_RELAXATION, Component, RelaxedOptimizer


@settings
class SEGNNConfig:
    """The network: 147,424 parameters."""

    hidden_features: PositiveInt = 64
    """Of a dense layer with about as many weights as a product, which decides the channels."""
    layers: PositiveInt = 4
    """Of message passing."""
    lmax: Count = 1
    """Largest degree of hidden features; above 1 e3nn computes the products."""
    center: Literal["none", "graph_mean", "coordinate_mean"] = "none"
    """Subtracted from positions among the features: nothing, the mean of the graph, or every particle's mean of its own
    three coordinates, a slip of the published code that makes the network no longer equivariant."""
    particles: Annotated[int, Field(ge=2)] = 5
    """Of each graph; as many as the store has."""
    products: Literal["fast", "e3nn"] = "fast"
    """Who computes the products for degrees up to 1; e3nn takes over three times as long, with features in the official
    order, on which ES's published slip depends."""

    multiplicities: tuple[Count, ...] | None = None
    """How many hidden features there are of degree 0, 1, ..., lmax, such as [6, 3] for the irreps 6x0e + 3x1o; null:
    equally many of each, by hidden_features."""
    lmax_attributes: Count | None = None
    """Largest degree of the attributes of nodes and edges; null: lmax."""

    @property
    def by_e3nn(self) -> bool:
        """Whether e3nn computes the products."""
        return self.products == "e3nn" or not self.has_fast_products

    @property
    def has_fast_products(self) -> bool:
        """Whether features and attributes are scalars and vectors, and there are some of both."""
        return self.lmax == self.attribute_lmax == 1 and 0 not in self.hidden

    @property
    def attribute_lmax(self) -> int:
        return self.lmax if self.lmax_attributes is None else self.lmax_attributes

    @property
    def hidden(self) -> tuple[int, ...]:
        """How many hidden features there are of degree 0, 1, ..., lmax.

        ValueError for `multiplicities` of other degrees, or for attributes that cannot lead to all degrees.
        """
        if self.attribute_lmax < max(self.lmax, 1):
            raise ValueError(
                f"SEGNN: attributes up to degree {self.attribute_lmax} do not lead to features of degree "
                f"{max(self.lmax, 1)}; set lmax_attributes to that at least"
            )
        if self.multiplicities is None:
            return (self.channels,) * (self.lmax + 1)
        found = self.multiplicities
        if len(found) != self.lmax + 1 or not any(found):
            raise ValueError(
                f"SEGNN: multiplicities must say how many features there are of each degree 0 to {self.lmax} (lmax), "
                f"which {list(found)} does not"
            )
        return found

    @property
    def channels(self) -> int:
        """Of every degree: the fewest with which a product has as many weights as the dense layer."""
        degrees = range(self.lmax + 1)
        paths = sum(
            (a + b + c) % 2 == 0 and abs(a - b) <= c <= a + b
            for a in degrees
            for b in range(self.attribute_lmax + 1)
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
