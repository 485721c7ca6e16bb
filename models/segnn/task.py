"""Training SEGNN, and the problems whose equivariance error the monitor measures (spec segnn.md 4 and 5)."""

from collections.abc import Callable, Mapping

import torch
from lightning.pytorch import Callback
from torch import Tensor, nn

from models.datasets.nbody import NBodyBatch
from models.segnn.network import SEGNN
from models.segnn.settings import SEGNNConfig, SEGNNTaskSettings
from models.training.evaluation import HeldOutErrors
from models.training.relaxation import RelaxedTask
from twirl.problem import Problem
from twirl.relaxation import Targets
from twirl.representations import Identity, Tree, Vectors

ACTS_ON_INPUTS = Tree((Vectors(), Vectors(), Identity()))  # x, v, charges


def build(config: SEGNNConfig) -> nn.Module:
    """The fast network, or the one on e3nn, which is imported only if needed."""
    if not config.by_e3nn:
        return SEGNN(config)
    from models.segnn.steerable import SteerableSEGNN

    return SteerableSEGNN(config)


class SEGNNTask(RelaxedTask):
    """Predicts positions at a later frame; the loss is the mean squared error over all coordinates."""

    def __init__(self, settings: SEGNNTaskSettings):
        targets = Targets(Vectors(), 3)
        super().__init__(build(settings.network), settings.relaxation, targets, settings.alphas_every)
        self.settings, self.particles = settings, settings.network.particles

    def configure_callbacks(self) -> list[Callback]:
        return [*super().configure_callbacks(), HeldOutErrors(self.settings.evaluate_every)]

    def on_fit_start(self) -> None:
        super().on_fit_start()
        store = self.trainer.datamodule.store
        if store.particles != self.particles:
            raise ValueError(
                f"the network is built for {self.particles} particles, but store {store.path} has {store.particles}: "
                "set model.init_args.network.particles accordingly"
            )
        if self.settings.compile:
            for layer in self.network.backbone.layers:
                layer.compile_messages()

    def training_step(self, batch: NBodyBatch) -> dict[str, Tensor]:
        self.network.observe(batch.y)
        mse = (self.network(batch.x, batch.v, batch.charges) - batch.y).square().mean()
        method_loss = self.network.extra_loss()
        return {"loss": mse + method_loss, "method_loss": method_loss.detach(), "mse": mse.detach()}

    def errors(self, read: Callable[..., Tensor], batch: NBodyBatch) -> Tensor:
        """Mean squared error of every graph, (B,)."""
        return (read(batch.x, batch.v, batch.charges) - batch.y).square().mean((1, 2))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.relaxed_optimizer(self.settings.optimizer)

    def problems(self, batch: NBodyBatch, readings: Mapping[str, Callable]) -> Mapping[str, Problem]:
        """The mean squared error of every evaluation variant on one batch."""
        return {
            series: Problem(
                model=lambda inputs, read=read: read(*inputs),
                x=(batch.x, batch.v, batch.charges),
                y=batch.y,
                acts_on_x=ACTS_ON_INPUTS,
                acts_on_y=Vectors(),
            )
            for series, read in readings.items()
        }
