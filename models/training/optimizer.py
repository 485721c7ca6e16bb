"""Optimisers and schedules of torch, made of settings."""

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
    """An optimiser of these parameters or groups of them; what a group says of itself stands."""
    parameters = list(parameters)
    options: dict[str, Any] = {"lr": settings.lr, "weight_decay": settings.weight_decay, "fused": True}
    if settings.name != "sgd":
        options["betas"] = settings.betas
    if settings.name == "scale_free_adamw":
        first = parameters[0]["params"][0] if isinstance(parameters[0], dict) else parameters[0]
        options["eps"] = least_epsilon(first.dtype, settings.betas[1])
    return OPTIMIZERS[settings.name](parameters, **options)


def least_epsilon(dtype: torch.dtype, beta: float) -> float:
    """In the place of no epsilon at all, which would be 0 / 0 where gradients are zero (spec voxmol.md section 5).

    It is the gradient whose square is too small to be averaged: larger ones move weights as without it to 1e-7 from
    1e7 times that on (3e-11 in float32), and zero ones not at all.
    """
    return (torch.finfo(dtype).tiny / (1 - beta)) ** 0.5


def scheduled(optimizer: torch.optim.Optimizer, schedule: Schedule) -> dict[str, Any]:
    """An optimiser whose learning rate the schedule multiplies at every step, as Lightning takes both."""
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(multiplier, schedule))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def multiplier(schedule: Schedule, step: int) -> float:
    """What the learning rate is multiplied by at a step.

    cosine: from 1 to `final_factor`, counted from step 0, warm-up or not. steps: `factor` to the power
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
