"""`EquivarianceError`: the decomposition as a torchmetrics metric, right under batching and DDP."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics import Metric

from twirl.decomposition import (
    bessel_factor,
    decompose_predictions,
    losses,
    multinomial,
    resampled_losses,
    standard_deviation,
    summary,
    unbiased_losses,
)
from twirl.rotations import RotationSet

_RESAMPLES = 1000


class EquivarianceError(Metric):
    """Accumulates twisted predictions; `compute()` gives the numbers of `decompose` on all of them at once.

    rotations: the number R of i.i.d. rotations, or the RotationSet in use; every update brings that many.
    percent_se: the standard error of `percent` due to the drawn rotations, samples held fixed, by the bootstrap
    of `Decomposition`; nan for rotations that are not i.i.d., for fewer than 3 rotations, and for a convex loss.
    loss: of the split of eq. 9, as in `decompose`; None: the MSE. A convex loss has no unbiased estimate, so
    all its numbers are the naive ones, and its zero predictor is one of zero outputs, such as zero logits.
    Every state is a sum, so that batches and ranks add up exactly.

    >>> metric = twirl.EquivarianceError(rotations=10)
    >>> for _ in range(3):  # batches
    ...     metric.update(torch.randn(10, 64, 3), torch.randn(64, 3))
    >>> values = metric.compute()
    >>> abs(values["L_mean"] + values["L_equiv"] - values["L_total"]) < 1e-9
    True
    """

    higher_is_better = False
    full_state_update = False

    def __init__(
        self,
        rotations: int | RotationSet = 10,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.loss = loss
        self.rotations = None if isinstance(rotations, int) else rotations
        R = rotations if isinstance(rotations, int) else len(rotations)
        self.sampling = "iid" if self.rotations is None else self.rotations.sampling
        self.bessel = 1.0 if loss is not None else bessel_factor(self.sampling, R)
        sums = {
            "L_mean": (),
            "L_equiv": (),
            "gram": (R, R),
            "zero": (),
            "size": (),
            "ratios": (),
            "ratio_count": (),
        }
        for name, shape in sums.items():
            self.add_state(f"sum_{name}", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("sum_exact", torch.zeros(3, dtype=torch.float64), dist_reduce_fx="sum")

    def update(
        self,
        Z: Tensor,
        y: Tensor,
        sample_index: Tensor | None = None,
        exact: tuple[Tensor, Tensor, Tensor] | None = None,
    ) -> None:
        """Z: (R, n, ...) twisted predictions, y: (n, ...) targets, sample_index: see `decompose`.

        exact: the closed form over all rotations, where there is one: see `Problem.exact`.
        """
        if len(Z) != len(self.sum_gram):
            raise ValueError(f"this metric expects {len(self.sum_gram)} rotations per update, not {len(Z)}.")
        parts = decompose_predictions(Z, y, self.rotations, loss=self.loss, sample_index=sample_index)
        sizes = parts.sizes
        self.sum_L_mean += (sizes * parts.L_mean).sum()
        self.sum_L_equiv += (sizes * parts.L_equiv).sum()
        self.sum_size += sizes.sum()
        if self.loss is None:
            self.sum_zero += y.double().square().sum()
            self.sum_gram += (sizes[:, None, None] * parts.gram).sum(0)
            ratios = parts.per_sample.percent
        else:
            self.sum_zero += self.loss(torch.zeros_like(Z[0]), y).double().sum()
            ratios = parts.per_sample_naive.percent
        self.sum_ratios += ratios.nansum()
        self.sum_ratio_count += ratios.isfinite().sum()

        if exact is not None:
            L_mean, L_equiv, sizes = (term.double() for term in exact)
            self.sum_exact += torch.stack([(sizes * L_mean).sum(), (sizes * L_equiv).sum(), sizes.sum()])

    def compute(self) -> dict[str, float]:
        """What `Decomposition.as_dict` holds, percent_se, and L_zero, the loss of the zero predictor.

        With closed forms also L_total_exact, L_mean_exact, L_equiv_exact, percent_exact.
        """
        size = float(self.sum_size)
        if not size:
            raise ValueError("EquivarianceError was asked for a result before any update.")
        terms = float(self.sum_L_mean) / size, float(self.sum_L_equiv) / size
        count = float(self.sum_ratio_count)
        ratios = float(self.sum_ratios) / count if count else float("nan")
        values = summary(unbiased_losses(*terms, self.bessel), losses(*terms), ratios)
        values["percent_se"] = self._percent_se()
        values["L_zero"] = float(self.sum_zero) / size
        exact = self.sum_exact.tolist()
        if exact[2]:
            closed = losses(exact[0] / exact[2], exact[1] / exact[2])
            names = ("L_total", "L_mean", "L_equiv", "percent")
            values |= {f"{name}_exact": getattr(closed, name) for name in names}
        return values

    def _percent_se(self) -> float:
        R = len(self.sum_gram)
        if self.sampling != "iid" or R < 3 or self.loss is not None:
            return float("nan")
        counts = multinomial(_RESAMPLES, R, torch.Generator().manual_seed(0))
        percent = losses(*resampled_losses(self.sum_gram.cpu()[None], counts)).percent
        return standard_deviation(percent, R / (R - 1))
