"""Landmarks of a percent curve: where it starts, when it falls, how deep it dips, how it ends.

Definitions, the same for our curves and for the paper's. All but the start are read off the binned curve
(`curves.binned`: medians of 20 bins per decade of step), so that evaluation noise and the logging interval
do not move them.

start     the first logged value.
below     for each of 10, 5, 2, 1 (percent): the first step at which the curve is below it, interpolated in
          log step and log value between the two neighbouring bins.
dip, peak the pair (dip, then a later peak) of the binned curve with the largest ratio peak / dip: the deepest
          fall that the curve takes back. There is no dip if that ratio is below `MIN_RISE`.
end       the last bin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.curves import Curve, binned

LEVELS = (10.0, 5.0, 2.0, 1.0)
MIN_RISE = 1.25


@dataclass(frozen=True)
class Landmarks:
    """Landmarks of one curve; None where the curve has no such point. Values in the curve's own unit."""

    start_step: float
    start: float
    below: dict[float, float | None]
    dip_step: float | None
    dip: float | None
    peak_step: float | None
    peak: float | None
    end_step: float
    end: float

    def as_row(self) -> dict[str, float | None]:
        """Flat form, one key per landmark, in the order in which a run passes them."""
        return {
            "start_step": self.start_step,
            "start": self.start,
            **{f"below_{level:g}_step": step for level, step in self.below.items()},
            "dip_step": self.dip_step,
            "dip": self.dip,
            "peak_step": self.peak_step,
            "peak": self.peak,
            "end_step": self.end_step,
            "end": self.end,
        }


def landmarks(curve: Curve, bins: Curve | None = None, levels: tuple[float, ...] = LEVELS) -> Landmarks:
    """Landmarks of `curve`; `bins` replaces the binned curve where only that is known on the full grid."""
    if len(curve) == 0:
        raise ValueError("a curve without a finite value has no landmarks")
    bins = binned(curve) if bins is None else bins
    dip, peak = dip_and_peak(bins.value)
    return Landmarks(
        start_step=float(curve.step[0]),
        start=float(curve.value[0]),
        below={level: first_below(bins, level) for level in levels},
        dip_step=None if dip is None else float(bins.step[dip]),
        dip=None if dip is None else float(bins.value[dip]),
        peak_step=None if peak is None else float(bins.step[peak]),
        peak=None if peak is None else float(bins.value[peak]),
        end_step=float(bins.step[-1]),
        end=float(bins.value[-1]),
    )


def first_below(bins: Curve, level: float) -> float | None:
    """First step at which the binned curve is below `level`, or None if it never is."""
    below = np.flatnonzero(bins.value < level)
    if len(below) == 0:
        return None
    i = int(below[0])
    if i == 0:
        return float(bins.step[0])
    (x0, x1), (y0, y1) = bins.step[i - 1 : i + 1], bins.value[i - 1 : i + 1]
    if x0 <= 0 or y1 <= 0:
        return float(x1)
    share = np.log(y0 / level) / np.log(y0 / y1)
    return float(np.exp(np.log(x0) + share * np.log(x1 / x0)))


def dip_and_peak(value: np.ndarray) -> tuple[int | None, int | None]:
    """Indices (i, j), i < j, with the largest value[j] / value[i]; (None, None) if it is below MIN_RISE."""
    value = np.maximum(np.asarray(value, float), np.finfo(float).tiny)
    lowest = np.minimum.accumulate(value)
    rise = value / lowest
    j = int(np.argmax(rise))
    if rise[j] < MIN_RISE:
        return None, None
    return int(np.argmin(value[: j + 1])), j
