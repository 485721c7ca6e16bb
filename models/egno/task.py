"""Training EGNO, and the problems whose equivariance error the monitor measures (spec egno.md 4 and 5)."""

from collections.abc import Callable, Mapping

import torch
from lightning.pytorch import Callback
from torch import Tensor

from models.datasets.mocap import MotionBatch
from models.datasets.nbody import NBodyBatch
from models.datasets.points import ACTS_ON_POINTS, Points, features
from models.egno.network import EGNO
from models.egno.settings import EGNOTaskSettings
from models.training.evaluation import HeldOutErrors
from models.training.relaxation import RelaxedTask
from twirl.groups import SO2
from twirl.problem import Problem
from twirl.relaxation import Targets
from twirl.representations import Vectors

Batch = MotionBatch | NBodyBatch


class EGNOTask(RelaxedTask):
    """Predicts the target frames; the loss is the mean squared error, and that of the last frame is reported."""

    def __init__(self, settings: EGNOTaskSettings):
        targets = Targets(Vectors(), 3)
        super().__init__(EGNO(settings.network), settings.relaxation, targets, settings.alphas_every)
        self.settings, self.frames = settings, settings.network.frames

    def configure_callbacks(self) -> list[Callback]:
        evaluation = HeldOutErrors(self.settings.evaluate_every, self.settings.patience)
        return [*super().configure_callbacks(), evaluation]

    def on_fit_start(self) -> None:
        super().on_fit_start()
        frames = self.trainer.datamodule.monitor_dataloader()[0].targets.shape[1]
        if frames != self.frames:
            raise ValueError(
                f"the network predicts {self.frames} frames, but samples have {frames} target frames: set "
                "data.init_args.frames (or as many target_frames) to model.init_args.network.frames"
            )

    def predict(self, read: Callable[..., Tensor], points: Points, index: Tensor) -> Tensor:
        """Positions (B, T, N, 3) along edges (2, E)."""
        h, edge_attr = features(points, index)
        return read(points.x, points.v, h, index, edge_attr)

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        # RECM's targets have the layout of positions in the layers: about the centre, frames first.
        centre = batch.x.mean(1, keepdim=True)[:, None]
        self.network.observe((batch.targets - centre).transpose(0, 1))
        errors = (self.predict(self.network, batch.points(), batch.index) - batch.targets).square()
        method_loss = self.network.extra_loss()
        loss = errors.mean() + method_loss
        return {"loss": loss, "method_loss": method_loss.detach(), "mse": errors.detach()[:, -1].mean()}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.relaxed_optimizer(self.settings.optimizer)

    def errors(self, read: Callable[..., Tensor], batch: Batch) -> Tensor:
        """Mean squared error of every sample's last frame, (B,)."""
        predicted = self.predict(read, batch.points(), batch.index)[:, -1]
        return (predicted - batch.y).square().mean((1, 2))

    def problems(self, batch: Batch, readings: Mapping[str, Callable]) -> Mapping[str, Problem]:
        """The mean squared error of the last frame under all rotations, for every evaluation variant, and, where
        there is a vertical axis, under rotations about it, as "<series>/group=vertical".

        Heights do not change when a batch is rotated, like speeds and distances.
        """
        groups = {"": None} | ({"/group=vertical": SO2(batch.vertical)} if batch.vertical else {})
        return {
            f"{series}{suffix}": Problem(
                model=lambda points, read=read: self.predict(read, points, batch.index)[:, -1],
                x=batch.points(),
                y=batch.y,
                acts_on_x=ACTS_ON_POINTS,
                acts_on_y=Vectors(),
                group=group,
            )
            for series, read in readings.items()
            for suffix, group in groups.items()
        }
