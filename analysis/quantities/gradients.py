"""The share of the loss beside the ratio of gradient norms, measurement by measurement (paper A, Figure 8)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd

from analysis.results import Run
from models.training.series import EMA, RAW, Series


@dataclass(frozen=True)
class Points:
    """Measurements of one run at one time: of which weights; steps, ratios of gradient norms, percents, each (n,)."""

    series: Series
    step: np.ndarray
    ratio: np.ndarray
    percent: np.ndarray


def points_at(run: Run, t: float) -> Points | None:
    """Measurements at time t, of the averaged weights where these were measured; None without gradients.

    Ratios are of the plain (naive) sums over rotations.
    """
    at = run.at(t)
    for series in (EMA, RAW):
        curves = [at.curve(name, series) for name in ("grad_L_mean_naive", "grad_L_equiv_naive", "percent")]
        if any(curve is None for curve in curves):
            continue
        steps = reduce(np.intersect1d, [curve.step for curve in curves])
        mean, equiv, percent = (curve.value[np.isin(curve.step, steps)] for curve in curves)
        keep = (mean > 0) & (equiv > 0) & (percent > 0)
        return Points(series, steps[keep], equiv[keep] / mean[keep], percent[keep])
    return None


def correlations(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Pearson's and Spearman's coefficients of the logarithms; nan for fewer than 3 points or none that differ."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan"), float("nan")
    ranks = [pd.Series(values).rank() for values in (x, y)]
    return tuple(float(np.corrcoef(*pair)[0, 1]) for pair in ((np.log(x), np.log(y)), ranks))
