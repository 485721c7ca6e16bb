"""`EquivarianceError`: the decomposition as a torchmetrics metric, right under batching and DDP."""

import torch
from torch import Tensor
from torchmetrics import Metric

from twirl.decomposition import (
    Estimate,
    bessel_factor,
    decompose_predictions,
    summary,
)
from twirl.rotations import RotationSet


class EquivarianceError(Metric):
    """Accumulates twisted predictions; `compute()` gives the same numbers as `decompose` on all of them at
    once.

    rotations: the number R of i.i.d. rotations, or the RotationSet in use; every update brings that many.
    percent_se: the standard error of `percent` due to the rotations drawn, samples held fixed, by the delta
    method (no random numbers); nan where rotations are not i.i.d.
    Every state is a sum, so that batches and ranks add up exactly.
    """

    higher_is_better = False
    full_state_update = False

    def __init__(self, rotations: int | RotationSet = 10, **kwargs):
        super().__init__(**kwargs)
        self.rotations = None if isinstance(rotations, int) else rotations
        R = rotations if isinstance(rotations, int) else len(rotations)
        self.sampling = "iid" if self.rotations is None else self.rotations.sampling
        self.bessel = bessel_factor(self.sampling, R)
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
        parts = decompose_predictions(Z, y, self.rotations, sample_index=sample_index)
        sizes = parts.sizes
        self.sum_zero += y.double().square().sum()
        self.sum_L_mean += (sizes * parts.L_mean).sum()
        self.sum_L_equiv += (sizes * parts.L_equiv).sum()
        self.sum_gram += (sizes[:, None, None] * parts.gram).sum(0)
        self.sum_size += sizes.sum()
        ratios = parts.per_sample.percent
        self.sum_ratios += ratios.nansum()
        self.sum_ratio_count += ratios.isfinite().sum()

        if exact is not None:
            L_mean, L_equiv, sizes = (term.double() for term in exact)
            self.sum_exact += torch.stack([(sizes * L_mean).sum(), (sizes * L_equiv).sum(), sizes.sum()])

    def compute(self) -> dict[str, float]:
        """L_total, L_mean, L_equiv, percent (unbiased, Prop. 8), *_naive, percent_mean_of_ratios, percent_se,
        L_zero.

        L_zero is the loss of the constant-zero predictor. With closed forms also L_total_exact,
        L_mean_exact, L_equiv_exact, percent_exact.
        """
        size = float(self.sum_size)
        if not size:
            raise ValueError("EquivarianceError was asked for a result before any update.")
        naive = _losses(float(self.sum_L_mean) / size, float(self.sum_L_equiv) / size)
        corrected = self.bessel * naive.L_equiv
        unbiased = _losses(naive.L_total - corrected, corrected)
        count = float(self.sum_ratio_count)
        ratios = float(self.sum_ratios) / count if count else float("nan")
        values = summary(unbiased, naive, ratios)
        values["percent_se"] = self._percent_se()
        values["L_zero"] = float(self.sum_zero) / size
        exact = self.sum_exact.tolist()
        if exact[2]:
            closed = _losses(exact[0] / exact[2], exact[1] / exact[2])
            names = ("L_total", "L_mean", "L_equiv", "percent")
            values |= {f"{name}_exact": getattr(closed, name) for name in names}
        return values

    def _percent_se(self) -> float:
        """Delta method for the ratio p = c L_equiv / L_total as a function of the R weights of the rotations.

        d p / d w_k is proportional to e_k - p t_k, with e_k = |Z_k - mu|^2 and t_k = |Z_k - y|^2; its
        standard deviation over k, divided by sqrt(R), is the standard error to first order.
        """
        R = len(self.sum_gram)
        if self.sampling != "iid":
            return float("nan")
        gram = self.sum_gram
        t = gram.diagonal()
        e = t - 2 * gram.mean(1) + gram.mean()
        if not float(t.sum()):
            return float("nan")
        influence = self.bessel * (e - e.sum() / t.sum() * t) / t.mean()
        return 100 * float(influence.std()) / R**0.5


def _losses(L_mean: float, L_equiv: float) -> Estimate:
    L_total = L_mean + L_equiv
    return Estimate(L_total, L_mean, L_equiv, 100 * L_equiv / L_total if L_total else float("nan"))
