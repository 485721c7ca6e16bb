"""AdamW whose steps do not depend on the scale of the loss (spec voxmol.md section 5)."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class OptimizerConfig:
    """AdamW at a constant rate. lr. weight_decay: decoupled, on everything. betas: of its averages."""

    lr: float = 2e-5
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.99, 0.999)


def scale_free_adamw(parameters: Iterable[Tensor], config: OptimizerConfig) -> torch.optim.AdamW:
    """Upstream's AdamW, which has no epsilon and leaves entries alone whose mean square is zero.

    Epsilon is the gradient whose square is too small to be averaged: larger ones move weights as without it to 1e-7
    from 1e7 times that on (3e-11 in float32), and zero ones not at all, where 0 / 0 would be NaN.
    """
    parameters, betas = list(parameters), tuple(config.betas)
    epsilon = (torch.finfo(parameters[0].dtype).tiny / (1 - betas[1])) ** 0.5
    return torch.optim.AdamW(
        parameters, config.lr, betas, eps=epsilon, weight_decay=config.weight_decay, fused=True
    )
