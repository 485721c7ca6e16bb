"""Training a network to predict where points will be: particles or joints, by the mean squared error."""

from collections.abc import Callable, Mapping

import torch
from lightning.pytorch import Callback, LightningModule
from torch import Tensor, nn

from models.datasets.mocap import MotionBatch
from models.datasets.nbody import NBodyBatch
from models.datasets.points import ACTS_ON_POINTS
from models.training.evaluation import HeldOutErrors
from models.training.optimizer import optimizer as build_optimizer
from models.training.series import RAW, Series
from models.training.settings import Optimizer
from twirl.groups import SO2
from twirl.problem import Problem
from twirl.representations import Vectors

Batch = MotionBatch | NBodyBatch


class PredictionTask(LightningModule):
    """Positions at the last target frame by the mean squared error over all coordinates.

    network: (Points, index (2, E)) -> positions (B, N, 3). evaluate_every: steps between measurements of validation and
    test errors, which are also measured after the last step.
    """

    def __init__(self, network: nn.Module, optimizer: Optimizer, evaluate_every: int):
        super().__init__()
        self.network, self.optimizer, self.evaluate_every = network, optimizer, evaluate_every

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
        return build_optimizer(self.optimizer, self.network.parameters())

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
