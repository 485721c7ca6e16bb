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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from analysis.curves import Curve, binned
from analysis.quantities.quantity import Quantity
from analysis.results import Results, Run

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


def run_landmarks(run: Run, estimator: str = "ratio of means") -> dict[str, float | None] | None:
    """Landmarks of one run's plotted weights; None if it did not log this estimator."""
    series = run.plotted_series
    ratios = estimator == "mean of ratios"
    curve = run.curve("percent_mean_of_ratios", series) if ratios else run.line("percent", series)
    if curve is None:
        return None
    row = landmarks(curve).as_row()
    mean, zero = run.line("L_mean", series), run.zero_loss
    known = mean is not None and zero
    row["L_mean_at_dip"] = float(mean.at(row["dip_step"])) / zero if known and row["dip_step"] else None
    row["L_mean_below_zero_step"] = passes_zero(run)
    return row


def passes_zero(run: Run) -> float | None:
    """Step at which L_mean of the drawn weights falls below the zero predictor's loss, in medians of bins, or None."""
    mean = run.line("L_mean", run.plotted_series)
    return first_below(binned(mean), run.zero_loss) if mean is not None and run.zero_loss else None


def measured(results: Results, names: Sequence[str]) -> dict[str, tuple[Run, ...]]:
    """The seeds of each curve: a run, or a run at one time of the path at which every seed was measured."""
    found: dict[str, tuple[Run, ...]] = {}
    for name in names:
        runs = results.of(name)
        if not runs or not any(run.times for run in runs):
            found |= {name: runs} if runs else {}
            continue
        for t in sorted(set.intersection(*(set(run.times) for run in runs))):
            found[f"{name} t={t:g}"] = tuple(run.at(t) for run in runs)
    return found


def landmark(rows: Sequence[Mapping[str, float | None]], name: str, unit: str = "") -> Quantity | None:
    """A landmark over the seeds whose curves have it: their median."""
    return Quantity.of((row.get(name) for row in rows), unit, middle=median)
