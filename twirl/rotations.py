"""Weighted sets of group elements over which predictions are averaged: i.i.d., low-discrepancy, exact."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from twirl.groups import SO3, Group, about_axis, compose, quaternion_to_matrix

Sampling = Literal["iid", "quadrature", "enumeration"]
KINDS = ("iid", "super_fibonacci", "product_quadrature")
# The positive root of psi^4 = psi + 4, the second irrational of the super-Fibonacci spiral (Alexa, CVPR
# 2022).
_PSI = 1.533751168755204288118041


@dataclass(frozen=True)
class RotationSet:
    """Elements g_1..g_R with weights that sum to one, and how they came about.

    elements: (R, 3, 3) float (or (R, k) long permutations); weights: (R,) float64.
    sampling: "iid" (random: estimators get their Bessel corrections), "quadrature" (deterministic or randomly
    pre-rotated: none), "enumeration" (a whole finite group: averages are exact).

    >>> weights = torch.full((2,), 0.5, dtype=torch.float64)
    >>> len(twirl.RotationSet(twirl.Cyclic(2).elements(), weights, "enumeration"))
    2
    """

    elements: Tensor
    weights: Tensor
    sampling: Sampling

    def __post_init__(self):
        if self.weights.shape != (len(self.elements),):
            raise ValueError(
                f"{len(self.elements)} elements need as many weights, not {tuple(self.weights.shape)}."
            )
        if (self.weights < 0).any() or abs(float(self.weights.sum()) - 1) > 1e-6:
            raise ValueError("weights must be non-negative and sum to one.")
        if self.sampling not in ("iid", "quadrature", "enumeration"):
            raise ValueError(f"sampling must be 'iid', 'quadrature' or 'enumeration', not {self.sampling!r}.")
        if self.sampling == "iid" and not torch.allclose(
            self.weights, self.weights.mean().expand_as(self.weights)
        ):
            raise ValueError("i.i.d. elements carry equal weights.")

    def __len__(self) -> int:
        return len(self.elements)

    def to(self, device) -> "RotationSet":
        """The same set on another device."""
        return replace(self, elements=self.elements.to(device), weights=self.weights.to(device))


def rotation_set(
    kind: str = "iid",
    n: int = 10,
    generator: torch.Generator | None = None,
    *,
    group: Group | None = None,
    dtype=torch.float64,
) -> RotationSet:
    """About n rotations for averages over SO(3).

    kind: "iid" (uniform draws; of `group` if given), "super_fibonacci" (n equally weighted points of a
    low-discrepancy spiral), "product_quadrature" (the largest product rule with at most n points, see
    `product_quadrature`; may return fewer than n).
    generator: source of the i.i.d. draws; turns a deterministic set by one random rotation (an unbiased
    rule).

    >>> len(twirl.rotation_set("iid", 10)), len(twirl.rotation_set("product_quadrature", 20))
    (10, 18)
    """
    if n < 1:
        raise ValueError(f"a rotation set needs at least 1 rotation, not {n}.")
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}.")
    if kind == "iid":
        return _equal((group or SO3()).sample(n, generator, dtype), "iid")
    if group is not None and not isinstance(group, SO3):
        raise ValueError(
            f"{kind!r} is a rule for SO(3); for {type(group).__name__} use kind 'iid' or enumerate_group."
        )
    rule = super_fibonacci(n) if kind == "super_fibonacci" else product_quadrature(_largest_degree(n))
    elements = rule.elements
    if generator is not None:
        elements = compose(SO3().sample(1, generator).to(elements.device), elements)
    return replace(rule, elements=elements.to(dtype))


def enumerate_group(group: Group, dtype=torch.float64) -> RotationSet:
    """All elements of a finite group, equally weighted: the average over them is exact.

    >>> cube = twirl.enumerate_group(twirl.Octahedral())
    >>> len(cube), cube.sampling
    (24, 'enumeration')
    """
    return _equal(group.elements(dtype), "enumeration")


def super_fibonacci(n: int) -> RotationSet:
    """n equally weighted, evenly spread rotations (super-Fibonacci spirals; Alexa, CVPR 2022).

    >>> bool(twirl.super_fibonacci(1000).elements.mean(0).abs().max() < 0.01)  # the mean rotation is 0
    True
    """
    s = torch.arange(n, dtype=torch.float64) + 0.5
    inner, outer = (s / n).sqrt(), (1 - s / n).sqrt()
    alpha, beta = 2 * math.pi * s / math.sqrt(2), 2 * math.pi * s / _PSI
    q = torch.stack(
        [inner * alpha.sin(), inner * alpha.cos(), outer * beta.sin(), outer * beta.cos()], dim=-1
    )
    return _equal(quaternion_to_matrix(q), "quadrature")


def product_quadrature(degree: int) -> RotationSet:
    """The product rule that integrates every Wigner function up to l = degree exactly.

    Uniform in the first and third Euler angle (zyz), Gauss-Legendre in the cosine of the second:
    (degree + 1)^2 ceil((degree + 1) / 2) rotations. The mean of a linear map's twisted prediction needs
    degree 2, its L_equiv degree 4.

    >>> rule = twirl.product_quadrature(1)
    >>> mean = (rule.weights[:, None, None] * rule.elements).sum(0)
    >>> bool(mean.abs().max() < 1e-12)  # the mean rotation is 0
    True
    """
    if degree < 0:
        raise ValueError(f"degree must not be negative, not {degree}.")
    circle = 2 * math.pi * torch.arange(degree + 1, dtype=torch.float64) / (degree + 1)
    nodes, node_weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(degree // 2 + 1))
    z, y = about_axis("z", circle), about_axis("y", nodes.acos())
    elements = (z[:, None, None] @ y[None, :, None] @ z[None, None, :]).flatten(0, 2)
    weights = (node_weights / 2)[None, :, None].expand(degree + 1, -1, degree + 1).flatten() / (
        degree + 1
    ) ** 2
    return RotationSet(elements, weights / weights.sum(), "quadrature")


def _largest_degree(n: int) -> int:
    degree = 0
    while (degree + 2) ** 2 * ((degree + 1) // 2 + 1) <= n:
        degree += 1
    return degree


def _equal(elements: Tensor, sampling: Sampling) -> RotationSet:
    n = len(elements)
    return RotationSet(
        elements, torch.full((n,), 1 / n, dtype=torch.float64, device=elements.device), sampling
    )
