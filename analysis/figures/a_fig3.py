"""Paper A, Figure 3: Proteína's equivariance error over training, by time of the path, network and training set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec

from analysis.captions import LOSSES, Caption, footer
from analysis.curves import Curve
from analysis.draw import style
from analysis.draw.panels import (
    COLUMNS,
    LOSS_DASHES,
    Drawing,
    Drawn,
    draw_ours,
    draw_paper,
    end_labels,
    figure_key,
    key_handles,
    log_limits,
    percent_panel,
)
from analysis.draw.proteina import VELOCITY, color, label, ours_by_time, paper_by_time, time_legend
from analysis.notes import TIMES_NOTE, timed_paper_note
from analysis.reference.paper_curves import PaperCurves
from analysis.results import Results
from analysis.run_names import PROTEINA, PROTEINA_LARGE, PROTEINA_TRAIN_SIZES

OTHERS = dict(zip("efg", (PROTEINA_LARGE, *PROTEINA_TRAIN_SIZES), strict=True))
SMALL = OTHERS["g"]
ALL = (PROTEINA, *OTHERS.values())
UNIT = r"nm$^2$"
NAMES = {"e": "larger network", "f": "1% of the chains", "g": "0.1% of the chains"}


def draw(results: Results, paper: PaperCurves) -> Drawing:
    """a percent by t, b its end, c L_mean, d L_equiv; e larger network, f, g fewer chains, h loss on the fewest."""
    drawn = Drawn()
    figure = style.new_figure(style.PAGE, 7.6)
    grid = figure.add_gridspec(
        3,
        3,
        left=0.1,
        right=0.975,
        top=0.965,
        bottom=0.085,
        wspace=0.36,
        hspace=0.3,
        height_ratios=(2.4, 1.6, 2.2),
    )
    run = results.first(PROTEINA)
    pairs = [_percents(figure, grid[0, :2], results, paper, drawn, "a", PROTEINA)]
    style.title(pairs[0][0], "a", f"percent by time of the path ({run.label})")
    time_legend(pairs[0][0], run.times, loc="lower left", ncols=2)
    ends = figure.add_subplot(grid[0, 2])
    _ends(ends, results, paper, drawn)
    style.title(ends, "b", "after the last step")
    losses = [
        _loss(figure, grid[1, i], results, paper, drawn, letter, name, quantity)
        for i, (letter, name, quantity) in enumerate(
            (("c", PROTEINA, "L_mean"), ("d", PROTEINA, "L_equiv"), ("h", SMALL, "L_total"))
        )
    ]
    for i, (letter, name) in enumerate(OTHERS.items()):
        pairs.append(_percents(figure, grid[2, i], results, paper, drawn, letter, name))
    _scales(pairs, losses, drawn)
    for (top, low), name in zip(pairs, ALL, strict=True):
        end_labels(top, [p for p in paper_by_time(paper, name) if "percent" in p.curves])
        for axes in (top, low):
            axes.yaxis.set_label_coords(-0.078 if name == PROTEINA else -0.2, 0.5)
        if name not in (PROTEINA, OTHERS["e"]):
            top.set_ylabel("")
            low.set_ylabel("")
    handles = key_handles(ours_by_time(run))
    for handle in handles:
        if handle.get_label() == "paper":
            handle.set_label("paper, rows of its log as steps")
    figure_key(figure, handles, footer(results))
    return Drawing(figure, drawn.table(), _caption())


def _percents(
    figure: Figure,
    place: SubplotSpec,
    results: Results,
    paper: PaperCurves,
    drawn: Drawn,
    letter: str,
    name: str,
) -> tuple[Axes, Axes]:
    """Percent by t, first seed; below it the losses of the velocity, of which one zero predictor serves every t."""
    run = results.first(name)
    ours = ours_by_time(run, velocity=True)
    theirs = paper_by_time(paper, name, velocity=True)
    top, low = percent_panel(figure, place, ours, theirs, drawn, letter, shadow=False)
    low.set_ylabel(f"loss\n[{VELOCITY}]")
    if letter in NAMES:
        style.title(top, letter, NAMES[letter] + (f" ({run.label})" if run else ""))
        if run is None:
            _not_here(top)
    return top, low


def _loss(
    figure: Figure,
    place: SubplotSpec,
    results: Results,
    paper: PaperCurves,
    drawn: Drawn,
    letter: str,
    name: str,
    quantity: str,
) -> Axes:
    """One loss of the clean points by t, first seed, as the paper shows it."""
    axes, run = figure.add_subplot(place), results.first(name)
    for theirs in paper_by_time(paper, name):
        draw_paper(axes, theirs, [quantity], drawn, letter)
    for our in ours_by_time(run):
        draw_ours(axes, our, quantity, drawn, letter, dashes=LOSS_DASHES[quantity], width=1.1)
    axes.set_xlabel("training step")
    written = {"L_mean": r"$L_\mathrm{mean}$", "L_equiv": r"$L_\mathrm{equiv}$", "L_total": "$L$"}[quantity]
    axes.set_ylabel(f"{written} [{UNIT}]")
    axes.yaxis.set_label_coords(-0.2, 0.5)
    style.title(axes, letter, written + (f" with {NAMES['g']}" if name == SMALL else " of a"))
    if run is None:
        _not_here(axes)
    return axes


def _ends(axes: Axes, results: Results, paper: PaperCurves, drawn: Drawn) -> None:
    """Bars: the last percent by t, median over seeds; dots: seeds; grey: the paper's."""
    runs = results.of(PROTEINA)
    theirs = paper.last_bars()
    times = sorted({*runs[0].times, *theirs})
    frames = []
    for i, t in enumerate(times):
        lines = [run.at(t).line("percent", run.at(t).plotted_series) for run in runs if t in run.times]
        ends = [(float(line.step[-1]), float(line.value[-1])) for line in lines]
        if t in theirs:
            axes.bar(i + 0.2, theirs[t], 0.36, fc=style.SHADOW, ec=style.PAPER, lw=style.FAINT, zorder=2)
            frames.append((PROTEINA, "paper", None, label(t), np.nan, theirs[t]))
        if ends:
            values = [value for _, value in ends]
            axes.bar(i - 0.2, float(np.median(values)), 0.36, color=color(t), alpha=0.85, zorder=3)
            axes.plot(
                [i - 0.2] * len(values), values, "o", ms=1.6, mfc="white", mec=style.INK, mew=0.4, zorder=4
            )
            rows = zip(runs, ends, strict=False)
            frames += [(PROTEINA, "ours", run.seed, label(t), step, value) for run, (step, value) in rows]
    for name, source, seed, text, step, value in frames:
        about = {
            "panel": "b",
            "source": source,
            "run": name,
            "seed": seed,
            "label": text,
            "quantity": "percent",
        }
        series = "paper" if source == "paper" else runs[0].at(runs[0].times[0]).plotted_series
        point = pd.DataFrame({"step": [step], "value": [value]}).assign(
            series=str(series), estimator="rotations", **about
        )
        drawn.frames.append(point.reindex(columns=COLUMNS))
    style.log_percent(axes)
    axes.set_xticks(range(len(times)), [f"{t:g}" for t in times])
    axes.tick_params(axis="x", length=0)
    axes.set_xlabel("time t of the path (0: noise, 1: chains)")
    axes.set_ylabel("equivariance error [% of validation loss]")


