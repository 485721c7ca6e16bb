"""VoxMol's runs in panels: by training set and by network, with all rotations of the grid and both zero predictors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes

from analysis.curves import Curve, thinned
from analysis.draw import style
from analysis.draw.panels import DOTTED, Drawn, Ours
from analysis.quantities.landmarks import passes_zero
from analysis.reference.paper_curves import DENSITY_CURVES, DENSITY_ZERO
from analysis.results import Results, Run
from analysis.run_names import VOXMOL_NETWORKS, VOXMOL_TRAIN_SIZES
from analysis.words import count
from models.training.series import ZERO

UNIT = "squared error per voxel and channel"


def largest(results: Results) -> Run | None:
    """The first seed of the largest network that was trained on the whole training set."""
    return next(filter(None, map(results.first, VOXMOL_NETWORKS)), None)


def fraction(run: Run) -> str:
    """Share of the training conformers, and how many these are: 1%, 11k conformers."""
    settings = run.config.get("data", {}).get("init_args", {})
    share, number = settings.get("train_fraction", 1.0), run.data.get("train_conformers")
    return f"{100 * share:g}%" + (f" ({count(number)})" if number else "")


def papers_name(name: str) -> str:
    """What the paper's curves of a run are called at their ends, among training sets."""
    return "100%" if name == VOXMOL_TRAIN_SIZES[0] else DENSITY_CURVES[name][2]


def all_rotations(axes: Axes, our: Ours, drawn: Drawn, panel: str, at_most: int = 24) -> None:
    """Circles: percents of the drawn weights under all 24 rotations, where they were measured."""
    series = our.run.plotted_series
    curve = our.run.curve("percent", replace(series, group="octahedral"))
    if curve is None:
        return
    about = {"source": "ours", "run": our.run.name, "seed": our.run.seed, "label": our.label}
    points = drawn.add(
        thinned(curve, at_most),
        panel=panel,
        series=series,
        quantity="percent",
        estimator="all 24 rotations",
        **about,
    )
    axes.plot(
        points.step, points.value, "o", ms=1.7, mfc="white", mec=our.color, mew=0.45, ls="none", zorder=6
    )  # fmt: skip


def crossing(axes: Axes, our: Ours, drawn: Drawn, panel: str) -> None:
    """A diamond on the percent of the drawn weights at the step at which their L_mean passes the zero predictor."""
    series = our.run.plotted_series
    percent, step = our.run.line("percent", series), passes_zero(our.run)
    if percent is None or step is None:
        return
    about = {"source": "ours", "run": our.run.name, "seed": our.run.seed, "label": our.label}
    point = Curve(np.array([step]), np.array([percent.at(step)]))
    point = drawn.add(
        point, panel=panel, series=series, quantity="percent", estimator="where L_mean passes zero's", **about
    )
    axes.plot(
        point.step, point.value, "D", ms=3.2, mfc=our.color, mec="white", mew=0.5, ls="none", zorder=7
    )  # fmt: skip


def paper_zero(axes: Axes, drawn: Drawn, panel: str, last: float) -> None:
    """The zero predictor's loss on the paper's grid, in the paper's grey, up to step `last` in the record."""
    about = {"source": "paper", "series": ZERO, "label": "constant-zero predictor", "quantity": "L_total"}
    curve = Curve(np.array([0.0, last]), np.full(2, DENSITY_ZERO))
    drawn.add(curve, panel=panel, estimator="exact", **about)
    axes.axhline(DENSITY_ZERO, color=style.PAPER, lw=0.7, ls=DOTTED, zorder=1.5)
