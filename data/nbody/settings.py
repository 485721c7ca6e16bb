"""Settings of the batches."""

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from data.settings import settings


@settings
class NBodyDataSettings:
    """Batches of charged particles."""

    store: str
    """The prepared store; filled in from the tier."""
    batch_size: PositiveInt = 100
    """Graphs per training step, over all processes; what does not fill a batch waits for the next epoch."""
    input_frame: NonNegativeInt = 30
    """Frame whose positions and velocities are given; the store must have it."""
    target_frames: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] = (40,)
    """Frames to predict, ascending; errors are of the last."""
    rotate: bool = False
    """Whether every training batch is turned by one random rotation, as in ES's recipe."""
    monitor_trajectories: PositiveInt = 64
    """Validation trajectories on which the monitor measures, the first ones, in four batches."""
