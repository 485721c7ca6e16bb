"""Training VN-PointNet, and the problems whose equivariance error the monitor measures (spec vn_pointnet.md 4, 5)."""

from collections.abc import Callable, Mapping
from functools import partial

import torch.nn.functional as F
from lightning.pytorch import Callback
from torch import Tensor

from models.datasets.modelnet40 import CloudBatch
from models.training.optimizer import scheduled
from models.training.relaxation import RelaxedTask
from models.vn_pointnet.accuracy import TestAccuracy
from models.vn_pointnet.network import VNPointNet
from models.vn_pointnet.settings import VNPointNetTaskSettings
from twirl.problem import Problem
from twirl.relaxation import Labels
from twirl.representations import Scalars, Vectors

# Convex in the logits, so the loss of the twirled logits is at most the mean loss of the twisted ones (paper A eq. 9).
CROSS_ENTROPY = partial(F.cross_entropy, reduction="none")


class VNPointNetTask(RelaxedTask):
    """Classification by cross-entropy."""

    def __init__(self, settings: VNPointNetTaskSettings):
        targets = Labels(settings.network.classes)
        super().__init__(VNPointNet(settings.network), settings.relaxation, targets, settings.alphas_every)
        self.settings, self.classes = settings, settings.network.classes

    def configure_callbacks(self) -> list[Callback]:
        return [*super().configure_callbacks(), TestAccuracy(self.settings.evaluate_every)]

    def on_fit_start(self) -> None:
        super().on_fit_start()
        store = self.trainer.datamodule.store
        if len(store.classes) != self.classes:
            raise ValueError(
                f"the network is built for {self.classes} classes, but store {store.path} has "
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
        return scheduled(self.relaxed_optimizer(self.settings.optimizer), self.settings.schedule)

    def problems(self, batch: CloudBatch, readings: Mapping[str, Callable]) -> Mapping[str, Problem]:
        """Cross-entropy of every evaluation variant on one batch, split by paper A's eq. 9."""
        return {
            series: Problem(
                model=scores,
                x=batch.points,
                y=batch.label,
                acts_on_x=Vectors(),
                acts_on_y=Scalars(),
                loss=CROSS_ENTROPY,
            )
            for series, scores in readings.items()
        }
