"""Settings of every training: what the run is called, its budget, its optimiser, its schedule, what is measured."""

from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from data.settings import Probability, Share, settings

# Steps: every so many, or the list of them.
Steps = PositiveInt | list[NonNegativeInt]
# Weights as trained, and their exponential moving average.
Series = Literal["raw", "ema"]


@settings
class RunIdentity:
    """What a run is called."""

    tier: str
    """The size at which everything is run, a file of config/."""
    name: str
    """The run's own name."""
    system: str
    """Folder under models/."""
    dataset: str
    """Folder under data/."""
    label: str
    """Its name in figures and tables."""
    seed: NonNegativeInt
    """Fixes the initial weights, the order of the data and the monitor's rotations."""

    def __str__(self) -> str:
        return f"{self.tier}/{self.name} seed {self.seed}"

    @property
    def folder(self) -> Path:
        """results/<tier>/<name>/seed<seed>."""
        return Path("results", self.tier, self.name, f"seed{self.seed}")


@settings
class Budget:
    """How long and on what a run trains; the rest is Lightning's defaults."""

    max_steps: PositiveInt
    """Optimiser steps at which the run ends."""
    precision: Literal["32-true", "bf16-mixed", "64-true"] = "32-true"
    """Of weights and products, as in Lightning."""
    float32_matmul: Literal["highest", "high", "medium"] = "highest"
    """Of float32 matrix products, as in torch; high is TF32 on a GPU."""
    gradient_clip_val: PositiveFloat | None = None
    """Largest global norm of the gradient; null: not clipped."""
    checkpoint_every: PositiveInt = 1000
    """Between checkpoints [steps]."""
    log_every: PositiveInt = 50
    """Between entries of the training loss [steps]."""
    accelerator: str = "auto"
    """auto, cpu, gpu ..., as in Lightning."""
    devices: PositiveInt | str = 1
    """Devices per node, as in Lightning; as many GPUs as the job asks for."""
    strategy: str = "auto"
    """auto, ddp ..., as in Lightning."""
    max_time: str | None = None
    """dd:hh:mm:ss after which the process saves and stops with an error, to be resumed; null: none."""


@settings
class MonitorSettings:
    """How the equivariance error is measured."""

    steps: Steps = 100
    """When the equivariance error is measured: every so many steps, or at these."""
    rotations: Annotated[int, Field(ge=2)] = 10
    """Rotations per measurement."""
    batches: PositiveInt | None = None
    """The first so many of the monitor's batches; null: all."""
    chunk: PositiveInt | None = None
    """Rotated copies per forward pass, to bound memory; null: all at once."""


@settings
class Optimizer:
    """How gradients change weights."""

    name: Literal["adam", "adamw", "scale_free_adamw", "sgd"] = "adam"
    """Adam; AdamW, whose weight decay is decoupled; AdamW without epsilon; or SGD without momentum."""
    lr: PositiveFloat = 1e-3
    """Learning rate, which a schedule multiplies."""
    weight_decay: NonNegativeFloat = 0.0
    """adam, sgd: added to gradients (L2); adamw: taken from weights."""
    betas: tuple[Share, Share] = (0.9, 0.999)
    """adam, adamw: decay of the averages of gradients and of their squares."""


@settings
class RelaxedOptimizer(Optimizer):
    """The same where layers are relaxed."""

    recm_lr_mult: PositiveFloat = 1.0
    """Learning rate of RECM's own parameters over lr; weight decay leaves these alone."""


@settings
class Schedule:
    """What the learning rate is multiplied by, step by step; first a linear warm-up, if any."""

    kind: Literal["constant", "cosine", "steps"] = "constant"
    """What follows the warm-up."""
    warmup_steps: NonNegativeInt = 0
    """Length of the warm-up [steps]."""
    warmup_factor: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The multiplier at step 0 of the warm-up; it ends at 1."""
    total_steps: PositiveInt = 1
    """cosine: length of the half period, counted from step 0 [steps]."""
    final_factor: Probability = 0.0
    """cosine: the multiplier from total_steps on."""
    factor: PositiveFloat = 1.0
    """steps: what every drop multiplies by."""
    every: PositiveInt = 1
    """steps: between drops [steps]."""
    ahead: NonNegativeInt = 0
    """steps: how much earlier the drops come [steps]."""


@settings
class Component:
    """An object by the name of its class."""

    class_path: str
    """The class, a name in models or twirl with all its modules."""
    init_args: dict[str, Any] = field(default_factory=dict)
    """Its arguments; those that it has are said where it is defined."""


@settings
class GradientConfig:
    """When and how the gradients of both parts of the loss are measured, at every monitored time."""

    steps: Steps | None = None
    """Every so many steps, or at these; null: whenever the error is measured."""
    series: tuple[Series, ...] = ("ema",)
    """Of which weights."""
    batches: PositiveInt | None = None
    """The first so many of the monitor's batches; null: all."""
    rotations: Annotated[int, Field(ge=2)] | None = None
    """Rotations per measurement; null: the monitor's."""
    chunk: PositiveInt | None = 1
    """Rotated copies per pass, to bound memory; null: all at once."""


@settings
class RotationStudyConfig:
    """What rotations.parquet is measured with, for claims about how many rotations are needed."""

    step: NonNegativeInt = 500
    """After so many optimiser steps."""
    series: Series = "ema"
    """Of which weights."""
    t: Share = 0.5
    """At which time."""
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


NO_RELAXATION = Component(class_path="twirl.relaxation.Method")
