"""Beyond both papers: paper A's measure on paper B's methods. Does alpha -> 0 mean that the error goes to zero?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis import style
from analysis.captions import absent_sentence, footer, provenance_line
from analysis.curves import Curve
from analysis.methods import COLORS, WIDTHS, draw_seeds, method_handles
from analysis.panels import (
    DASHED,
    DOTTED,
    LOSS_DASHES,
    LOSS_NAMES,
    SOLID,
    Drawing,
    Drawn,
    figure_key,
    log_limits,
)
from analysis.reference.paper_curves import PaperCurves
from analysis.relaxed import DATA, METHODS, PRUNE_BELOW, largest_alpha, vn_run, vn_runs
from analysis.results import Results, Run

TITLE = "Percent of the loss that is equivariance error under relaxation"
RUNS = vn_runs(*METHODS)
REQUIRED = vn_runs("recm")

FLOOR = 1e-4
"""Percents below are rounding of an exactly equivariant network and are drawn here [%]."""
SMALLEST = 1e-3
"""Smallest |alpha| drawn."""
OWN, KEPT = "raw", "kept"
KEPT_DASHES = (0, (4, 1, 1, 1))


def draw(results: Results, paper: PaperCurves | None) -> Drawing:
    """Columns rotated, aligned: percent, losses, largest |alpha|. Right: percent against |alpha|, and the ends."""
    drawn = Drawn()
    figure = style.new_figure(style.PAGE, 4.9)
    grid = figure.add_gridspec(
        3, 5, left=0.098, right=0.985, top=0.945, bottom=0.15, wspace=0.0, hspace=0.12,
        width_ratios=(1.0, 0.1, 1.0, 0.38, 0.92), height_ratios=(1.5, 0.9, 0.9),
    )  # fmt: skip
    rows: list[list[Axes]] = [[], [], []]
    for column, letter, data in ((0, "a", "rotated"), (2, "b", "aligned")):
        for row, (panels, fill) in enumerate(zip(rows, (_percent, _losses, _alphas), strict=True)):
            axes = figure.add_subplot(grid[row, column], sharey=panels[0] if panels else None)
            style.log_steps(axes)
            fill(axes, results, data, drawn, letter)
            axes.tick_params(labelbottom=row == 2, labelleft=column == 0)
            if column:
                axes.set_ylabel("")
            panels.append(axes)
        style.title(rows[0][-1], letter, f"{data} shapes")
        rows[2][-1].set_xlabel("training step")
    _scales(rows, drawn)

    right = grid[:, 4].subgridspec(2, 1, height_ratios=(1.5, 1.05), hspace=0.42)
    beside, ends = figure.add_subplot(right[0]), figure.add_subplot(right[1])
    _beside(beside, results, drawn)
    _ends(ends, results, drawn)
    style.title(beside, "c", "RECM, every term kept")
    style.title(ends, "d", "after the last step")
    for axes in (rows[0][0], rows[1][0], rows[2][0]):
        axes.yaxis.set_label_coords(-0.245, 0.5)
    shown = [m for m in METHODS if any(results.of(vn_run(data, m)) for data in DATA)]
    figure_key(figure, [*method_handles(shown), *_handles()], footer(results))
    return Drawing(figure, drawn.table(), caption(results))


def _of(quantity: str, series: str) -> Callable[[Run], Curve | None]:
    return lambda run: run.line(quantity, series)


def _percent(axes: Axes, results: Results, data: str, drawn: Drawn, panel: str) -> None:
    """The method's own readout solid; with every term kept dashed."""
    for order, method in enumerate(METHODS):
        runs = results.of(vn_run(data, method))
        for series, dashes, width in ((OWN, SOLID, style.THICK), (KEPT, KEPT_DASHES, 0.9)):
            draw_seeds(
                axes, runs, _of("percent", series), COLORS[method], drawn, floor=FLOOR, dashes=dashes,
                width=width * WIDTHS[method], order=4 + order, panel=panel, series=series, quantity="percent",
                estimator="rotations",
            )  # fmt: skip
    axes.set_ylabel("equivariance error\n[% of cross-entropy]")


def _losses(axes: Axes, results: Results, data: str, drawn: Drawn, panel: str) -> None:
    """L_mean and L_equiv of the method's own readout, and the loss of zero logits."""
    for order, method in enumerate(METHODS):
        runs = results.of(vn_run(data, method))
        for quantity in ("L_mean", "L_equiv"):
            draw_seeds(
                axes, runs, _of(quantity, OWN), COLORS[method], drawn, floor=FLOOR / 100, width=0.9 * WIDTHS[method],
                dashes=LOSS_DASHES[quantity], order=4 + order, panel=panel, series=OWN, quantity=quantity,
                estimator="rotations",
            )  # fmt: skip
    run = results.first(vn_run(data, "recm"))
    if run.zero_loss:
        last = run.metrics["step"].max()
        zero = drawn.add(
            Curve(np.array([0.0, last]), np.full(2, run.zero_loss)), panel=panel, source="ours", run=run.name,
            seed=run.seed, label="zero logits", series="zero", quantity="L_total", estimator="exact",
        )  # fmt: skip
        axes.axhline(zero.value[0], color=style.INK, lw=0.7, ls=DOTTED, zorder=3)
    axes.set_ylabel("loss\n[nats]")


