"""Beyond both papers: paper A's measure on paper B's methods. Does alpha -> 0 mean that the error goes to zero?"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from analysis.captions import SEEDS, Caption, floor_note, footer
from analysis.curves import Curve
from analysis.draw import style
from analysis.draw.error_panels import (
    FLOOR,
    KEPT_DASHES,
    SMALLEST,
    THRESHOLD,
    Column,
    Shown,
    Words,
    ends_panel,
    error_columns,
    line_handles,
    percent_axis,
)
from analysis.draw.methods import method_handles
from analysis.draw.panels import DASHED, Drawing, Drawn, figure_key
from analysis.quantities.relaxation import PRUNE_BELOW, largest_alpha
from analysis.reference.paper_curves import PaperCurves
from analysis.results import Results
from analysis.run_names import DATA, VN_METHODS, vn_run
from analysis.tasks import KEPT, OWN

WORDS = Words("cross-entropy", "nats", "zero logits")
MARKS = (("o", False), ("o", True))
"""Open for rotated, filled for aligned shapes."""


def draw(results: Results, paper: PaperCurves) -> Drawing:
    """Columns rotated, aligned: percent, losses, largest |alpha|. Right: percent against |alpha|, and the ends."""
    drawn = Drawn()
    figure = style.new_figure(style.PAGE, 4.9)
    grid = figure.add_gridspec(
        3, 5, left=0.098, right=0.985, top=0.945, bottom=0.15, wspace=0.0, hspace=0.12,
        width_ratios=(1.0, 0.1, 1.0, 0.38, 0.92), height_ratios=(1.5, 0.9, 0.9),
    )  # fmt: skip
    columns = {0: _column(results, "a", "rotated"), 2: _column(results, "b", "aligned")}
    rows = error_columns(figure, grid, columns, WORDS, drawn)

    right = grid[:, 4].subgridspec(2, 1, height_ratios=(1.5, 1.05), hspace=0.42)
    beside, ends = figure.add_subplot(right[0]), figure.add_subplot(right[1])
    _beside(beside, results, drawn)
    ends_panel(ends, {data: _methods(results, data) for data in DATA}, MARKS, drawn, "d")
    style.title(beside, "c", "RECM, every term kept")
    style.title(ends, "d", "after the last step")
    for axes in (rows[0][0], rows[1][0], rows[2][0]):
        axes.yaxis.set_label_coords(-0.245, 0.5)
    shown = [m for m in VN_METHODS if any(results.of(vn_run(data, m)) for data in DATA)]
    figure_key(figure, [*method_handles(shown), *line_handles(WORDS.zero)], footer(results))
    return Drawing(figure, drawn.table(), caption())


def _methods(results: Results, data: str) -> list[Shown]:
    """Every method as it is meant to be read out."""
    return [Shown(method, results.of(vn_run(data, method))) for method in VN_METHODS]


def _column(results: Results, letter: str, data: str) -> Column:
    """The method's own readout solid; with every term kept dashed."""
    both = [(own, Shown(own.method, own.runs, KEPT, KEPT_DASHES)) for own in _methods(results, data)]
    shown = [one for pair in both for one in pair]
    return Column(letter, f"{data} shapes", shown, results.first(vn_run(data, "recm")))


def _beside(axes: Axes, results: Results, drawn: Drawn) -> None:
    """The percent of RECM with every term kept against its largest |alpha| at the same step; first seed."""
    for data in DATA:
        run = results.first(vn_run(data, "recm"))
        series = KEPT if run.line("percent", KEPT) is not None else OWN
        percent, sizes = run.line("percent", series), largest_alpha(run)
        if percent is None or sizes is None:
            continue
        x = np.maximum(np.interp(percent.step, sizes.step, sizes.value), SMALLEST)
        y = np.maximum(percent.value, FLOOR)
        about = {"panel": "c", "source": "ours", "run": run.name, "seed": run.seed, "label": data}
        drawn.add(percent, series=series, quantity="percent", estimator="rotations", **about)
        drawn.add(Curve(percent.step, x), series="relaxation", quantity="largest_alpha", **about)
        fill = "white" if data == "rotated" else style.BLUE
        axes.plot(x, y, "-o", color=style.BLUE, lw=0.6, ms=2.2, mfc=fill, mew=0.5, zorder=4, label=data)
        axes.plot(x[-1:], y[-1:], "o", ms=5.5, mfc="none", mec=style.INK, mew=0.7, zorder=5)
    axes.set_xscale("log")
    axes.set_xlim(SMALLEST / 1.3, 1.6 * max(1.0, *(line.get_xdata().max() for line in axes.lines)))
    axes.axvline(PRUNE_BELOW, color=THRESHOLD, lw=0.5, ls=DASHED, zorder=1)
    percent_axis(axes.yaxis)
    axes.set_xlabel("largest |α|")
    axes.legend(loc="best")


def caption() -> Caption:
    text = (
        "Equivariance error in percent of the test cross-entropy for every method, on rotated (a) and aligned (b) "
        f"shapes. Below: L_mean (solid) and L_equiv (dashed) with the loss of {WORDS.zero} (dotted), and the "
        "largest |alpha| over layers. Solid percents: the method's own readout; dash-dotted: every term kept. c: "
        "percent against largest |alpha| for RECM, ringed at the end. d: last percents of every seed (open: "
        "rotated; filled: aligned)."
    )
    measured = (
        f"{SEEDS} The methods' own readouts: RECM pruned, ES projected, RPP kept. The equivariance error of a "
        "cross-entropy is the loss less that of the logits averaged over rotations (paper A, eq. 9). It has no "
        f"unbiased estimate from sampled rotations; ours is a little low. {floor_note(FLOOR)}"
    )
    return Caption.of(text, measured)
