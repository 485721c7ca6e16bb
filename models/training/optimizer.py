"""The optimiser of every network whose layers may be relaxed."""

from dataclasses import dataclass


@dataclass
class OptimizerConfig:
    """Adam. lr: its learning rate. weight_decay: coupled (L2), on everything but RECM's own parameters.

    recm_lr_mult: their learning rate over lr.
    """

    lr: float = 1e-3
    weight_decay: float = 0.0
    recm_lr_mult: float = 1.0