def _alphas(axes: Axes, results: Results, data: str, drawn: Drawn, panel: str) -> None:
    """Largest |alpha| of W and b over all places, of every method that has one."""
    for order, method in enumerate(METHODS):
        runs = results.of(vn_run(data, method))
        draw_seeds(
            axes, runs, largest_alpha, COLORS[method], drawn, floor=SMALLEST, order=4 + order,
            width=style.THICK * WIDTHS[method], panel=panel, series="relaxation", quantity="largest_alpha",
        )  # fmt: skip
    axes.axhline(PRUNE_BELOW, color="#b0b0b0", lw=0.5, ls=DASHED, zorder=1)
    axes.set_ylabel("largest |α|")


def _scales(rows: list[list[Axes]], drawn: Drawn) -> None:
    points = drawn.table()
    steps = points["step"].to_numpy(float)
    for panels in rows:
        for axes in panels:
            axes.set_xlim(log_limits([Curve(steps, steps)]))
    for axes in rows[0]:
        _percent_axis(axes.yaxis)
    losses = points[points["quantity"].isin(("L_mean", "L_equiv", "L_total"))]["value"]
    for axes in rows[1]:
        style.log_loss(axes)
        axes.set_ylim(FLOOR / 130, 2.0 * losses.max())
    for axes in rows[2]:
        axes.set_yscale("log")
        axes.set_ylim(
            SMALLEST / 1.3, max(2.0, 1.5 * points[points["quantity"] == "largest_alpha"]["value"].max())
        )


def _percent_axis(axis) -> None:
    axes = axis.axes
    style.log_percent(axes)
    axes.set_ylim(FLOOR / 1.5, 160)
    label = axis.get_major_formatter()
    axis.set_major_formatter(lambda value, at: ("≤ " if np.isclose(value, FLOOR) else "") + label(value, at))


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
    axes.set_xlim(SMALLEST / 1.3, 2.0)
    axes.axvline(PRUNE_BELOW, color="#b0b0b0", lw=0.5, ls=DASHED, zorder=1)
    _percent_axis(axes.yaxis)
    axes.set_xlabel("largest |α|")
    axes.legend(loc="best")


def _ends(axes: Axes, results: Results, drawn: Drawn) -> None:
    """Percent of every seed's own readout after the last step: open on rotated, filled on aligned shapes."""
    shown = [m for m in METHODS if any(results.of(vn_run(data, m)) for data in DATA)]
    for column, method in enumerate(shown):
        for data, offset in zip(DATA, (-0.15, 0.15), strict=True):
            for run in results.of(vn_run(data, method)):
                if (percent := run.line("percent", OWN)) is None:
                    continue
                end = drawn.add(
                    Curve(percent.step[-1:], percent.value[-1:]), panel="d", source="ours", run=run.name,
                    seed=run.seed, label=data, series=OWN, quantity="percent", estimator="rotations",
                )  # fmt: skip
                color = COLORS[method]
                axes.plot(
                    column + offset, max(float(end.value[0]), FLOOR), "o", ms=3.2, mec=color, mew=0.7,
                    mfc="white" if data == "rotated" else color, zorder=4,
                )  # fmt: skip
    axes.set_xticks(range(len(shown)), [METHODS[method] for method in shown])
    axes.set_xlim(-0.5, len(shown) - 0.5)
    _percent_axis(axes.yaxis)


def _handles() -> list[Line2D]:
    ink = style.INK
    return [
        Line2D([], [], color=ink, lw=0.9, ls=KEPT_DASHES, label="every term kept"),
        *(
            Line2D([], [], color=ink, lw=0.9, ls=LOSS_DASHES[q], label=LOSS_NAMES[q])
            for q in ("L_mean", "L_equiv")
        ),
        Line2D([], [], color=ink, lw=0.7, ls=DOTTED, label="zero logits"),
        Line2D([], [], color="#b0b0b0", lw=0.7, ls=DASHED, label="pruning threshold"),
    ]


def caption(results: Results) -> list[str]:
    return [
        "Equivariance error in percent of the test cross-entropy (paper A, eq. 9: the loss less that of the "
        "logits averaged over rotations) for every method, on rotated (a) and aligned (b) shapes; below it the "
        "losses it is a share of, with that of a network that answers zero logits (dotted), and the largest "
        "|alpha| over all layers, W and b. Solid: as the method is read out (RECM pruned, ES projected, RPP "
        "kept); dash-dotted in the upper panels: with every term kept. c: the two upper and lower curves of RECM "
        "against each other, every term kept, first seed, ringed at the end (open rotated, filled aligned). "
        "d: the last percents, every seed (open rotated, filled aligned).",
        "Thick: median over seeds, thin: seeds. Estimates are from sampled rotations and, as eq. 9 has no "
        f"unbiased estimate, a little low. Percents below {FLOOR:g} are rounding of an equivariant network and "
        "drawn there. Step 0 is not on logarithmic axes. Neither paper has this figure.",
        " ".join([provenance_line(results), absent_sentence(results, list(RUNS))]).strip(),
    ]
