"""Paper A, Figure 8: does the share of the loss follow the ratio of gradients? Proteína, by time of the path."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from analysis.captions import footer
from analysis.curves import Curve
from analysis.draw import style
from analysis.draw.panels import Drawing, Drawn, figure_key
from analysis.draw.proteina import label, size_sentence
from analysis.monitored import gradients_sentence
from analysis.reference.paper_curves import TIMES, PaperCurves
from analysis.reference.printed import numbers, tables
from analysis.results import Results, ResultsError, Run
from analysis.run_names import PROTEINA
from analysis.words import count
from models.training.series import EMA, RAW, Series

ACROSS = 4
RATIO = "gradient ratio"


def draw(results: Results, paper: PaperCurves | None) -> Drawing:
    """A panel per time, on common axes; points are measurements of the first seed that has them, coloured by step."""
    measured = (
        (run, {t: found for t in run.times if (found := points_at(run, t))}) for run in results.of(PROTEINA)
    )
    run, points = next((pair for pair in measured if pair[1]), (None, {}))
    if run is None:
        raise ResultsError(
            f"a_fig8: no run of {PROTEINA} measured gradients; set model.init_args.gradients and train again."
        )
    drawn = Drawn()
    rows = -(-len(points) // ACROSS)
    height = 0.95 + 1.75 * rows
    figure = style.new_figure(style.PAGE, height)
    grid = figure.add_gridspec(
        rows, min(ACROSS, len(points)), left=0.08, right=0.9, top=1 - 0.22 / height, bottom=0.72 / height,
        wspace=0.1, hspace=0.34,
    )  # fmt: skip
    norm = LogNorm(1, max(float(run.metrics["step"].max()), 2))
    first, shown = None, None
    for place, t, letter in zip(grid, points, "abcdefgh", strict=False):
        axes = first = figure.add_subplot(place, sharex=first, sharey=first)
        if paper is not None and t in TIMES:
            _papers(axes, paper, t, drawn, letter)
        shown = _ours(axes, run, t, points[t], norm, drawn, letter)
        found = correlations(points[t].ratio, points[t].percent)
        style.title(axes, letter, label(t))
        _numbers(axes, found, t)
        if place.is_first_col():
            axes.set_ylabel("equivariance error\n[% of validation loss]")
        else:
            axes.tick_params(labelleft=False)
        if place.rowspan.start == rows - 1:
            axes.set_xlabel(r"$|\nabla L_\mathrm{equiv}|\,/\,|\nabla L_\mathrm{mean}|$")
        else:
            axes.tick_params(labelbottom=False)
    first.set_xscale("log")
    first.xaxis.set_major_locator(LogLocator(numticks=8))
    first.xaxis.set_minor_formatter(NullFormatter())
    style.log_percent(first)
    first.set_ylim(top=3 * first.get_ylim()[1])  # room for the coefficients
    bar = figure.colorbar(shown, cax=figure.add_axes((0.915, 0.72 / height, 0.012, 1 - 0.94 / height)))
    bar.set_label("training step")
    bar.ax.yaxis.set_major_formatter(lambda x, _: count(x))
    handles = [Line2D([], [], marker="o", ms=2.5, color=colormaps["viridis"](0.5), lw=0.5, label="ours")]
    if paper is not None:
        handles.append(
            Line2D([], [], marker=".", ms=2, color=style.PAPER, ls="none", label="paper, smoothed")
        )
    figure_key(figure, handles, footer(results))
    return Drawing(figure, drawn.table(), _caption(results, paper, run, points))


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


def _ours(axes: Axes, run: Run, t: float, points: Points, norm: LogNorm, drawn: Drawn, letter: str):
    about = {"panel": letter, "source": "ours", "run": run.name, "seed": run.seed, "label": label(t)}
    for quantity, values in ((RATIO, points.ratio), ("percent", points.percent)):
        curve = Curve(points.step, values)
        drawn.add(curve, series=points.series, quantity=quantity, estimator="rotations", **about)
    axes.plot(points.ratio, points.percent, color=style.INK, lw=0.35, alpha=0.5, zorder=3)
    colors = np.maximum(points.step, 1)
    return axes.scatter(
        points.ratio, points.percent, c=colors, cmap="viridis", norm=norm, s=6, lw=0, zorder=4
    )


def _papers(axes: Axes, paper: PaperCurves, t: float, drawn: Drawn, letter: str) -> None:
    line = paper.gradient_line(t)
    about = {
        "panel": letter,
        "source": "paper",
        "run": PROTEINA,
        "label": label(t),
        "series": "paper, smoothed",
    }
    for quantity, column in ((RATIO, "ratio"), ("percent", "percent")):
        curve = Curve(line["step"].to_numpy(), line[column].to_numpy())
        drawn.add(curve, quantity=quantity, estimator="rotations", **about)
    axes.plot(line["ratio"], line["percent"], ".", ms=0.8, color=style.PAPER, zorder=2)


def _numbers(axes: Axes, ours: tuple[float, float], t: float) -> None:
    printed = tables("a")["gradient_ratio_correlation"]
    lines = [("r = {:.2f}, ρ = {:.2f}".format(*ours), style.INK)]
    if f"t={t:g}" in printed.rows:
        theirs = [printed.cell(f"t={t:g}", column) for column in ("pearson", "spearman")]
        lines.append(("paper {:.2f}, {:.2f}".format(*theirs), "#777777"))
    for i, (text, color) in enumerate(lines):
        axes.text(0.04, 0.97 - 0.085 * i, text, transform=axes.transAxes, fontsize=5.3, color=color, va="top")


def _caption(results: Results, paper: PaperCurves | None, run: Run, points: dict[float, Points]) -> list[str]:
    own = (
        "Percent of Proteína's validation loss that is equivariance error against the ratio of the norms of the "
        "gradients of L_equiv and L_mean over all weights, at fixed times t; a point per measurement, in the order of "
        "training. As in the paper the gradients are those of plain sums over sampled rotations, the percent is "
        "corrected (Prop. 8). r: Pearson's, ρ: Spearman's coefficient, both of the logarithms over the points "
        f"shown, {min(len(each.step) for each in points.values())} or more per panel; seed {run.seed}."
    )
    measured = gradients_sentence(run, numbers("a")["proteina.monitor_rotations"].value)
    theirs = (
        "Grey: the paper's smoothed line, read off an image; its coefficients are over the thousands of measurements "
        "of a replicate that its other figures do not show."
        if paper is not None
        else "The paper's lines are absent: no reference data were found (REFERENCE_DIR); its coefficients are printed."
    )
    return [*filter(None, [own, measured, theirs, size_sentence(results.tier, run)])]
