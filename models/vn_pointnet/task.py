"""Training VN-PointNet to classify, and saying what of it is to be twirled (spec vn_pointnet.md sections 4 and 5)."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule
from torch import Tensor

from models.vn_pointnet.accuracy import TestAccuracy
from models.vn_pointnet.data import CloudBatch
from models.vn_pointnet.network import VNPointNet, VNPointNetConfig
from twirl.problem import Problem
from twirl.representations import Scalars, Vectors

# Convex in the logits, so that twirled logits never lose to the mean of the twisted ones (paper A eq. 9).
CROSS_ENTROPY = partial(F.cross_entropy, reduction="none")


@dataclass
class OptimizerConfig:
    """Adam. lr: at the start. weight_decay: coupled (L2), on everything."""

    lr: float = 1e-3
    weight_decay: float = 1e-4


@dataclass
class ScheduleConfig:
    """Multiplier of the learning rate at step s.

    kind "steps": `factor` to the power (s + `ahead`) // `every`; the recipe's scheduler is stepped before the
    first epoch, which puts it one epoch ahead. "cosine": from 1 to 0 over `total_steps`. "constant": 1.
    """

    kind: Literal["steps", "cosine", "constant"] = "steps"
    factor: float = 0.7
    every: int = 8200
    ahead: int = 410
    total_steps: int = 82000

    def __call__(self, step: int) -> float:
        if self.kind == "constant":
            return 1.0
        if self.kind == "cosine":
            return 0.5 * (1 + math.cos(math.pi * min(step / self.total_steps, 1.0)))
        return self.factor ** ((step + self.ahead) // self.every)


class VNPointNetTask(LightningModule):
    """Classification by cross-entropy.

    network, optimizer, schedule: see the classes. evaluate_every: steps between measurements of the test
    accuracy, which is also measured after the last step.
    """

    def __init__(
        self,
        network: VNPointNetConfig,
        optimizer: OptimizerConfig,
        schedule: ScheduleConfig,
        evaluate_every: int = 410,
    ):
        super().__init__()
        self.network = VNPointNet(network)
        self.optimizer, self.schedule = optimizer, schedule
        self.evaluate_every = evaluate_every

    def configure_callbacks(self) -> list[Callback]:
        return [TestAccuracy(self.evaluate_every)]

    def on_fit_start(self) -> None:
        store, classes = self.trainer.datamodule.store, self.network.config.classes
        if len(store.classes) != classes:
            raise ValueError(
                f"the network tells {classes} classes apart, but store {store.path} has {len(store.classes)}: "
                "set model.init_args.network.classes accordingly"
            )

    def training_step(self, batch: CloudBatch) -> dict[str, Tensor]:
        logits = self.network(batch.points)
        loss = F.cross_entropy(logits, batch.label)
        accuracy = (logits.detach().argmax(1) == batch.label).float().mean()
        return {"loss": loss, "accuracy": accuracy}

    def configure_optimizers(self) -> dict:
        optimizer = torch.optim.Adam(
            self.network.parameters(),
            lr=self.optimizer.lr,
            weight_decay=self.optimizer.weight_decay,
            fused=True,
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self.schedule)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def predictors(self) -> Mapping[str, Callable[[Tensor], Tensor]]:
        """What is tested and twirled: functions from points (B, N, 3) to logits (B, classes), by series."""
        return {"raw": self.network}

    def twirl_problems(self, batch: CloudBatch) -> Mapping[str, Problem]:
        """Cross-entropy of every series on one batch, split by paper A's eq. 9."""
        return {
            series: Problem(
                model=scores,
                x=batch.points,
                y=batch.label,
                acts_on_x=Vectors(),
                acts_on_y=Scalars(),
                loss=CROSS_ENTROPY,
            )
            for series, scores in self.predictors().items()
        }
