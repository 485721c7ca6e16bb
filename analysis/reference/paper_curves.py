"""Paper A's curves, read back from its published figures, in the units and estimators in which we draw.

The folder (`$REFERENCE_DIR`, by default `../shared/reference` beside the repository) is optional: without it
figures show ours alone and say so.

What is done to the stored values, so that like is compared with like:
- percent is stored as a fraction and already carries the factor N/(N-1) of N = 10 rotations: times 100.
- L_equiv carries the same factor, so it is the unbiased estimate: unchanged.
- L_mean was drawn without a correction and so holds 1/N of the variance too much: L_mean - L_equiv / N, with
  L_equiv as drawn, is its unbiased estimate (paper A, app. D.6).
- L_total needs none.
- Proteína's curves are drawn over rows of a log, not over steps: rows / `ROWS_PER_STEP`.
- VoxMol's are of N = 4 rotations, its percent a ratio of means as ours.
One difference remains: the percent of the other two is a mean of ratios over batches or samples, ours is a ratio
of means.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.curves import Curve
from analysis.results import ResultsError

ROOT = Path(__file__).resolve().parents[2]
ROTATIONS = 10

PERCENT_CURVES: dict[str, tuple[tuple[str, str], ...]] = {
    "escaip-default": (("fig2b", "replicate 1"), ("fig2b", "replicate 2"), ("fig2b", "replicate 3")),
    "escaip-train-50k": (("fig2d", "50k, batch size 64"),),
    "escaip-train-5k": (("fig2d", "5k, batch size 64"),),
    "escaip-train-500": (("fig2d", "500, batch size 1"),),
    "escaip-param-4M": (("fig2e", "4M"),),
    "escaip-param-1M": (("fig2e", "1M"),),
    "escaip-lr-1e-4": (("fig2f", "Adam 1e-4"),),
    "escaip-lr-1e-3": (("fig2f", "Adam 1e-3"),),
    "escaip-sgd": (("fig2f", "SGD 1e-5"),),
}
"""Run name -> (file, series) of the paper's percent curves, one per replicate."""

LOSS_CURVES: dict[str, str] = {
    "escaip-default": "fig2c",
    "escaip-train-50k": "fig6_50k",
    "escaip-train-5k": "fig6_5k",
    "escaip-train-500": "fig6_500",
}
"""Run name -> file with the paper's L_mean, L_equiv and L_total; the default's are those of replicate 1."""

TIMED_CURVES: dict[str, dict[str, str]] = {
    "proteina-60m": {
        "percent": "fig3a", "L_mean": "fig3c", "L_equiv": "fig3d", "L_total": "fig3x_60M_total",
    },
    "proteina-400m": {"percent": "fig3e", "L_mean": "fig3x_400M_mean", "L_equiv": "fig3x_400M_equiv"},
    "proteina-1pct": {"percent": "fig3f"},
    "proteina-0.1pct": {"percent": "fig3g", "L_total": "fig3h"},
}  # fmt: skip
"""Run name -> quantity -> file with a series for every time t of the path."""
TIMES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99)
ROWS_PER_STEP = {
    "proteina-60m": 114 / 50,
    "proteina-400m": 141 / 50,
    "proteina-1pct": 110 / 50,
    "proteina-0.1pct": 62 / 50,
}
"""Rows of the paper's log between two measurements, which we take to be 50 optimiser steps apart: the official
default. An inference: neither paper nor log says it."""

DENSITY_CURVES: dict[str, tuple[str, str, str]] = {
    "voxmol-111m": ("fig4b", "fig4x_model_losses", "111M"),
    "voxmol-28m": ("fig4b", "fig4x_model_losses", "28M"),
    "voxmol-7m": ("fig4b", "fig4x_model_losses", "7M"),
    "voxmol-50pct": ("fig4a", "fig4c", "50%"),
    "voxmol-25pct": ("fig4a", "fig4c", "25%"),
    "voxmol-10pct": ("fig4a", "fig4c", "10%"),
    "voxmol-1pct": ("fig4a", "fig4c", "1%"),
}
"""Run name -> file of the percents, file of the losses, what the paper calls the run."""
DENSITY_ROTATIONS = 4
LOGGED_NAMES = {"fig4a": "111M, {} of train set", "fig4b": "{}, 100% of train set"}
"""How a run is called among the logged evaluations, where it is not as among the bins."""
DENSITY_ZERO = 2.65e-4
"""Loss of answering zero on the paper's grid, which it does not print. Measured with our voxeliser on conformers
(ETKDG) of 24 random molecules of the official test split: 5.95e-6 per atom, at that split's 44.5 atoms a molecule."""


@dataclass(frozen=True)
class PaperCurve:
    """One curve of the paper: evaluations as drawn there, and their medians in 20 bins per decade of step."""

    logged: Curve
    median: Curve

    def scaled(self, factor: float) -> PaperCurve:
        """The same in another unit."""
        return PaperCurve(self.logged.scaled(factor), self.median.scaled(factor))

    def every(self, rows: float) -> PaperCurve:
        """The same over steps, where it stands over rows of which every step has so many."""
        return PaperCurve(*(Curve(curve.step / rows, curve.value) for curve in (self.logged, self.median)))


