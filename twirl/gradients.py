"""Gradients of L_mean and L_equiv with respect to parameters, for gradient-ratio studies (paper A B.3)."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from twirl.decomposition import bessel_factor, check_predictions
from twirl.problem import Problem
from twirl.rotations import RotationSet
from twirl.twisting import average, twist

Gradients = list[Tensor]


@dataclass(frozen=True)
class GradientRatio:
    """Euclidean norms of the two gradients over all parameters, and L_equiv's over L_mean's.

    >>> twirl.GradientRatio(L_mean_norm=2.0, L_equiv_norm=1.0, ratio=0.5).ratio
    0.5
    """

    L_mean_norm: float
    L_equiv_norm: float
    ratio: float


def loss_gradients(
    problem: Problem,
    params: Iterable[Tensor],
    rotations: RotationSet,
    *,
    estimator: str = "naive",
    chunk: int | None = None,
) -> tuple[Gradients, Gradients]:
    """Gradients (of L_mean, of L_equiv), one tensor for each of `params` that requires a gradient.

    The losses, per component and pooled over samples, are explicit functions of the twisted predictions,
        d L_mean / d Z_k = 2 w_k (mu - y) / D,  d L_equiv / d Z_k = 2 w_k (Z_k - mu) / D,
    so that chunks of rotations are pulled back one after the other and their gradients add up exactly.
    estimator: "naive", or "unbiased" for i.i.d. rotations (R / (R - 1) L_equiv, and L_mean less the
    difference).
    chunk: rotations per forward and backward pass; with several chunks every twisted prediction is computed
    twice, so that the model must be deterministic (eval mode). Leaves `.grad` of the parameters alone.
    Errors: ValueError for predictions that do not fit the targets, are not finite, or need no gradient.

    >>> model, v = torch.nn.Linear(3, 3), twirl.Vectors()
    >>> problem = twirl.Problem(model, torch.randn(8, 3), torch.randn(8, 3), v, v)
    >>> of_mean, of_equiv = twirl.loss_gradients(problem, model.parameters(), twirl.rotation_set("iid", 4))
    >>> [gradient.shape for gradient in of_equiv]
    [torch.Size([3, 3]), torch.Size([3])]
    """
    if estimator not in ("naive", "unbiased"):
        raise ValueError(f"estimator must be 'naive' or 'unbiased', not {estimator!r}.")
    params = [p for p in params if p.requires_grad]
    if not params:
        raise ValueError("there is no parameter that requires a gradient.")
    elements, weights = rotations.elements, rotations.weights
    parts = list(
        zip(elements.split(chunk or len(elements)), weights.split(chunk or len(weights)), strict=True)
    )
    with torch.enable_grad():
        kept = _twist(problem, elements) if len(parts) == 1 else None
    with torch.no_grad():
        Z = kept.detach() if kept is not None else torch.cat([_twist(problem, g) for g, _ in parts])
        check_predictions(Z, problem.y, same_shape=True)
        mu = average(Z, weights)
    sums = [[torch.zeros_like(p) for p in params] for _ in range(2)]
    for g, w in parts:
        with torch.enable_grad():
            Z = kept if kept is not None else _twist(problem, g)
        if not Z.requires_grad:
            raise ValueError(
                "the model's prediction depends on no parameter, or was computed without gradients."
            )
        scale = 2 * w.to(Z.device, Z.dtype).view(-1, *[1] * mu.ndim) / mu.numel()
        pulls = (scale * (mu - problem.y)[None], scale * (Z.detach() - mu))
        for k, pull in enumerate(pulls):
            found = torch.autograd.grad(Z, params, pull, retain_graph=k == 0, allow_unused=True)
            for total, part in zip(sums[k], found, strict=True):
                if part is not None:
                    total += part
    L_mean, L_equiv = sums
    if estimator == "unbiased":
        bessel = bessel_factor(rotations.sampling, len(rotations))
        L_mean = [m - (bessel - 1) * e for m, e in zip(L_mean, L_equiv, strict=True)]
        L_equiv = [bessel * e for e in L_equiv]
    return L_mean, L_equiv


def gradient_ratio(
    problem: Problem, params: Iterable[Tensor], rotations: RotationSet, **options
) -> GradientRatio:
    """Norms of the gradients of `loss_gradients` (same options), and |grad L_equiv| / |grad L_mean|.

    >>> model, v = torch.nn.Linear(3, 3), twirl.Vectors()
    >>> problem = twirl.Problem(model, torch.randn(8, 3), torch.randn(8, 3), v, v)
    >>> twirl.gradient_ratio(problem, model.parameters(), twirl.rotation_set("iid", 4)).ratio > 0
    True
    """
    L_mean, L_equiv = (gradient_norm(g) for g in loss_gradients(problem, params, rotations, **options))
    return GradientRatio(L_mean, L_equiv, L_equiv / L_mean if L_mean else float("nan"))


def gradient_norm(gradients: Gradients) -> float:
    """The Euclidean norm over all tensors, summed in float64.

    >>> gradient_norm([torch.tensor([3.0]), torch.tensor([4.0])])
    5.0
    """
    return float(sum(g.double().square().sum() for g in gradients)) ** 0.5


def _twist(problem: Problem, g: Tensor) -> Tensor:
    return twist(problem.model, problem.x, g, problem.acts_on_x, problem.acts_on_y)
