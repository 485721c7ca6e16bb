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
    """Width of a dense layer; the number of channels is the smallest with which a product has as many weights."""
    layers: PositiveInt = 4
    """Number of message-passing layers."""
    lmax: Count = 1
    """Largest degree of hidden features; with degrees above 1, e3nn computes the products."""
    center: Literal["none", "graph_mean", "coordinate_mean"] = "none"
    """What is subtracted from positions before they become features: none; graph_mean, the mean position of the graph;
    coordinate_mean, the mean of each particle's own three coordinates, an error of the published code that breaks
    equivariance."""
    particles: Annotated[int, Field(ge=2)] = 5
    """Particles per graph; must equal the number in the store."""
    products: Literal["fast", "e3nn"] = "fast"
    """Implementation of the products for degrees up to 1. e3nn is more than three times slower; its features are in the
    official order, which the published Lie derivative of ES depends on by mistake."""

    multiplicities: tuple[Count, ...] | None = None
    """Number of hidden features of each degree 0, 1, ..., lmax, such as [6, 3] for the irreps 6x0e + 3x1o; null: the
    same number of each, derived from hidden_features."""
    lmax_attributes: Count | None = None
    """Largest degree of the attributes of nodes and edges; null: lmax."""

    @property
    def by_e3nn(self) -> bool:
        """Whether e3nn computes the products."""
        return self.products == "e3nn" or not self.has_fast_products

    @property
    def has_fast_products(self) -> bool:
        """Whether features and attributes are scalars and vectors only, with at least one of each."""
        return self.lmax == self.attribute_lmax == 1 and 0 not in self.hidden

    @property
    def attribute_lmax(self) -> int:
        return self.lmax if self.lmax_attributes is None else self.lmax_attributes

    @property
    def hidden(self) -> tuple[int, ...]:
        """Number of hidden features of each degree 0, 1, ..., lmax.

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
        """Channels of every degree: the smallest number with which a product has as many weights as the dense layer."""
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
    """Training SEGNN to predict positions; all methods share these settings, which are those of ACE's code."""

    network: SEGNNConfig = SEGNNConfig()
    """Sizes of the network."""
    relaxation: Component = NO_RELAXATION
    """The relaxation method, a class of twirl.relaxation; Method relaxes nothing."""
    optimizer: RelaxedOptimizer = RelaxedOptimizer(lr=9e-4)
    """Adam at a constant learning rate."""
    evaluate_every: PositiveInt = 150
    """Steps between measurements of the validation and test errors; the last step is also measured."""
    alphas_every: PositiveInt = 150
    """Steps between logged alphas and betas of every relaxed layer."""
    compile: bool = False
    """Whether torch.compile compiles the messages for training: steps take a third less time after a minute of
    compilation; on a CPU this needs a C++ compiler."""

    def __post_init__(self):
        if self.compile and self.network.by_e3nn:
            network = self.network
            raise ValueError(
                f"compile is for the fast products of degrees up to 1, and the network has lmax {network.lmax} and "
                f"products {network.products!r}: leave compile false"
            )