def _scales(pairs: Sequence[tuple[Axes, Axes]], losses: Sequence[Axes], drawn: Drawn) -> None:
    """One step axis for all, one percent axis and one axis of velocity losses; losses of points have their own."""
    points = drawn.table()
    points = points[(points["step"] > 0) & (points["value"] > 0) & (points["panel"] != "b")]
    limits = log_limits([Curve(points["step"].to_numpy(), points["value"].to_numpy())])
    in_pairs = points[points["panel"].isin(["a", *OTHERS])]
    percent = in_pairs.loc[in_pairs["quantity"] == "percent", "value"]
    loss = in_pairs.loc[in_pairs["quantity"] != "percent", "value"]
    for top, low in pairs:
        for axes in (top, low):
            style.log_steps(axes)
            axes.set_xlim(limits[0], limits[1] * 2)
        style.log_percent(top)
        top.set_ylim(percent.min() / 1.5, max(60.0, 1.5 * percent.max()))
        style.log_loss(low)
        low.set_ylim(loss.min() / 1.5, loss.max() * 1.5)
    for axes in losses:
        style.log_steps(axes)
        axes.set_xlim(limits)
        style.log_loss(axes)


def _not_here(axes: Axes) -> None:
    axes.text(0.5, 0.5, "not part of this tier", transform=axes.transAxes, ha="center", color="#777777")


def _caption() -> Caption:
    text = (
        "Equivariance error of Proteína in percent of the validation loss, at fixed times t of the path from noise "
        "(0) to chains (1). a: over training, first seed. b: after the last step (bars: median over seeds; dots: "
        "seeds). c, d: losses of a. e: the larger network. f, g: fewer training chains. h: the whole loss of g. "
        f"Below the percents: {LOSSES}. Grey: the paper."
    )
    clean = "The losses in c, d and h are those of the predicted clean points."
    return Caption.of(text, f"{TIMES_NOTE} {clean}", timed_paper_note(ALL))
