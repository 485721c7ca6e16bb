"""The loss of twisted predictions split into L_mean, the twirled prediction's error, and the rest, L_equiv.

For the MSE (paper A eq. 6-8), with mu the mean of the twisted predictions Z_k over R rotations, D components:
    L_total = mean_k |Z_k - y|^2 / D = L_mean + L_equiv
    L_mean = |mu - y|^2 / D
    L_equiv = mean_k |Z_k - mu|^2 / D, the equivariance error.
For any other convex loss (eq. 9), L_mean = loss(mu, y) and L_equiv = L_total - L_mean, the Jensen gap, >= 0.

Estimators. "naive": the sums above over the R rotations. With i.i.d. rotations naive L_equiv is low by the
factor (R - 1) / R and naive L_mean high by the difference; "unbiased" repairs both (paper A D.6), and
"percent" is the bias-corrected ratio of Prop. 8, R / (R - 1) L_equiv / (L_mean + L_equiv), in percent.
Samples of different size are pooled by components (ratio of means); percent_mean_of_ratios averages the
samples' own percentages instead.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor

from twirl.representations import Representation
from twirl.rotations import RotationSet, Sampling
from twirl.twisting import average, twist

_BLOCK = 2**22  # residual components held in float64 at a time


@dataclass(frozen=True)
class Estimate:
    """One estimate of the losses (per component) and of 100 L_equiv / L_total; floats, or tensors (S,).

    >>> twirl.Estimate(L_total=4.0, L_mean=3.0, L_equiv=1.0, percent=25.0).percent
    25.0
    """

    L_total: float | Tensor
    L_mean: float | Tensor
    L_equiv: float | Tensor
    percent: float | Tensor


@dataclass(frozen=True)
class StandardErrors(Estimate):
    """Standard errors of the reported (unbiased, Prop. 8) estimates.

    >>> split = twirl.decompose_predictions(torch.randn(10, 64, 3), torch.randn(64, 3))
    >>> split.bootstrap(100).percent > 0
    True
    """

    percent_mean_of_ratios: float


@dataclass(frozen=True)
class Decomposition:
    """Naive losses of S samples, from which every estimate follows.

    L_mean, L_equiv: (S,) float64, naive, per component. sizes: (S,) components of each sample.
    weights: (R,) of the rotations; sampling: how they came about (see RotationSet).
    gram: (S, R, R) float64, <Z_k - y, Z_l - y> / size, or None (convex loss, or not kept).
    mu: twirled prediction (n, ...). convex: True for the Jensen-gap split of eq. 9.

    >>> split = twirl.decompose_predictions(torch.randn(10, 64, 3), torch.randn(64, 3))  # 10 rotations, 64 samples
    >>> split.naive.L_equiv < split.unbiased.L_equiv
    True
    >>> abs(split.naive.L_total - split.unbiased.L_total) < 1e-9
    True
    """

    L_mean: Tensor
    L_equiv: Tensor
    sizes: Tensor
    weights: Tensor
    sampling: Sampling
    gram: Tensor | None
    mu: Tensor | None
    convex: bool = False

    @property
    def naive(self) -> Estimate:
        """Pooled sums as they are; exact for an enumerated group."""
        return losses(self._pool(self.L_mean), self._pool(self.L_equiv))

    @property
    def unbiased(self) -> Estimate:
        """Pooled, each loss unbiased under i.i.d. rotations (paper A D.6), percent by Prop. 8.

        Enumerated groups and quadrature rules have no such bias and get no correction.
        Errors: ValueError for fewer than 2 i.i.d. rotations, and for convex losses, which have no known
        correction.
        """
        return unbiased_losses(self._pool(self.L_mean), self._pool(self.L_equiv), self._bessel())

    @property
    def percent(self) -> float:
        """Prop. 8: the bias-corrected percentage, ratio of means."""
        return self.unbiased.percent

    @property
    def percent_mean_of_ratios(self) -> float:
        """The mean over samples of their Prop. 8 percentages; samples without any loss are left out."""
        return float(self.per_sample.percent.nanmean())

    @property
    def per_sample(self) -> Estimate:
        """The unbiased estimates of every sample, tensors (S,)."""
        return unbiased_losses(self.L_mean, self.L_equiv, self._bessel())

    @property
    def per_sample_naive(self) -> Estimate:
        """The naive estimates of every sample, tensors (S,)."""
        return losses(self.L_mean, self.L_equiv)

    def bootstrap(
        self,
        n: int = 1000,
        generator: torch.Generator | None = None,
        over: Literal["samples", "rotations", "both"] = "rotations",
    ) -> StandardErrors:
        """Standard errors of the unbiased estimates by resampling samples, rotations, or both, n times.

        A resample that holds rotation k with weight w_k has naive L_equiv corrected by 1 / (1 - sum w_k^2): a
        rotation drawn twice is no pair, and equal weights give R / (R - 1). The variance of a mean over R
        resampled draws is low by (R - 1) / R, which is put back ((S - 1) / S for samples).
        Errs on the large side: the part of the variance that stems from pairs of rotations is counted up to
        three times (all of it where |Z - mu| is the same for every rotation: errors up to sqrt(3) too large),
        and "both" counts the interaction of samples and rotations twice.
        Errors: ValueError for rotations that are not i.i.d. or fewer than 3, a Gram matrix that was not kept,
        a single sample.
        """
        if over not in ("samples", "rotations", "both"):
            raise ValueError(f"over must be 'samples', 'rotations' or 'both', not {over!r}.")
        S, R, inflate = len(self.sizes), len(self.weights), 1.0
        v = torch.ones(n, S, dtype=torch.float64)
        if over != "rotations":
            if S < 2:
                raise ValueError("a standard error over samples needs at least 2 samples.")
            v = multinomial(n, S, generator)
            inflate *= S / (S - 1)
        v = v.to(self.sizes.device)
        if over == "samples":
            estimate = self.per_sample
            L_mean, L_equiv = estimate.L_mean.expand(n, S), estimate.L_equiv.expand(n, S)
        else:
            if self.sampling != "iid":
                raise ValueError(f"{self.sampling} rotations are not a random sample to draw from again.")
            if self.gram is None:
                raise ValueError(
                    "resampling rotations needs the Gram matrix of an MSE split, keep_gram=True."
                )
            L_mean, L_equiv = resampled_losses(self.gram, multinomial(n, R, generator))
            inflate *= R / (R - 1)
        shares = v * self.sizes
        shares = shares / shares.sum(1, keepdim=True)
        pooled = losses((shares * L_mean).sum(1), (shares * L_equiv).sum(1))
        ratios = losses(L_mean, L_equiv).percent
        counted = v * ratios.isfinite()
        mean_of_ratios = (counted * ratios.nan_to_num()).sum(1) / counted.sum(1)
        spread = {f.name: standard_deviation(getattr(pooled, f.name), inflate) for f in fields(Estimate)}
        return StandardErrors(**spread, percent_mean_of_ratios=standard_deviation(mean_of_ratios, inflate))

    def as_dict(self) -> dict[str, float]:
        """The pooled estimates under the names used in logs: unbiased plain, others with their suffix."""
        return summary(self.unbiased, self.naive, self.percent_mean_of_ratios)

    def _pool(self, x: Tensor) -> float:
        return float((self.sizes * x).sum() / self.sizes.sum())

    def _bessel(self) -> float:
        return bessel_factor(self.sampling, len(self.weights), self.convex)


def decompose(
    model: Callable[[Any], Any],
    x: Any,
    y: Tensor,
    rotations: RotationSet,
    acts_on_x: Representation,
    acts_on_y: Representation,
    *,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    sample_index: Tensor | None = None,
    chunk: int | None = None,
    keep_gram: bool = True,
) -> Decomposition:
    """Split the loss of `model` on the batch (x, y) over a set of rotations (paper A eq. 4-9).

    model, x, acts_on_x, acts_on_y, chunk: see `twist`. y: target (n, ...), shaped like the prediction (for a
    convex loss only its leading axis must fit).
    loss: None for the MSE; else a convex (prediction, target) -> (n,) or (n, ...), without reduction.
    sample_index: (n,) long, the sample of each row (atoms of molecules); None: each row is a sample.
    keep_gram: keep the (S, R, R) Gram matrices, which only the bootstrap over rotations needs.
    Errors: ValueError for shapes that do not fit, non-finite predictions, a loss that is not convex.

    >>> x, y = torch.randn(64, 20, 3, dtype=torch.float64), torch.randn(64, 20, 3, dtype=torch.float64)
    >>> rotations, v = twirl.rotation_set("iid", 10), twirl.Vectors()
    >>> twirl.decompose(lambda x: 2 * x, x, y, rotations, v, v).percent < 1e-9  # an equivariant model
    True
    >>> twirl.decompose(lambda x: x + 1, x, y, rotations, v, v).percent > 1
    True
    """
    Z = twist(model, x, rotations.elements, acts_on_x, acts_on_y, chunk)
    return decompose_predictions(Z, y, rotations, loss=loss, sample_index=sample_index, keep_gram=keep_gram)


@torch.no_grad()
def decompose_predictions(
    Z: Tensor,
    y: Tensor,
    rotations: RotationSet | None = None,
    *,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    sample_index: Tensor | None = None,
    keep_gram: bool = True,
) -> Decomposition:
    """The decomposition from twisted predictions Z (R, n, ...) that exist already.

    rotations: the set they belong to; None: i.i.d. Other arguments, errors: see `decompose`.

    >>> Z, y = torch.tensor([[[1.0]], [[3.0]]]), torch.tensor([[0.0]])
    >>> twirl.decompose_predictions(Z, y).naive
    Estimate(L_total=5.0, L_mean=4.0, L_equiv=1.0, percent=20.0)
    """
    weights, sampling = _weights(Z, rotations)
    check_predictions(Z, y, same_shape=loss is None)
    index, S = _samples(y, sample_index)
    if loss is not None:
        return _decompose_convex(Z, y, weights, sampling, loss, index, S)
    R, n = Z.shape[:2]
    d = y[0].numel()
    w = weights.to(Z.device)
    sums = {
        "mean": _zeros(S, like=Z),
        "equiv": _zeros(S, like=Z),
        "gram": _zeros(S, R, R, like=Z) if keep_gram else None,
    }
    step = max(1, _BLOCK // (R * d))
    for start in range(0, n, step):
        rows = slice(start, start + step)
        Z_rows = Z[:, rows].double().flatten(2) if Z.ndim > 2 else Z[:, rows, None].double()
        y_rows = y[rows].double().reshape(-1, d)
        mu_rows = (w[:, None, None] * Z_rows).sum(0)
        sums["mean"].index_add_(0, index[rows], (mu_rows - y_rows).square().sum(-1))
        spread = (w[:, None, None] * (Z_rows - mu_rows).square()).sum((0, 2))
        sums["equiv"].index_add_(0, index[rows], spread)
        if keep_gram:
            residuals = (Z_rows - y_rows).transpose(0, 1)
            sums["gram"].index_add_(0, index[rows], residuals @ residuals.mT)
    sizes = _count(index, S) * d
    gram = sums["gram"] / sizes[:, None, None] if keep_gram else None
    return Decomposition(
        sums["mean"] / sizes, sums["equiv"] / sizes, sizes, weights.cpu(), sampling, gram, average(Z, weights)
    )


def concat(parts: Sequence[Decomposition]) -> Decomposition:
    """The decomposition of several batches as if measured at once; all with equally many, equally weighted
    rotations.

    The batches may have drawn different rotations: the k-th draws are then one joint draw.

    >>> batches = [twirl.decompose_predictions(torch.randn(10, n, 3), torch.randn(n, 3)) for n in (8, 4)]
    >>> len(twirl.concat(batches).sizes)
    12
    """
    if not parts:
        raise ValueError("there is no decomposition to concatenate.")
    first = parts[0]
    for part in parts[1:]:
        same = part.sampling == first.sampling and part.convex == first.convex
        if not same or not torch.equal(part.weights, first.weights):
            raise ValueError("decompositions over different rotation sets or kinds of loss cannot be pooled.")

    def joined(name: str) -> Tensor | None:
        values = [getattr(part, name) for part in parts]
        return None if any(value is None for value in values) else torch.cat(values)

    names = ("L_mean", "L_equiv", "sizes", "gram", "mu")
    return Decomposition(
        **{name: joined(name) for name in names},
        weights=first.weights,
        sampling=first.sampling,
        convex=first.convex,
    )


def bessel_factor(sampling: Sampling, R: int, convex: bool = False) -> float:
    """R / (R - 1) for i.i.d. rotations, 1 for quadrature and enumeration; ValueError where there is none.

    >>> bessel_factor("iid", 5), bessel_factor("enumeration", 24)
    (1.25, 1.0)
    """
    if sampling != "iid":
        return 1.0
    if convex:
        raise ValueError(
            "no unbiased estimate is known for a convex loss over random rotations; use .naive (its bias "
            "falls as 1/R), an enumerated group or a quadrature rule."
        )
    if R < 2:
        raise ValueError(
            "unbiased estimates need at least 2 i.i.d. rotations; with 1 only .naive L_total means anything."
        )
    return R / (R - 1)


def multinomial(n: int, k: int, generator: torch.Generator | None) -> Tensor:
    """(n, k) float64: how often each of k things occurs in n resamples of k draws.

    >>> multinomial(1000, 10, None).sum(1).unique()
    tensor([10.], dtype=torch.float64)
    """
    device = generator.device if generator is not None else None
    draws = torch.randint(k, (n, k), generator=generator, device=device)
    ones = torch.ones(n, k, dtype=torch.float64, device=device)
    return torch.zeros_like(ones).scatter_add_(1, draws, ones)


def resampled_losses(gram: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Unbiased (L_mean, L_equiv), each (B, S), of B resamples of rotations.

    gram: (S, R, R); counts: (B, R), how often each resample holds each rotation. nan where it holds only one.
    Errors: ValueError for fewer than 3 rotations: most resamples would hold one rotation alone, or all.

    >>> same = torch.ones(1, 4, 4, dtype=torch.float64)  # every rotation has the same residual
    >>> L_mean, L_equiv = resampled_losses(same, multinomial(100, 4, None))
    >>> bool(L_equiv.nan_to_num().abs().max() < 1e-9)
    True
    """
    R = counts.shape[1]
    if R < 3:
        raise ValueError(f"a standard error over rotations needs at least 3 of them, not {R}.")
    w = counts.to(gram.device) / R
    L_total = w @ gram.diagonal(dim1=1, dim2=2).T
    L_mean = torch.empty_like(L_total)
    step = max(1, _BLOCK // gram[0].numel())
    for start in range(0, len(gram), step):
        samples = slice(start, start + step)
        L_mean[:, samples] = torch.einsum("bk,skl,bl->bs", w, gram[samples], w)
    distinct = 1 - w.square().sum(1, keepdim=True)
    L_equiv = (L_total - L_mean) / torch.where(distinct > 1e-9, distinct, torch.nan)
    return L_total - L_equiv, L_equiv


def standard_deviation(values: Tensor, inflate: float) -> float:
    """Of the finite values, with the variance multiplied by `inflate`.

    >>> standard_deviation(torch.tensor([1.0, 2.0, 3.0, torch.nan]), inflate=4.0)
    2.0
    """
    return float(values[values.isfinite()].std() * inflate**0.5)


def summary(unbiased: Estimate, naive: Estimate, percent_mean_of_ratios: float) -> dict[str, float]:
    """The names under which losses are logged, in log order.

    >>> both = losses(3.0, 1.0)
    >>> list(summary(both, both, 25.0))[:4]
    ['L_total', 'L_mean', 'L_equiv', 'percent']
    """
    return {
        "L_total": unbiased.L_total,
        "L_mean": unbiased.L_mean,
        "L_equiv": unbiased.L_equiv,
        "percent": unbiased.percent,
        "L_mean_naive": naive.L_mean,
        "L_equiv_naive": naive.L_equiv,
        "percent_naive": naive.percent,
        "percent_mean_of_ratios": percent_mean_of_ratios,
    }


def losses(L_mean, L_equiv) -> Estimate:
    """The two terms, floats or tensors, with their sum and percentage (nan for 0 / 0).

    >>> losses(3.0, 1.0)
    Estimate(L_total=4.0, L_mean=3.0, L_equiv=1.0, percent=25.0)
    """
    L_total = L_mean + L_equiv
    if isinstance(L_total, Tensor):
        return Estimate(L_total, L_mean, L_equiv, 100 * L_equiv / L_total)
    return Estimate(L_total, L_mean, L_equiv, 100 * L_equiv / L_total if L_total else float("nan"))


def unbiased_losses(L_mean, L_equiv, bessel: float) -> Estimate:
    """The unbiased estimates and Prop. 8 from naive terms: what L_equiv gains by `bessel`, L_mean gives.

    >>> unbiased_losses(3.0, 1.0, bessel=2.0)
    Estimate(L_total=4.0, L_mean=2.0, L_equiv=2.0, percent=50.0)
    """
    return losses(L_mean - (bessel - 1) * L_equiv, bessel * L_equiv)


def _decompose_convex(Z, y, weights, sampling, loss, index, S) -> Decomposition:
    R, n = Z.shape[:2]
    mu = average(Z, weights)
    repeated = y[None].expand(R, *y.shape).flatten(0, 1)
    L_k = _row_losses(loss, Z.flatten(0, 1), repeated).view(R, n)
    L = (weights.to(L_k.device)[:, None] * L_k).sum(0)
    L_mean = _row_losses(loss, mu, y)
    gap = L - L_mean
    # Single precision losses of magnitude |L| carry rounding of about 1e-6 |L|.
    rounding = 1e-5 * (L.abs() + L_mean.abs()) + 1e-12
    if (gap < -rounding).any():
        row = int((gap + rounding).argmin())
        raise ValueError(f"the loss is not convex: its Jensen gap is {float(gap[row]):.3g} at row {row}.")
    sizes = _count(index, S)
    pooled = [_zeros(S, like=Z).index_add_(0, index, value) / sizes for value in (L_mean, gap.clamp_min(0))]
    return Decomposition(*pooled, sizes, weights.cpu(), sampling, None, mu, convex=True)


def _row_losses(loss, prediction: Tensor, target: Tensor) -> Tensor:
    values = loss(prediction, target)
    if not isinstance(values, Tensor) or values.ndim == 0 or len(values) != len(prediction):
        shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(
            f"loss must return one value per row ({len(prediction)}, ...), without reduction, not {shape}."
        )
    return values.double().flatten(1).mean(1) if values.ndim > 1 else values.double()


def _weights(Z: Tensor, rotations: RotationSet | None) -> tuple[Tensor, Sampling]:
    if not isinstance(Z, Tensor) or Z.ndim < 2:
        raise ValueError(
            "twisted predictions must be one tensor (rotations, rows, ...); select a field of dict outputs."
        )
    if rotations is None:
        return torch.full((len(Z),), 1 / len(Z), dtype=torch.float64), "iid"
    if len(rotations) != len(Z):
        raise ValueError(f"{len(Z)} twisted predictions were given for a set of {len(rotations)} rotations.")
    return rotations.weights.to(torch.float64), rotations.sampling


def check_predictions(Z: Tensor, y: Tensor, same_shape: bool) -> None:
    """ValueError unless predictions Z (R, n, ...) and targets y (n, ...) have equal rows and are finite.

    same_shape: whether every prediction must have the shape of its target.

    >>> check_predictions(torch.zeros(10, 4, 3), torch.zeros(5, 3), same_shape=True)
    Traceback (most recent call last):
        ...
    ValueError: predictions have shape (4, 3) per rotation, targets (5, 3).
    """
    if same_shape and Z.shape[1:] != y.shape:
        raise ValueError(
            f"predictions have shape {tuple(Z.shape[1:])} per rotation, targets {tuple(y.shape)}."
        )
    if len(y) != Z.shape[1] or len(y) == 0:
        raise ValueError(
            f"predictions have {Z.shape[1]} rows per rotation, targets {len(y)}; both need the same, not 0."
        )
    if not Z.isfinite().all():
        k, row = (
            (~Z.isfinite()).flatten(2).any(-1).nonzero()[0].tolist()
            if Z.ndim > 2
            else (~Z.isfinite()).nonzero()[0]
        )
        raise ValueError(
            f"the model's prediction is not finite: first for rotation {int(k)}, row {int(row)}."
        )
    if not y.isfinite().all():
        raise ValueError("the targets are not finite.")


def _samples(y: Tensor, sample_index: Tensor | None) -> tuple[Tensor, int]:
    if sample_index is None:
        return torch.arange(len(y), device=y.device), len(y)
    if sample_index.shape != (len(y),) or sample_index.is_floating_point():
        raise ValueError(
            f"sample_index must be long, one number per row of y ({len(y)},); "
            f"it is {sample_index.dtype} {tuple(sample_index.shape)}."
        )
    index = sample_index.to(y.device, torch.long)
    S = int(index.max()) + 1
    if int(index.min()) < 0 or len(index.unique()) != S:
        raise ValueError(
            "sample_index must use every number from 0 to its largest: a sample without rows has no loss."
        )
    return index, S


def _count(index: Tensor, S: int) -> Tensor:
    return torch.bincount(index, minlength=S).to(torch.float64)


def _zeros(*shape: int, like: Tensor) -> Tensor:
    return torch.zeros(*shape, dtype=torch.float64, device=like.device)
