"""Settings of every training: what the run is called, its budget, its optimiser, its schedule, what is measured."""

from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from data.settings import Probability, Share, settings

# Steps: an interval or a list.
Steps = PositiveInt | list[NonNegativeInt]


@settings
class RunIdentity:
    """What a run is called."""

    tier: str
    """The tier, a file of config/: which data and at what size."""
    name: str
    """The name of the run."""
    system: str
    """The system, a folder of models/."""
    dataset: str
    """The data set, a folder of data/."""
    label: str
    """The run's name in figures and tables."""
    seed: NonNegativeInt
    """Seed of the initial weights, the order of the data and the monitor's rotations."""

    def __str__(self) -> str:
        return f"{self.tier}/{self.name} seed {self.seed}"

    @property
    def folder(self) -> Path:
        """results/<tier>/<name>/seed<seed>."""
        return Path("results", self.tier, self.name, f"seed{self.seed}")


@settings
class Budget:
    """Training length, precision and hardware; Lightning's defaults hold for the rest."""

    max_steps: PositiveInt
    """Number of optimiser steps."""
    precision: Literal["32-true", "bf16-mixed", "64-true"] = "32-true"
    """Precision of weights and products, as in Lightning."""
    float32_matmul: Literal["highest", "high", "medium"] = "highest"
    """Precision of float32 matrix products, as in torch; high uses TF32 on a GPU."""
    gradient_clip_val: PositiveFloat | None = None
    """Gradients are clipped to this global norm; null: no clipping."""
    checkpoint_every: PositiveInt = 1000
    """Steps between checkpoints."""
    log_every: PositiveInt = 50
    """Steps between logged values of the training loss."""
    snapshots: tuple[NonNegativeInt, ...] = ()
    """Steps at which the weights are kept, besides those that a measurement of the trained network takes."""
    accelerator: str = "auto"
    """Accelerator: auto, cpu, gpu, ..., as in Lightning."""
    devices: PositiveInt | str = 1
    """Devices per node, as in Lightning; the workflow requests this many GPUs."""
    strategy: str = "auto"
    """Strategy: auto, ddp, ..., as in Lightning."""
    max_time: str | None = None
    """Time limit dd:hh:mm:ss, after which the process saves a checkpoint and exits with an error, so that it can be
    resumed; null: no limit."""


@settings
class MonitorSettings:
    """How the equivariance error is measured."""

    steps: Steps = 100
    """Steps at which the equivariance error is measured: an interval or a list."""
    rotations: Annotated[int, Field(ge=2)] = 10
    """Number of rotations per measurement."""
    batches: PositiveInt | None = None
    """Number of the monitor's batches that are used, from the first; null: all."""
    chunk: PositiveInt | None = None
    """Rotated copies per forward pass, which bounds memory; null: all in one pass."""


@settings
class Optimizer:
    """The optimiser."""

    name: Literal["adam", "adamw", "scale_free_adamw", "sgd"] = "adam"
    """adam; adamw, with decoupled weight decay; scale_free_adamw, AdamW without epsilon; or sgd, without momentum."""
    lr: PositiveFloat = 1e-3
    """Learning rate, before the schedule's factor."""
    weight_decay: NonNegativeFloat = 0.0
    """Weight decay: an L2 penalty in adam and sgd, decoupled in adamw."""
    betas: tuple[Share, Share] = (0.9, 0.999)
    """adam, adamw: decay rates of the averages of the gradients and of their squares."""


@settings
class RelaxedOptimizer(Optimizer):
    """The optimiser of a network with relaxed layers."""

    recm_lr_mult: PositiveFloat = 1.0
    """Learning rate of RECM's own parameters in units of lr; weight decay does not apply to them."""


@settings
class Schedule:
    """The factor of the learning rate at each step: an optional linear warm-up, then a schedule."""

    kind: Literal["constant", "cosine", "steps"] = "constant"
    """Schedule after the warm-up."""
    warmup_steps: NonNegativeInt = 0
    """Length of the warm-up [steps]."""
    warmup_factor: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor at step 0 of the warm-up, which ends at 1."""
    total_steps: PositiveInt = 1
    """cosine: length of the half period, counted from step 0 [steps]."""
    final_factor: Probability = 0.0
    """cosine: the factor from total_steps on."""
    factor: PositiveFloat = 1.0
    """steps: factor of each drop."""
    every: PositiveInt = 1
    """steps: steps between drops."""
    ahead: NonNegativeInt = 0
    """steps: number of steps by which all drops come earlier."""


@settings
class Component:
    """An object that a configuration names by its class."""

    class_path: str
    """The class by its full dotted name, which begins with models or twirl."""
    init_args: dict[str, Any] = field(default_factory=dict)
    """Arguments of the class, which its docstring describes."""


NO_RELAXATION = Component(class_path="twirl.relaxation.Method")
