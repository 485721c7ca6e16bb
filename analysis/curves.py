"""A curve over training steps, and the two reductions every figure and table uses: bins and thinning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Curve:
    """A logged quantity, `value: (n,)`, at increasing training steps, `step: (n,)`."""

    step: np.ndarray
    value: np.ndarray

    def __post_init__(self) -> None:
        step, value = np.asarray(self.step, float), np.asarray(self.value, float)
        keep = np.isfinite(step) & np.isfinite(value)
        order = np.argsort(step[keep], kind="stable")
        object.__setattr__(self, "step", step[keep][order])
        object.__setattr__(self, "value", value[keep][order])

    def __len__(self) -> int:
        return len(self.step)

    def positive(self) -> Curve:
        """The points that log axes can show: step > 0 and value > 0."""
        keep = (self.step > 0) & (self.value > 0)
        return Curve(self.step[keep], self.value[keep])

    def until(self, step: float) -> Curve:
        """The part up to a step."""
        keep = self.step <= step
        return Curve(self.step[keep], self.value[keep])

    def scaled(self, factor: float) -> Curve:
        """The same curve in another unit."""
        return Curve(self.step, factor * self.value)

    def at(self, step: np.ndarray | float) -> np.ndarray:
        """Values between logged steps, linear in (log step, log value); constant beyond both ends.

        Where a value is not positive the interpolation of values is linear. Step 0 is treated as step 0.5.
        """
        x, xs = np.log(np.maximum(step, 0.5)), np.log(np.maximum(self.step, 0.5))
        if np.all(self.value > 0):
            return np.exp(np.interp(x, xs, np.log(self.value)))
        return np.interp(x, xs, self.value)


def binned(curve: Curve, per_decade: int = 20) -> Curve:
    """Medians of `value` in `per_decade` equal bins per decade of step, at the geometric mean of the steps.

    Step 0 is a bin of its own. A bin that holds one evaluation returns it unchanged, so that sparse
    logging is not altered, while dense logging loses its evaluation noise.
    """
    bins = np.where(
        curve.step > 0, np.floor(per_decade * np.log10(np.maximum(curve.step, 1e-9)) + 1e-9), -np.inf
    )
    steps, values = [], []
    for bin_index in np.unique(bins):
        inside = bins == bin_index
        step = curve.step[inside]
        steps.append(np.exp(np.mean(np.log(step))) if step[0] > 0 else 0.0)
        values.append(np.median(curve.value[inside]))
    return Curve(np.array(steps), np.array(values))


def thinned(curve: Curve, at_most: int = 2000) -> Curve:
    """About `at_most` logged points, spread evenly in log step; first, last, lowest and highest stay."""
    if len(curve) <= at_most:
        return curve
    x = np.log(np.maximum(curve.step, 0.5))
    wanted = np.linspace(x[0], x[-1], at_most)
    keep = np.searchsorted(x, wanted).clip(0, len(x) - 1)
    keep = np.unique(np.r_[0, keep, len(x) - 1, np.argmin(curve.value), np.argmax(curve.value)])
    return Curve(curve.step[keep], curve.value[keep])
