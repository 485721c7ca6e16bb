"""Training VN-PointNet to classify, and saying what of it is to be twirled (spec vn_pointnet.md sections 4 and 5)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from torch import Tensor

from models.datasets.modelnet40 import CloudBatch
from models.training.optimizer import OptimizerConfig
from models.training.relaxation import RelaxedTask
from models.vn_pointnet.accuracy import TestAccuracy
from models.vn_pointnet.network import VNPointNet, VNPointNetConfig
from twirl.problem import Problem
from twirl.relaxation import Labels, Method
from twirl.representations import Scalars, Vectors

# Convex in the logits, so that twirled logits never lose to the mean of the twisted ones (paper A eq. 9).
CROSS_ENTROPY = partial(F.cross_entropy, reduction="none")


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


class VNPointNetTask(RelaxedTask):
    """Classification by cross-entropy.

    network, optimizer, schedule: see the classes. relaxation: the method that relaxes the network; Method()
    leaves it as it is. evaluate_every: steps between measurements of the test accuracy, which is also measured
    after the last step. alphas_every: steps between rows of the method's alphas.
    """

    def __init__(
        self,
        network: VNPointNetConfig,
        relaxation: Method,
        optimizer: OptimizerConfig,
        schedule: ScheduleConfig,
        evaluate_every: int = 410,
        alphas_every: int = 410,
    ):
        super().__init__(VNPointNet(network), relaxation, Labels(network.classes), alphas_every)
        self.classes = network.classes
        self.optimizer, self.schedule = optimizer, schedule
        self.evaluate_every = evaluate_every

    def configure_callbacks(self) -> list[Callback]:
        return [*super().configure_callbacks(), TestAccuracy(self.evaluate_every)]

    def on_fit_start(self) -> None:
        super().on_fit_start()
        store = self.trainer.datamodule.store
        if len(store.classes) != self.classes:
            raise ValueError(
                f"the network tells {self.classes} classes apart, but store {store.path} has "
                f"{len(store.classes)}: set model.init_args.network.classes accordingly"
            )

    def training_step(self, batch: CloudBatch) -> dict[str, Tensor]:
        self.network.observe(batch.label)
        logits = self.network(batch.points)
        method_loss = self.network.extra_loss()
        loss = F.cross_entropy(logits, batch.label) + method_loss
        accuracy = (logits.detach().argmax(1) == batch.label).float().mean()
        return {"loss": loss, "method_loss": method_loss.detach(), "accuracy": accuracy}

    def configure_optimizers(self) -> dict:
        optimizer = self.adam(self.optimizer)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self.schedule)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

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
            for series, scores in (self.readings() | self.attributed()).items()
        }
