"""Training a baseline on motion capture or particles, like the networks that it is compared with."""

from collections.abc import Callable, Mapping

import torch
from lightning.pytorch import Callback, LightningModule
from torch import Tensor

from models.baselines.network import build
from models.baselines.settings import BaselineTaskSettings
from models.datasets.mocap import MotionBatch
from models.datasets.nbody import NBodyBatch
from models.datasets.points import ACTS_ON_POINTS
from models.training.evaluation import HeldOutErrors
from models.training.optimizer import optimizer
from models.training.series import RAW, Series
from twirl.groups import SO2
from twirl.problem import Problem
from twirl.representations import Vectors

Batch = MotionBatch | NBodyBatch


class BaselineTask(LightningModule):
    """Predicts positions at the last target frame; the loss is the mean squared error over all coordinates."""

    def __init__(self, settings: BaselineTaskSettings):
        super().__init__()
        self.network, self.settings = build(settings.network), settings

    def configure_callbacks(self) -> list[Callback]:
        return [HeldOutErrors(self.settings.evaluate_every)]

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
        return optimizer(self.settings.optimizer, self.network.parameters())

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
