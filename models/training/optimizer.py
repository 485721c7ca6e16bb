"""Optimisers and learning-rate schedules, built from settings."""

import math
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from models.training.settings import Optimizer, Schedule

OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "scale_free_adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}


def optimizer(
    settings: Optimizer, parameters: Iterable[Tensor] | list[dict[str, Any]]
) -> torch.optim.Optimizer:
    """An optimiser of these parameters or parameter groups; a group's own options take precedence."""
    parameters = list(parameters)
    options: dict[str, Any] = {"lr": settings.lr, "weight_decay": settings.weight_decay, "fused": True}
    if settings.name != "sgd":
        options["betas"] = settings.betas
    if settings.name == "scale_free_adamw":
        first = parameters[0]["params"][0] if isinstance(parameters[0], dict) else parameters[0]
        options["eps"] = least_epsilon(first.dtype, settings.betas[1])
    return OPTIMIZERS[settings.name](parameters, **options)


def least_epsilon(dtype: torch.dtype, beta: float) -> float:
    """An epsilon that stands for none, which would give 0 / 0 for zero gradients (spec voxmol.md section 5).

    It is the size of a gradient whose square is too small to be averaged. With gradients of 1e7 times this size or more
    (3e-11 in float32), updates differ from those without epsilon by at most 1e-7; zero gradients give no update.
    """
    return (torch.finfo(dtype).tiny / (1 - beta)) ** 0.5


def scheduled(optimizer: torch.optim.Optimizer, schedule: Schedule) -> dict[str, Any]:
    """An optimiser and the schedule of its learning rate, in the form that Lightning expects."""
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(multiplier, schedule))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def multiplier(schedule: Schedule, step: int) -> float:
    """The factor of the learning rate at a step.

    cosine: from 1 to `final_factor`, counted from step 0 even with a warm-up. steps: `factor` to the power
    (step + `ahead`) // `every`.
    """
    if schedule.warmup_steps > 0 and step <= schedule.warmup_steps:
        done = step / schedule.warmup_steps
        return schedule.warmup_factor * (1 - done) + done
    if schedule.kind == "cosine":
        cosine = 0.5 * (1 + math.cos(math.pi * min(step / schedule.total_steps, 1.0)))
        return schedule.final_factor + (1 - schedule.final_factor) * cosine
    if schedule.kind == "steps":
        return schedule.factor ** ((step + schedule.ahead) // schedule.every)
    return 1.0
