"""Settings of VN-PointNet; the defaults are the published ones (spec vn_pointnet.md 3, 4)."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from data.settings import Share, settings
from models.training.settings import NO_RELAXATION, Component, RelaxedOptimizer, Schedule


@settings
class VNPointNetConfig:
    """The network: 1,972,745 parameters."""

    classes: Annotated[int, Field(ge=2)] = 40
    """Classes told apart; as many as the store has."""
    neighbours: PositiveInt = 20
    """Of every point, itself among them."""
    c1: PositiveInt = 21
    """Vector channels of the edges and first point features."""
    c2: PositiveInt = 42
    """Vector channels of the second point features."""
    c3: PositiveInt = 341
    """Vector channels of the last point features."""
    f1: PositiveInt = 170
    """Vector channels of the global branch, first layer after its mean."""
    f2: PositiveInt = 85
    """The same, second layer."""
    h1: PositiveInt = 512
    """Features of the invariant head's first layer."""
    h2: PositiveInt = 256
    """Features of its second layer."""
    pooling: Literal["mean", "max"] = "mean"
    """Over neighbours and points."""
    dropout: Share = 0.4
    """In the head, before its second batch norm."""
    global_branch: bool = True
    """Off, the mean of the point features stands for the global branch: half as many layers, for small trials."""


@settings
class VNPointNetTaskSettings:
    """Classification of point clouds."""

    network: VNPointNetConfig = VNPointNetConfig()
    """Sizes of the network."""
    relaxation: Component = NO_RELAXATION
    """A method of twirl.relaxation; Method relaxes nothing."""
    optimizer: RelaxedOptimizer = RelaxedOptimizer(weight_decay=1e-4)
    """Adam."""
    schedule: Schedule = Schedule(kind="steps", factor=0.7, every=8200, ahead=410, total_steps=82000)
    """Drops every 20 epochs of 410 steps; the recipe's scheduler is stepped before the first epoch, one ahead."""
    evaluate_every: PositiveInt = 410
    """Between measurements of the test accuracy, which is also measured after the last step [steps]."""
    alphas_every: PositiveInt = 410
    """Between rows of alpha and beta of every layer [steps]."""
