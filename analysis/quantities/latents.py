"""Cosines between bottlenecks of turned molecules (paper A 3.5, D.3) as they were measured, and their test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.measure.registry import table_in
from analysis.results import ResultsError, Run

COLUMNS = ("sample", "axis", "angle", "kind", "cosine")
BASELINES = {"unpooled": "other molecule, unpooled", "pooled": "other molecule"}
"""Kind of cosine of a turned molecule -> that between different molecules."""
FULL_TURN = 360


@dataclass(frozen=True)
class Comparison:
    """Cosines of one kind, a molecule's median over its turns against those between different molecules.

    superiority: the share of pairs in which the turned molecule's cosine is the larger, 1/2 if nothing tells them
    apart; p: of the two-sided Mann-Whitney test. Both nan without different molecules. molecules, pairs: how many were
    turned, and how many pairs of different ones there are.
    """

    median: float
    other: float
    superiority: float
    p: float
    molecules: int
    pairs: int


def read_latents(run: Run) -> pd.DataFrame | None:
    """The cosines that a run's folder holds, or None. Raises ResultsError for a file that is something else."""
    frame = run.measured("latents", COLUMNS)
    if frame is None:
        return None
    if not set(BASELINES) <= set(frame["kind"]):
        raise ResultsError(
            f"{table_in(run.folder, 'latents')}: holds no cosines of turned molecules; delete it and measure again."
        )
    return frame


def cosines(frame: pd.DataFrame, kind: str, axis: str = "", angle: int = 0) -> np.ndarray:
    """Those of one violin, in the order of molecules."""
    part = frame[(frame["kind"] == kind) & (frame["axis"] == axis) & (frame["angle"] == angle)]
    return part.sort_values("sample")["cosine"].to_numpy(float)


def compare(frame: pd.DataFrame, kind: str) -> Comparison:
    """Turned molecules against different ones. Whole turns, which move nothing, are left out."""
    turned = frame[(frame["kind"] == kind) & (frame["angle"] % FULL_TURN != 0)]
    own = turned.groupby("sample")["cosine"].median().to_numpy(float)
    others = cosines(frame, BASELINES[kind])
    median = float(turned["cosine"].median())
    if not len(own) or not len(others):
        return Comparison(median, float("nan"), float("nan"), float("nan"), len(own), len(others))
    from scipy.stats import mannwhitneyu  # slow to import, and nothing else here needs it

    test = mannwhitneyu(own, others, alternative="two-sided")
    share = float(test.statistic) / (len(own) * len(others))
    return Comparison(median, float(np.median(others)), share, float(test.pvalue), len(own), len(others))
