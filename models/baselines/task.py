"""Training a baseline on bodies or particles, as the networks that it stands beside are trained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from lightning.pytorch import Callback, LightningModule
from torch import Tensor

from models.baselines.network import BaselineConfig, build
from models.datasets.mocap import MotionBatch
from models.datasets.nbody import NBodyBatch
from models.datasets.points import ACTS_ON_POINTS
from models.training.evaluation import HeldOutErrors
from models.training.series import RAW, Series
from twirl.groups import SO2
from twirl.problem import Problem
from twirl.representations import Vectors

Batch = MotionBatch | NBodyBatch


@dataclass
class OptimizerConfig:
    """Adam at a constant rate. lr. weight_decay: coupled (L2)."""

    lr: float = 5e-4
    weight_decay: float = 1e-12


class BaselineTask(LightningModule):
    """Positions at the last target frame by the mean squared error over all coordinates.

    network, optimizer: see the classes. evaluate_every: steps between measurements of validation and test errors, also
    after the last step.
    """

    def __init__(self, network: BaselineConfig, optimizer: OptimizerConfig, evaluate_every: int = 150):
        super().__init__()
        self.network = build(network)
        self.optimizer, self.evaluate_every = optimizer, evaluate_every

    def configure_callbacks(self) -> list[Callback]:
        return [HeldOutErrors(self.evaluate_every)]

    def readings(self) -> dict[str, Callable]:
        """The network, which can be read out in one way only."""
        return {RAW.key: self.network}

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        mse = self.errors(self.network, batch).mean()
        return {"loss": mse, "mse": mse.detach()}

    def errors(self, read: Callable[..., Tensor], batch: Batch) -> Tensor:
        """Mean squared error of every graph, (B,)."""
        return (read(batch.points(), batch.index) - batch.y).square().mean((1, 2))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        settings = self.optimizer
        return torch.optim.Adam(
            self.network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True
        )

    def twirl_problems(self, batch: Batch) -> Mapping[str, Problem]:
        """The mean squared error under all rotations and, where there is a vertical, those about it alone."""
        groups = {RAW: None} | ({Series(group="vertical"): SO2(batch.vertical)} if batch.vertical else {})
        return {
            series.key: Problem(
                model=lambda points: self.network(points, batch.index),
                x=batch.points(),
                y=batch.y,
                acts_on_x=ACTS_ON_POINTS,
                acts_on_y=Vectors(),
                group=group,
            )
            for series, group in groups.items()
        }
