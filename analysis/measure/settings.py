"""Settings of measurements of trained networks; light, since plans are checked with them."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from data.settings import Share, settings

Weights = Literal["raw", "ema"]


@settings
class RotationsSettings:
    """How many rotations an estimate of equivariance error needs, of which kind."""

    step: NonNegativeInt = 500
    """Whose weights, after so many optimiser steps; the run keeps them for this."""
    weights: Weights = "ema"
    """As trained, or averaged."""
    t: Share | None = 0.5
    """At which time of the path; null where there is none."""
    pool: Annotated[int, Field(ge=3)] = 100
    """Random rotations."""
    turns: Annotated[int, Field(ge=2)] = 16
    """Repetitions of every deterministic set, each turned at random."""
    super_fibonacci: tuple[Annotated[int, Field(ge=2)], ...] = (3, 5, 10, 20, 40)
    """Sizes of spiral sets."""
    product_quadrature: tuple[Annotated[int, Field(ge=2)], ...] = (4, 18, 32)
    """Sizes of quadratures; 4, 18, 32 and 75 are exact for degrees 1 to 4."""
    batches: PositiveInt | None = None
    """The first so many of the monitor's batches; null: all."""
    chunk: PositiveInt | None = 10
    """Rotations per model call; null: a whole set at once."""


@settings
class LatentsSettings:
    """How the bottleneck compares under rotations, after the last step."""

    molecules: PositiveInt = 1000
    """Validation molecules whose bottleneck is compared."""
    batch_size: Annotated[int, Field(ge=2, multiple_of=2)] = 16
    """Molecules at once, an even number: different ones are compared in pairs."""
    noise: Literal["turned", "fresh"] = "turned"
    """Noise of rotated densities: turned with them, so that 0 and 360 degrees are the same input, or drawn anew."""


@settings
class AttributionSettings:
    """Which layer's relaxation causes the equivariance error, after the last step."""

    rotations: Annotated[int, Field(ge=2)] | None = None
    """Rotations per measurement; null: the monitor's."""
