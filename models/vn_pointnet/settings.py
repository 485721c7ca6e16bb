"""Settings of VN-PointNet; the defaults are the published ones (spec vn_pointnet.md 3, 4)."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from data.settings import Share, settings
from models.training.settings import NO_RELAXATION, Component, RelaxedOptimizer, Schedule


@settings
class VNPointNetConfig:
    """The network: 1,972,745 parameters."""

    classes: Annotated[int, Field(ge=2)] = 40
    """Number of classes; must equal the number in the store."""
    neighbours: PositiveInt = 20
    """Neighbours per point, the point itself included."""
    c1: PositiveInt = 21
    """Vector channels of the edge features and the first point features."""
    c2: PositiveInt = 42
    """Vector channels of the second point features."""
    c3: PositiveInt = 341
    """Vector channels of the last point features."""
    f1: PositiveInt = 170
    """Vector channels of the global branch, first layer after its mean."""
    f2: PositiveInt = 85
    """Vector channels of the global branch, second layer after its mean."""
    h1: PositiveInt = 512
    """Features of the invariant head's first layer."""
    h2: PositiveInt = 256
    """Features of the invariant head's second layer."""
    pooling: Literal["mean", "max"] = "mean"
    """Pooling over neighbours and over points."""
    dropout: Share = 0.4
    """Dropout probability in the head, before its second batch norm."""
    global_branch: bool = True
    """Whether there is a global branch; without it the mean of the point features takes its place, which halves the
    number of layers."""


@settings
class VNPointNetTaskSettings:
    """Training VN-PointNet to classify point clouds."""

    network: VNPointNetConfig = VNPointNetConfig()
    """Sizes of the network."""
    relaxation: Component = NO_RELAXATION
    """The relaxation method, a class of twirl.relaxation; Method relaxes nothing."""
    optimizer: RelaxedOptimizer = RelaxedOptimizer(weight_decay=1e-4)
    """Adam."""
    schedule: Schedule = Schedule(kind="steps", factor=0.7, every=8200, ahead=410, total_steps=82000)
    """Drops every 20 epochs of 410 steps, one epoch early, because the official code advances its scheduler before the
    first epoch."""
    evaluate_every: PositiveInt = 410
    """Steps between measurements of the test accuracy; the last step is also measured."""
    alphas_every: PositiveInt = 410
    """Steps between logged alphas and betas of every relaxed layer."""
