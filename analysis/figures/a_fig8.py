"""Paper A, Figure 8: does the share of the loss follow the ratio of gradients? Proteína, by time of the path."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from analysis.captions import Caption, footer
from analysis.curves import Curve
from analysis.draw import style
from analysis.draw.panels import Drawing, Drawn, figure_key
from analysis.draw.proteina import label
from analysis.notes import gradients_note
from analysis.quantities.gradients import Points, correlations, points_at
from analysis.reference.paper_curves import TIMES, PaperCurves
from analysis.reference.printed import numbers, tables
from analysis.results import Results, ResultsError, Run
from analysis.run_names import PROTEINA
from analysis.words import count

ACROSS = 4
RATIO = "gradient ratio"


def draw(results: Results, paper: PaperCurves) -> Drawing:
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
        if t in TIMES:
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
    handles.append(Line2D([], [], marker=".", ms=2, color=style.PAPER, ls="none", label="paper, smoothed"))
    figure_key(figure, handles, footer(results))
    return Drawing(figure, drawn.table(), _caption(run, points))


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


def _caption(run: Run, points: dict[float, Points]) -> Caption:
    fewest = min(len(each.step) for each in points.values())
    text = (
        "Percent of Proteína's validation loss that is equivariance error, against the ratio of the gradient norms "
        "of L_equiv and L_mean over all weights. A panel per time t of the path; a point per measurement of seed "
        f"{run.seed}, coloured by training step. r and ρ: Pearson's and Spearman's coefficients of the logarithms. "
        "Grey: the paper."
    )
    theirs = (
        "Grey: the paper's smoothed line, read off an image. Its coefficients are over the measurements of a replicate "
        "that its other figures do not show."
    )
    measured = gradients_note(run, numbers("a")["proteina.monitor_rotations"].value)
    return Caption.of(text, f"A panel has {fewest} points or more.", measured, theirs)
