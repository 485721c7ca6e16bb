"""Settings of the batches."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from data.settings import settings


@settings
class MocapDataSettings:
    """Batches of motion capture."""

    store: str
    """The prepared store; filled in from the tier."""
    motion: Literal["run", "walk"]
    """Which of the store's motions."""
    batch_size: PositiveInt = 12
    """Samples per training step, over all processes; what does not fill a batch waits for the next epoch."""
    frames: Annotated[int, Field(ge=1, le=5)] = 5
    """Targets are the last so many frames of the horizon; errors are of the last."""
    monitor_samples: PositiveInt = 48
    """Validation samples on which the monitor measures, evenly spread."""
