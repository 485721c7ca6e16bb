"""Settings of the batches."""

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from data.settings import Seed, settings


@settings
class GeomDrugsDataSettings:
    """Batches of conformers."""

    store: str
    """The prepared store; filled in from the tier."""
    batch_size: PositiveInt = 160
    """Conformers per training step, over all processes; what does not fill a batch waits for the next epoch."""
    elements: Annotated[int, Field(ge=1, le=8)] = 8
    """As of the network; molecules with others are left out, and counted."""
    conformers_per_molecule: PositiveInt = 5
    """At most so many of each molecule, those of largest weight."""
    train_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of the training conformers, drawn nested."""
    train_size_seed: Seed = 0
    """Seed of that draw."""
    monitor_molecules: PositiveInt = 64
    """Validation molecules on which the monitor measures, the first ones, one conformer of each, in four batches."""
    workers: NonNegativeInt = 0
    """Loader processes; 0 loads in the training process."""
