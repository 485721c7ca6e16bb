"""Settings of the batches."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from data.settings import Probability, settings


@settings
class ViewSettings:
    """How stored clouds become inputs."""

    rotation: Literal["none", "z", "so3"] = "so3"
    """Of training and test inputs alike: none is the data set called aligned, so3 rotated."""
    most_dropped: Probability = 0.875
    """Bound of the share of points that training replaces by the first."""
    shift_in_ball: bool = False
    """Training's last shift is in a ball, not in the recipe's cube, so that the rotated inputs' distribution is exactly
    invariant."""


@settings
class ModelnetDataSettings:
    """Batches of point clouds."""

    store: str
    """The prepared store; filled in from the tier."""
    batch_size: Annotated[int, Field(ge=2)] = 24
    """Clouds per training step, over all processes; what does not fill a batch waits for the next epoch."""
    points: PositiveInt = 300
    """Points of each cloud."""
    view: ViewSettings = ViewSettings()
    """How stored clouds become inputs."""
    monitor_clouds: PositiveInt = 64
    """Test clouds on which the monitor measures, the first ones, in four batches."""
    workers: NonNegativeInt = 0
    """Loader processes; 0 loads in the training process."""
