"""Paper A's curves, read back from its published figures, in the units and estimators in which we draw.

`binned.parquet` beside this file has every curve as medians in 20 bins per decade of step; README.md says where they
come from. The same curves as logged are optional: a folder of CSV files, `$REFERENCE_DIR`, by default
`../shared/reference` beside the repository.

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

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.curves import Curve
from analysis.reference.printed import tables
from analysis.results import ResultsError

HERE = Path(__file__).parent
READS = ("binned.parquet", "gradient_lines.parquet")
BINNED, GRADIENT_LINES = (HERE / name for name in READS)
ROOT = HERE.parents[1]
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
    """One curve of the paper: medians in 20 bins per decade of step, and what was logged where we have it."""

    median: Curve
    logged: Curve | None

    def scaled(self, factor: float) -> PaperCurve:
        """The same in another unit."""
        return self._each(lambda curve: curve.scaled(factor))

    def every(self, rows: float) -> PaperCurve:
        """The same over steps, where it stands over rows of which every step has so many."""
        return self._each(lambda curve: Curve(curve.step / rows, curve.value))

    def _each(self, change: Callable[[Curve], Curve]) -> PaperCurve:
        return PaperCurve(change(self.median), None if self.logged is None else change(self.logged))


@dataclass(frozen=True)
class PaperCurves:
    """Every curve in bins and, where `folder` is one, as logged. Files are read when first asked for."""

    folder: Path | None = None
    read: set[Path] = field(default_factory=set, compare=False)
    """The files that were read so far."""

    @property
    def with_logged(self) -> bool:
        """Whether curves come as logged besides their medians."""
        return self.folder is not None

    def digest(self) -> str | None:
        """sha256 of the names and contents of all files read so far; None if none was."""
        if not self.read:
            return None
        files = sorted((path.name, _digest(path)) for path in self.read)
        return hashlib.sha256("".join(f"{name} {digest}\n" for name, digest in files).encode()).hexdigest()

    def percent_of(self, run: str) -> list[PaperCurve]:
        """Percent of the validation loss in the run that `run` repeats, one curve per replicate."""
        if run in DENSITY_CURVES:
            file, _, name = DENSITY_CURVES[run]
            logged = self.logged(file, LOGGED_NAMES[file].format(name))
            return [PaperCurve(self.bins(file, name), logged).scaled(100.0)]
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
        rows = tables("a")["figure_3b"].rows
        return {float(name.removeprefix("t=")): percent for name, (percent,) in rows.items()}

    def gradient_line(self, t: float) -> pd.DataFrame:
        """Fig. 8 at time t: step, ratio of gradient norms, percent; of a smoothed line read off an image."""
        frame = self._table(GRADIENT_LINES)
        frame = frame[frame["t"] == f"{t:g}"]
        step = frame["row"] / ROWS_PER_STEP["proteina-60m"]
        return pd.DataFrame({"step": step, "ratio": frame["ratio"], "percent": 100 * frame["fraction"]})

    def both(self, file: str, series: str, t: str = "") -> PaperCurve:
        """A curve as stored: fractions, L_mean uncorrected."""
        return PaperCurve(self.bins(file, series, t=t), self.logged(file, series, t=t))

    def bins(self, file: str, series: str, variant: str = "raw", t: str = "") -> Curve:
        """Medians of 20 bins per decade on the full evaluation grid, as stored (fractions, not percent)."""
        frame = self._table(BINNED)
        part = frame[
            (frame["file"] == file)
            & (frame["series"] == series)
            & (frame["variant"] == variant)
            & (frame["t"] == t)
        ]
        if part.empty:
            raise ResultsError(f"{BINNED}: no bins of {file}, series {series!r}.")
        return Curve(part["x"].to_numpy(float), part["y_median"].to_numpy(float))

    @cached_property
    def index(self) -> pd.DataFrame:
        """file, figure, panel, series, variant, t of every curve that has bins, in file order."""
        columns = ["file", "figure", "panel", "series", "variant", "t"]
        return self._table(BINNED)[columns].drop_duplicates().reset_index(drop=True)

    def logged(self, file: str, series: str, variant: str = "raw", t: str = "") -> Curve | None:
        """The logged evaluations as stored, thinned there to 2,000; None without their folder."""
        if self.folder is None:
            return None
        frame = self._table(self.folder / f"{file}.csv")
        part = frame[(frame["series"] == series) & (frame["variant"] == variant) & (frame["t"] == t)]
        if part.empty:
            raise ResultsError(
                f"{self.folder / file}.csv: no series {series!r}; is this the reference folder?"
            )
        return Curve(part["x"].to_numpy(float), part["y"].to_numpy(float))

    def _table(self, path: Path) -> pd.DataFrame:
        table = _read(path)
        self.read.add(path)
        return table


def unbiased_mean(L_mean: Curve, L_equiv: Curve, rotations: int = ROTATIONS) -> Curve:
    """L_mean as estimated from `rotations` rotations, less the share of L_equiv that it still holds."""
    corrected = L_mean.value - L_equiv.at(L_mean.step) / rotations
    return Curve(L_mean.step, np.maximum(corrected, np.finfo(float).tiny))


def _unbiased(mean: PaperCurve, equiv: PaperCurve, rotations: int = ROTATIONS) -> PaperCurve:
    both = mean.logged is not None and equiv.logged is not None
    return PaperCurve(
        unbiased_mean(mean.median, equiv.median, rotations),
        unbiased_mean(mean.logged, equiv.logged, rotations) if both else None,
    )


def open_paper_curves() -> PaperCurves:
    """The paper's curves, as logged too where their folder is; a folder that exists and is named must hold them."""
    named = os.environ.get("REFERENCE_DIR")
    folder = Path(named) if named else ROOT.parent / "shared" / "reference"
    if any(folder.glob("fig*.csv")):
        return PaperCurves(folder)
    if named and folder.is_dir():
        raise ResultsError(
            f"REFERENCE_DIR={named}: no fig*.csv there; name the folder with the paper's curves as logged."
        )
    return PaperCurves()


@lru_cache(maxsize=64)
def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise ResultsError(f"{path}: missing; the reference folder is incomplete.")
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    text = dict.fromkeys(("file", "figure", "panel", "series", "variant", "t"), str)
    return pd.read_csv(path, dtype=text, keep_default_na=False)


@lru_cache(maxsize=64)
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
