"""`GradientMonitor`: a Lightning callback that measures the gradients of L_mean and L_equiv during training."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from twirl.decomposition import bessel_factor
from twirl.gradients import gradient_norm, loss_gradients
from twirl.monitor import EquivarianceMonitor, Monitor


class GradientMonitor(Monitor):
    """Norms of the gradients of both losses over all weights (paper A B.3), on fixed batches.

    It logs the norms of the unbiased estimates as "val/<series>/grad_L_mean" and "val/<series>/grad_L_equiv", and those
    of the plain sums over rotations, which the paper shows, with the suffix "_naive". An EquivarianceMonitor with the
    same seed, number of rotations and batches logs the losses that belong to these gradients.

    series: measure only series whose first word (before the first "/") is one of these; None: all.
    chunk: rotations per forward and backward pass; with several chunks every prediction is computed twice.
    steps, rotations, seed: None: those of the trainer's EquivarianceMonitor, or Monitor's defaults where there is none.
    Other arguments: see Monitor.

    The LightningModule may implement `twirl_parameters() -> Mapping[word, parameters]` with the first words of series;
    without it the gradients are with respect to the module's parameters that require one. Averaged weights, which
    usually require no gradient, require one during the measurement.

    >>> monitor = twirl.GradientMonitor(steps=500, rotations=4, series=["ema"])
    >>> monitor.due(1000), monitor.due(1001)
    (True, False)
    """

    def __init__(
        self,
        steps: int | list[int] | None = None,
        rotations: int | None = None,
        batches: int | None = None,
        seed: int | None = None,
        chunk: int | None = 1,
        series: Sequence[str] | None = None,
        **kwargs,
    ):
        given = {"steps": steps, "rotations": rotations, "seed": seed}
        given = {name: value for name, value in given.items() if value is not None}
        super().__init__(batches=batches, chunk=chunk, **given, **kwargs)
        self.series = None if series is None else tuple(series)
        self._given = frozenset(given)

    def setup(self, trainer, pl_module, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        monitor = next((c for c in trainer.callbacks if isinstance(c, EquivarianceMonitor)), None)
        if monitor is not None:
            self.steps = self.steps if "steps" in self._given else monitor.steps
            self.n_rotations = self.n_rotations if "rotations" in self._given else monitor.n_rotations
            self.seed = self.seed if "seed" in self._given else monitor.seed

    def _values(self, trainer, pl_module, step: int) -> dict[str, float]:
        of_word = _parameters(pl_module)
        values = {}
        with torch.enable_grad(), _differentiable([p for group in of_word.values() for p in group]):
            for name in self._names(pl_module):
                params = of_word.get(_word(name), of_word.get(""))
                if params is None:
                    raise ValueError(f"gradient monitor: twirl_parameters() has nothing for series {name!r}.")
                L_mean, L_equiv = self._sums(trainer, pl_module, name, params, step)
                bessel = bessel_factor("iid", self.n_rotations)
                unbiased = [m - (bessel - 1) * e for m, e in zip(L_mean, L_equiv, strict=True)]
                values |= {
                    f"val/{name}/grad_L_mean": gradient_norm(unbiased),
                    f"val/{name}/grad_L_equiv": bessel * gradient_norm(L_equiv),
                    f"val/{name}/grad_L_mean_naive": gradient_norm(L_mean),
                    f"val/{name}/grad_L_equiv_naive": gradient_norm(L_equiv),
                }
        return values

    def _names(self, pl_module) -> list[str]:
        with torch.no_grad():
            names = list(pl_module.twirl_problems(self._batches[0][0]))
        return [name for name in names if self.series is None or _word(name) in self.series]

    def _sums(self, trainer, pl_module, name: str, params: list[Tensor], step: int) -> list[list[Tensor]]:
        """Naive gradients of both losses of one series over all batches of all ranks, which weigh by components.

        Series by series, since the gradients of all at once may not fit into memory.
        """
        sums, size = [[torch.zeros_like(p) for p in params] for _ in range(2)], 0
        for batch, mine in self._batches:
            if not mine:
                continue
            problem = pl_module.twirl_problems(batch)[name]
            rotations = self.rotations(step, problem.group).to(pl_module.device)
            try:
                found = loss_gradients(problem, params, rotations, chunk=self.chunk)
            except ValueError as error:
                raise ValueError(f"gradient monitor, series {name!r}, step {step}: {error}") from error
            size += problem.y.numel()
            for total, part in zip(sums, found, strict=True):
                for kept, new in zip(total, part, strict=True):
                    kept.add_(new, alpha=problem.y.numel())
        if trainer.world_size > 1:
            sums = [[trainer.strategy.reduce(g, reduce_op="sum") for g in total] for total in sums]
            size = float(trainer.strategy.reduce(sums[0][0].new_tensor(float(size)), reduce_op="sum"))
        return [[g / size for g in total] for total in sums]


def _word(series: str) -> str:
    return series.split("/")[0]


def _parameters(pl_module) -> Mapping[str, list[Tensor]]:
    if callable(getattr(pl_module, "twirl_parameters", None)):
        return {word: list(params) for word, params in pl_module.twirl_parameters().items()}
    return {"": [p for p in pl_module.parameters() if p.requires_grad]}


@contextmanager
def _differentiable(params: list[Tensor]) -> Iterator[None]:
    """Parameters need gradients in the block, and then what they needed before."""
    before = [p.requires_grad for p in params]
    try:
        for p in params:
            p.requires_grad_(True)
        yield
    finally:
        for p, needed in zip(params, before, strict=True):
            p.requires_grad_(needed)
