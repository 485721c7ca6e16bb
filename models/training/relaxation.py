"""Training a network with relaxed layers (paper B): the part of a task that is the same in every system.

A task passes its network, the configured method and the type of its targets to `RelaxedTask`, and adds
`network.extra_loss()` to its loss. Tests and measurements use all evaluation variants that `readings()` lists.
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
    """Base of tasks that train a relaxed network; with the method `Method` nothing is relaxed.

    relaxation: names the method. targets: the targets that RECM's update rule sees, unless the method specifies others.
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
        """The optimiser, with the method's own parameters in a separate group."""
        groups = self.network.parameter_groups(
            settings.lr, settings.recm_lr_mult, weight_decay=settings.weight_decay
        )
        return optimizer(settings, groups)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["relaxation"] = self.network.gather_local_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # Kept until the state_dict, which holds rank 0's local state, has been loaded.
        self._local_states = checkpoint["relaxation"]

    def on_train_start(self) -> None:
        if states := self.__dict__.pop("_local_states", None):
            self.network.load_local_state(states)

    def readings(self) -> dict[str, Callable]:
        """The network in each evaluation variant, as functions of its inputs, by the keys of series.

        The method's default variant comes first, then those of "kept" and "projected" that differ from it.
        """
        network = self.network
        own = network.method.readout
        readouts = {RAW.key: own}
        if any(terms is not None for terms in network.method.all_terms):
            others = (other for other in ("kept", "projected") if other != own)
            readouts |= {Series(readout=other).key: other for other in others}
        return {series: partial(_read, network, readout) for series, readout in readouts.items()}

    def problems(self, batch: Any, readings: Mapping[str, Callable]) -> Mapping[str, Problem]:
        """The twirling problems of the loss on one batch, one for each of `readings`."""
        raise NotImplementedError

    def twirl_problems(self, batch: Any) -> Mapping[str, Problem]:
        """The twirling problems of the loss on one batch, one for every evaluation variant."""
        return self.problems(batch, self.readings())

    def attributed(self) -> dict[str, Callable]:
        """The default evaluation variant with one place's terms left out, for every place that has terms.

        The equivariance error that this removes is the place's share of it (claim X2).
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
    """Logs alpha, beta and the method's own quantities for every place, and numbers of parameters.

    Rows relaxation/place=<place>/<quantity> and relaxation/<count>, every so many steps and after the last one.
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
    """(place, quantity, value) of alpha, beta and the method's own quantities."""
    for place, alphas in network.alphas().items():
        yield from ((place, f"alpha_{term}", value) for term, value in alphas.items())
    for name, values in {"beta": network.betas(), **network.method.diagnostics()}.items():
        yield from ((place, name, value) for place, value in values.items())
