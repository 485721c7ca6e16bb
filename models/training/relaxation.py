"""Training a network whose equivariant layers are relaxed (paper B): what every system's task does for its method.

A task hands its network, the configured method and the kind of its targets to `RelaxedTask`, adds
`network.extra_loss()` to its loss and lists its `readings()` wherever a network is tested or twirled.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule
from torch import nn

from data.settings import plain
from models.training.configuration import made
from models.training.optimizer import optimizer
from models.training.series import RAW, Series
from models.training.settings import Component, RelaxedOptimizer
from twirl.problem import Problem
from twirl.relaxation import Relaxed, Targets, relax


class RelaxedTask(LightningModule):
    """A training of a relaxed network; with Method as its method nothing is relaxed.

    relaxation: names the method. targets: what RECM's update rule sees, unless the method was told otherwise.
    alphas_every: steps between rows of alpha and beta.
    """

    def __init__(self, network: nn.Module, relaxation: Component, targets: Targets, alphas_every: int):
        super().__init__()
        method = made(plain(relaxation))
        if getattr(method, "targets", targets) is None:
            method.targets = targets
        self.network = relax(network, method, network.places())
        self.alphas_every = alphas_every

    def configure_callbacks(self) -> list[Callback]:
        return [AlphaRows(self.alphas_every)]

    def on_fit_start(self) -> None:
        self.network.method.seed = self.trainer.datamodule.seed

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.network.set_epoch(self.trainer.global_step // self.trainer.datamodule.steps_per_epoch)

    def on_after_backward(self) -> None:
        self.network.after_backward()

    def optimizer_step(self, *args, **kwargs) -> None:
        super().optimizer_step(*args, **kwargs)
        self.network.after_step()

    def relaxed_optimizer(self, settings: RelaxedOptimizer) -> torch.optim.Optimizer:
        """An optimiser with the method's own parameters in a group of their own."""
        groups = self.network.parameter_groups(
            settings.lr, settings.recm_lr_mult, weight_decay=settings.weight_decay
        )
        return optimizer(settings, groups)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["relaxation"] = self.network.gather_local_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # Before the state_dict is loaded, whose own state is rank 0's.
        self._local_states = checkpoint["relaxation"]

    def on_train_start(self) -> None:
        if states := self.__dict__.pop("_local_states", None):
            self.network.load_local_state(states)

    def readings(self) -> dict[str, Callable]:
        """The network as it can be read out, by the keys of series: functions of its inputs.

        The method's own readout, and those that differ from it.
        """
        network = self.network
        own = network.method.readout
        readouts = {RAW.key: own}
        if any(terms is not None for terms in network.method.all_terms):
            others = (other for other in ("kept", "projected") if other != own)
            readouts |= {Series(readout=other).key: other for other in others}
        return {series: partial(_read, network, readout) for series, readout in readouts.items()}

    def problems(self, batch: Any, readings: Mapping[str, Callable]) -> Mapping[str, Problem]:
        """The loss of every reading of the network on one batch, to twirl."""
        raise NotImplementedError

    def twirl_problems(self, batch: Any) -> Mapping[str, Problem]:
        """The loss of every readout on one batch."""
        return self.problems(batch, self.readings())

    def attributed(self) -> dict[str, Callable]:
        """The method's own readout with one place's terms left out, of every place that has any.

        What that takes from the equivariance error is the place's share of it (claim X2).
        """
        network = self.network
        own, alive = network.method.readout, zip(network.places, network.read(), strict=True)
        return {
            Series(without=place.name).key: partial(_read, network, own, without=[place.name])
            for place, modulation in alive
            if modulation.alpha
        }


def _read(network: Relaxed, readout: str, *inputs, without: list[str] = ()):
    with network.reading(readout, without):
        return network(*inputs)


class AlphaRows(Callback):
    """Logs alpha, beta and the method's own quantities of every place, and numbers of parameters.

    Rows relaxation/place=<place>/<quantity> and relaxation/<count>, as they stand after so many steps.
    """

    def __init__(self, every: int):
        self.every = every

    def on_train_start(self, trainer, pl_module):
        if trainer.global_step == 0:
            self._log(trainer, pl_module.network)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step % self.every == 0 or trainer.global_step == trainer.max_steps:
            self._log(trainer, pl_module.network)

    def _log(self, trainer, network: Relaxed) -> None:
        rows = {f"relaxation/place={place}/{name}": value for place, name, value in quantities(network)}
        counts = {f"relaxation/{name}": n for name, n in network.parameter_counts().items()}
        trainer.logger.log_metrics(rows | counts, step=trainer.global_step)


def quantities(network: Relaxed) -> Iterator[tuple[str, str, float]]:
    """(place, quantity, value) of alpha, beta and what the method reports of itself."""
    for place, alphas in network.alphas().items():
        yield from ((place, f"alpha_{term}", value) for term, value in alphas.items())
    for name, values in {"beta": network.betas(), **network.method.diagnostics()}.items():
        yield from ((place, name, value) for place, value in values.items())