@dataclass(frozen=True)
class PaperCurves:
    """The folder of recovered curves; files are read when first asked for."""

    folder: Path

    def percent_of(self, run: str) -> list[PaperCurve]:
        """Percent of the validation loss in the run that `run` repeats, one curve per replicate."""
        if run in DENSITY_CURVES:
            file, _, name = DENSITY_CURVES[run]
            logged = self.logged(file, LOGGED_NAMES[file].format(name))
            return [PaperCurve(logged, self.bins(file, name)).scaled(100.0)]
        return [self.both(file, series).scaled(100.0) for file, series in PERCENT_CURVES.get(run, ())]

    def losses_of(self, run: str) -> dict[str, PaperCurve]:
        """`L_mean`, `L_equiv`, `L_total` of the run that `run` repeats; empty where the paper shows none.

        VoxMol's without `L_total`, which was logged for other rotations and noise.
        """
        if run in DENSITY_CURVES:
            _, file, name = DENSITY_CURVES[run]
            mean, equiv = self.both(file, f"{name} L_mean"), self.both(file, f"{name} L_equiv (x4/3)")
            return {"L_mean": _unbiased(mean, equiv, DENSITY_ROTATIONS), "L_equiv": equiv}
        return self.losses(LOSS_CURVES[run]) if run in LOSS_CURVES else {}

    def losses(self, file: str) -> dict[str, PaperCurve]:
        """`L_mean`, `L_equiv`, `L_total` of one loss figure, all three as unbiased estimates."""
        curves = {name: self.both(file, name) for name in ("L_total", "L_mean", "L_equiv")}
        curves["L_mean"] = _unbiased(curves["L_mean"], curves["L_equiv"])
        return curves

    def timed(self, run: str, t: float) -> dict[str, PaperCurve]:
        """What the paper shows of the run that `run` repeats at time t, over steps; losses are of the clean points."""
        files = TIMED_CURVES.get(run, {}) if t in TIMES else {}
        curves = {quantity: self.both(file, f"t={t:g}", f"{t:g}") for quantity, file in files.items()}
        if "percent" in curves:
            curves["percent"] = curves["percent"].scaled(100.0)
        if "L_mean" in curves:
            curves["L_mean"] = _unbiased(curves["L_mean"], curves["L_equiv"])
        return {quantity: curve.every(ROWS_PER_STEP[run]) for quantity, curve in curves.items()}

    def last_bars(self) -> dict[float, float]:
        """Fig. 3b: percent at the end of the 60M run by time t, as drawn."""
        frame = _read(self.folder / "fig3b.csv")
        return {float(row.t): 100 * float(row.y) for row in frame.itertuples()}

    def gradient_line(self, t: float) -> pd.DataFrame:
        """Fig. 8 at time t: step, ratio of gradient norms, percent; of a smoothed line read off an image."""
        frame = _read(self.folder / "fig8.csv")
        frame = frame[frame["t"] == f"{t:g}"]
        step = frame["row_index_from_colour"].astype(float) / ROWS_PER_STEP["proteina-60m"]
        return pd.DataFrame(
            {"step": step, "ratio": frame["x"].astype(float), "percent": 100 * frame["y"].astype(float)}
        )

    def both(self, file: str, series: str, t: str = "") -> PaperCurve:
        """A curve as stored: fractions, L_mean uncorrected."""
        return PaperCurve(self.logged(file, series, t=t), self.bins(file, series, t=t))

    def bins(self, file: str, series: str, variant: str = "raw", t: str = "") -> Curve:
        """Medians of 20 bins per decade on the full evaluation grid, as stored (fractions, not percent)."""
        frame = _read(self.folder / "binned.csv")
        part = frame[
            (frame["file"] == file)
            & (frame["series"] == series)
            & (frame["variant"] == variant)
            & (frame["t"] == t)
        ]
        if part.empty:
            raise ResultsError(f"{self.folder / 'binned.csv'}: no bins of {file}, series {series!r}.")
        return Curve(part["x"].to_numpy(float), part["y_median"].to_numpy(float))

    @cached_property
    def index(self) -> pd.DataFrame:
        """file, figure, panel, series, variant, t of every curve that has bins, in file order."""
        columns = ["file", "figure", "panel", "series", "variant", "t"]
        return _read(self.folder / "binned.csv")[columns].drop_duplicates().reset_index(drop=True)

    def logged(self, file: str, series: str, variant: str = "raw", t: str = "") -> Curve:
        """The logged evaluations as stored, thinned there to 2,000."""
        frame = _read(self.folder / f"{file}.csv")
        part = frame[(frame["series"] == series) & (frame["variant"] == variant) & (frame["t"] == t)]
        if part.empty:
            raise ResultsError(
                f"{self.folder / file}.csv: no series {series!r}; is this the reference folder?"
            )
        return Curve(part["x"].to_numpy(float), part["y"].to_numpy(float))


def unbiased_mean(L_mean: Curve, L_equiv: Curve, rotations: int = ROTATIONS) -> Curve:
    """L_mean as estimated from `rotations` rotations, less the share of L_equiv that it still holds."""
    corrected = L_mean.value - L_equiv.at(L_mean.step) / rotations
    return Curve(L_mean.step, np.maximum(corrected, np.finfo(float).tiny))


def _unbiased(mean: PaperCurve, equiv: PaperCurve, rotations: int = ROTATIONS) -> PaperCurve:
    return PaperCurve(
        unbiased_mean(mean.logged, equiv.logged, rotations),
        unbiased_mean(mean.median, equiv.median, rotations),
    )


def open_paper_curves() -> PaperCurves | None:
    """The reference folder, or None where there is none; a folder asked for by name must exist."""
    named = os.environ.get("REFERENCE_DIR")
    folder = Path(named) if named else ROOT.parent / "shared" / "reference"
    if (folder / "binned.csv").is_file():
        return PaperCurves(folder)
    if named:
        raise ResultsError(
            f"REFERENCE_DIR={named}: no binned.csv there; name the folder with the paper's curves."
        )
    return None


@lru_cache(maxsize=64)
def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise ResultsError(f"{path}: missing; the reference folder is incomplete.")
    text = dict.fromkeys(("file", "figure", "panel", "series", "variant", "t"), str)
    return pd.read_csv(path, dtype=text, keep_default_na=False)
