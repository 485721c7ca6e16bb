"""`EquivarianceMonitor`: a Lightning callback that measures equivariance error during training, and its base."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import lightning
import numpy as np
import torch
from torch.utils.data.distributed import DistributedSampler

from twirl.groups import Group
from twirl.metric import EquivarianceError
from twirl.problem import Problem
from twirl.rotations import RotationSet, rotation_set


class Monitor(lightning.Callback):
    """Measures something on fixed batches with fresh random rotations; subclasses say what, in `_values`.

    steps: the interval between measurements in optimiser steps, or the list of steps at which to measure. Where 0 is
    one of them, the first measurement is before the first step.
    rotations: the number of i.i.d. draws per measurement, from the problem's own group or else from `group` (None:
    SO(3)). All series and batches of one group share the draws, which are a function of (seed, step) only. A problem
    with its own set of rotations is measured over that set.
    batches: how many of the first batches to use; None: all. chunk: rotations per model call (None: all at once).

    The LightningModule implements `twirl_problems(batch) -> Mapping[series, Problem]`, for instance
    {"raw": ..., "ema": ...}. Batches come from `loader` if given, else from
    `trainer.datamodule.monitor_dataloader()` if there is one, else from the validation loader; they stay on the
    device. Values are logged at `trainer.global_step`.

    A measurement changes nothing in training: it runs in eval mode without gradients and without TF32, and restores
    the state of every random number generator. Under DDP the ranks share the batches and pool their sums.

    >>> [step for step in range(300) if Monitor(steps=100).due(step)]
    [0, 100, 200]
    """

    def __init__(
        self,
        steps: int | list[int] = 100,
        rotations: int = 10,
        group: Group | None = None,
        batches: int | None = None,
        seed: int = 0,
        chunk: int | None = None,
        loader: Iterable[Any] | None = None,
    ):
        if isinstance(steps, int) and steps < 1:
            raise ValueError(f"steps must be at least 1 (measure every so many steps), not {steps}.")
        if rotations < 2:
            raise ValueError(
                f"the monitor needs at least 2 rotations for unbiased estimates, not {rotations}."
            )
        if batches is not None and batches < 1:
            raise ValueError(f"batches must be at least 1, or None for all, not {batches}.")
        self.steps = steps if isinstance(steps, int) else frozenset(steps)
        self.n_rotations = rotations
        self.group = group
        self.n_batches = batches
        self.seed = seed
        self.chunk = chunk
        self.loader = loader
        self._batches: list[Any] | None = None
        self._last_step = -1

    def due(self, step: int) -> bool:
        """Whether `step` is one to measure at."""
        return step % self.steps == 0 if isinstance(self.steps, int) else step in self.steps

    def rotations(self, step: int, group: Group | None = None) -> RotationSet:
        """The rotations of the measurement at `step`: i.i.d., from a generator of their own.

        group: the problem's own group, if it has one.
        """
        generator = torch.Generator().manual_seed(step_seed(self.seed, step))
        return rotation_set("iid", self.n_rotations, generator, group=group or self.group)

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        self._batches, self._last_step = None, -1

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if not callable(getattr(pl_module, "twirl_problems", None)):
            raise ValueError(
                f"{type(pl_module).__name__} needs a method twirl_problems(batch) -> Mapping[str, Problem] "
                "to be monitored."
            )

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.global_step == 0:
            self._measure_if_due(trainer, pl_module)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self._measure_if_due(trainer, pl_module)

    def state_dict(self) -> dict[str, int]:
        return {"last_step": self._last_step}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self._last_step = state_dict["last_step"]

    def measure(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> dict[str, float]:
        """One measurement, now, by key: what would be logged, and of the equivariance error what is only once."""
        step = trainer.global_step
        with undisturbed(pl_module, self.seed):
            if self._batches is None:
                self._batches = self._load(trainer, pl_module)
        with undisturbed(pl_module, step_seed(self.seed, step)):
            return self._values(trainer, pl_module, step)

    def _measure_if_due(self, trainer, pl_module) -> None:
        step = trainer.global_step
        if step == self._last_step or not self.due(step):
            return
        self._last_step = step
        values = self._logged(self.measure(trainer, pl_module), step)
        for logger in trainer.loggers if trainer.is_global_zero else []:
            logger.log_metrics(values, step=step)

    def _values(self, trainer, pl_module, step: int) -> dict[str, float]:
        """One measurement, by key, on the batches that are loaded."""
        raise NotImplementedError

    def _logged(self, values: dict[str, float], step: int) -> dict[str, float]:
        """The values to log at this step."""
        return values

    def _load(self, trainer, pl_module) -> list[tuple[Any, bool]]:
        """(batch on device, whether this rank measures it); a rank without a share keeps one for names."""
        loader = _loader(trainer) if self.loader is None else self.loader
        sharded = isinstance(getattr(loader, "sampler", None), DistributedSampler)
        ranks, rank = trainer.world_size, trainer.global_rank
        batches = []
        for i, batch in enumerate(islice(loader, self.n_batches)):
            mine = sharded or i % ranks == rank
            if mine or i == 0:
                batches.append((trainer.strategy.batch_to_device(batch, pl_module.device), mine))
        if not batches:
            raise ValueError("the monitor found no batch: its data loader is empty.")
        if len(batches) > 1 and not batches[0][1]:
            del batches[0]
        return batches


class EquivarianceMonitor(Monitor):
    """Measures L_total, L_mean, L_equiv and percent on fixed batches with fresh random rotations.

    Arguments: see Monitor. It logs the metrics of `EquivarianceError` as "val/<series>/<metric>" and, at step 0 only,
    the loss of the constant-zero predictor as "val/zero/L_total". The name of a series consists of words and name=value
    parts, separated by slashes. The zero predictor's loss depends on none of them but the time: for the series
    "raw/t=0.4" it is "val/zero/t=0.4/L_total".

    >>> monitor = twirl.EquivarianceMonitor(steps=[0, 500], rotations=10)  # lightning.Trainer(callbacks=[monitor])
    >>> monitor.due(500), len(monitor.rotations(500))
    (True, 10)
    """

    def _values(self, trainer, pl_module, step: int) -> dict[str, float]:
        mine = [mine for _, mine in self._batches]
        batches = [batch for batch, _ in self._batches]
        values, zeros = {}, {}
        for series, metric in self.errors(
            pl_module.twirl_problems, batches, pl_module.device, step, mine
        ).items():
            found = metric.compute()
            zeros.setdefault(_zero_key(series), found.pop("L_zero"))
            values |= {f"val/{series}/{name}": value for name, value in found.items()}
        return values | zeros

    def errors(
        self,
        problems: Callable[[Any], Mapping[str, Problem]],
        batches: Sequence[Any],
        device: torch.device,
        step: int,
        mine: Sequence[bool] | None = None,
    ) -> dict[str, EquivarianceError]:
        """The error of every series over batches, with the rotations of a step; not yet computed.

        problems: what to measure on a batch, by series. mine: which batches this rank measures; None: all.
        """
        metrics: dict[str, EquivarianceError] = {}
        for batch, measured in zip(batches, mine or [True] * len(batches), strict=True):
            for series, problem in problems(batch).items():
                if series not in metrics:
                    given = self.n_rotations if problem.rotations is None else problem.rotations
                    metrics[series] = EquivarianceError(given, problem.loss)
                    metrics[series].to(device)
                if measured:
                    rotations = (problem.rotations or self.rotations(step, problem.group)).to(device)
                    _update(metrics[series], series, problem, rotations, self.chunk, step)
        return metrics

    def _logged(self, values: dict[str, float], step: int) -> dict[str, float]:
        if step == 0:
            return values
        return {key: value for key, value in values.items() if not key.startswith("val/zero/")}


@contextmanager
def undisturbed(module: torch.nn.Module, seed: int) -> Iterator[None]:
    """Eval mode, no gradients, no TF32, own random numbers: everything is restored on leaving.

    >>> module, before = torch.nn.Dropout(), torch.get_rng_state()
    >>> with undisturbed(module, seed=0):
    ...     module(torch.ones(3))
    tensor([1., 1., 1.])
    >>> module.training, torch.equal(torch.get_rng_state(), before)
    (True, True)
    """
    modes = {child: child.training for child in module.modules()}
    python, numpy_ = random.getstate(), np.random.get_state()  # noqa: NPY002
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    devices = [device] if device.type == "cuda" else []
    precision = torch.get_float32_matmul_precision()
    cudnn_tf32 = torch.backends.cudnn.allow_tf32
    try:
        with torch.random.fork_rng(devices), torch.no_grad():
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            torch.set_float32_matmul_precision("highest")
            torch.backends.cudnn.allow_tf32 = False
            module.eval()
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = cudnn_tf32
        random.setstate(python)
        np.random.set_state(numpy_)  # noqa: NPY002
        for child, training in modes.items():
            child.training = training


def _update(metric, series: str, problem: Problem, rotations, chunk, step: int) -> None:
    try:
        exact = problem.exact() if problem.exact is not None else None
        metric.update(problem.twist(rotations, chunk), problem.y, problem.sample_index, exact)
    except ValueError as error:
        raise ValueError(f"equivariance monitor, series {series!r}, step {step}: {error}") from error


def _zero_key(series: str) -> str:
    times = [part for part in series.split("/") if part.startswith("t=")]
    return "/".join(["val", "zero", *times, "L_total"])


def _loader(trainer):
    source = getattr(trainer, "datamodule", None)
    if source is not None and callable(getattr(source, "monitor_dataloader", None)):
        return source.monitor_dataloader()
    loaders = trainer.val_dataloaders
    if loaders is None and source is not None:  # validation is switched off
        loaders = source.val_dataloader()
    if loaders is None:
        raise ValueError(
            "the monitor needs data: EquivarianceMonitor(loader=...), a monitor_dataloader() of the data module, or a "
            "validation loader (which Lightning hands on only if the module has a validation_step)."
        )
    if isinstance(loaders, Sequence):
        return loaders[0]
    return loaders


def step_seed(seed: int, step: int) -> int:
    """A 63-bit seed that mixes both numbers, the same on every machine.

    >>> step_seed(0, 100) == step_seed(0, 100), step_seed(0, 100) == step_seed(1, 100)
    (True, False)
    """
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> np.uint64(1))
