"""Paper A, Figure 2: EScAIP's equivariance error over training, and what it depends on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes

from analysis.captions import (
    LINES,
    LOSSES,
    Caption,
    footer,
    network_size,
    optimiser,
    other_batch,
    paper_note,
    train_size,
)
from analysis.curves import Curve
from analysis.draw import style
from analysis.draw.panels import (
    LOSS_DASHES,
    Drawing,
    Drawn,
    Ours,
    Paper,
    draw_ours,
    draw_paper,
    end_labels,
    figure_key,
    key_handles,
    log_limits,
    loss_legend,
    paper_runs,
    percent_panel,
    run_legend,
    zero_level,
)
from analysis.quantities.landmarks import landmarks
from analysis.reference.paper_curves import PaperCurves
from analysis.results import Results, Run
from analysis.run_names import ESCAIP, ESCAIP_MODEL_SIZES, ESCAIP_OPTIMISERS, ESCAIP_TRAIN_SIZES

TALL = 12.0
"""Distance of the titles of the first row from their panels [pt]: room for the paper's steps over panel a."""
EARLY = 10.5
"""The paper's early window ends at 10.5 times the step of its dip (50,000 / 4,740)."""
PAPER_EARLY = 50_000
PAPER_NAMES = {
    ESCAIP: {"d": "950k", "e": "6M", "f": "1e-5"},
    "escaip-train-50k": {"d": "50k"},
    "escaip-train-5k": {"d": "5k"},
    "escaip-train-500": {"d": "500"},
    "escaip-param-4M": {"e": "4M"},
    "escaip-param-1M": {"e": "1M"},
    "escaip-lr-1e-4": {"f": "1e-4"},
    "escaip-lr-1e-3": {"f": "1e-3"},
    "escaip-sgd": {"f": "SGD"},
}


def draw(results: Results, paper: PaperCurves) -> Drawing:
    """Six panels: a early, b whole training, c losses, d training-set size, e network size, f optimiser."""
    drawn = Drawn()
    figure = style.new_figure(style.PAGE, 5.9)
    grid = figure.add_gridspec(
        2, 3, left=0.09, right=0.985, top=0.935, bottom=0.125, wspace=0.34, hspace=0.28
    )
    seeds = [
        Ours(run, f"seed {run.seed}", color)
        for run, color in zip(results.of(ESCAIP), style.CYCLE, strict=False)
    ]
    theirs_of = {name: paper_runs(paper, name) for name in PAPER_NAMES}
    replicates = theirs_of[ESCAIP]

    early, early_losses = percent_panel(figure, grid[0, 0], seeds, [], drawn, "a")
    _early(early, early_losses, seeds, replicates, drawn)
    style.title(early, "a", "early training, linear", pad=TALL)

    whole, whole_losses = percent_panel(figure, grid[0, 1], seeds, replicates, drawn, "b")
    style.title(whole, "b", "whole training", pad=TALL)
    run_legend(whole, seeds, loc="upper right")

    losses = figure.add_subplot(grid[0, 2])
    _losses(losses, results, replicates, drawn)
    style.title(losses, "c", "losses", pad=TALL)

    panels, named = [(whole, whole_losses)], []
    for place, letter, text, names, label in (
        (grid[1, 0], "d", "training-set size", ESCAIP_TRAIN_SIZES, _train_label(results)),
        (grid[1, 1], "e", "network size", ESCAIP_MODEL_SIZES, network_size),
        (grid[1, 2], "f", "optimiser and learning rate", ESCAIP_OPTIMISERS, optimiser),
    ):
        ours = [
            Ours(run, label(run), color)
            for name, color in zip((ESCAIP, *names), style.CYCLE, strict=False)
            if (run := results.first(name)) is not None
        ]
        theirs = [replace(theirs_of[name][0], label=PAPER_NAMES[name][letter]) for name in (ESCAIP, *names)]
        top, low = percent_panel(figure, place, ours, theirs, drawn, letter)
        style.title(top, letter, text)
        run_legend(top, ours, loc="upper right")
        panels.append((top, low))
        named.append((top, theirs))

    _common_scales(panels, losses, drawn)
    for top, theirs in named:
        end_labels(top, theirs)
    for axes in (early, early_losses, *panels[1]):
        axes.yaxis.set_label_coords(-0.21, 0.5)
    for top, low in (panels[0], *panels[2:]):
        top.set_ylabel("")
        low.set_ylabel("")
    handles = key_handles(seeds, losses=("L_total", "L_mean", "L_equiv"))
    figure_key(figure, handles, footer(results))
    return Drawing(figure, drawn.table(), _caption(paper))


def _early(top: Axes, low: Axes, seeds: list[Ours], replicates: list[Paper], drawn: Drawn) -> None:
    """Linear axes up to about ten times the step of the dip: ours below, the paper's steps above."""
    curves = [our.run.line("percent", our.run.plotted_series) for our in seeds]
    dips = [dip for curve in curves if (dip := landmarks(curve).dip_step)]
    last = max(float(curve.step[-1]) for curve in curves)
    end = min(last, EARLY * float(np.median(dips))) if dips else last
    inset = top.inset_axes((0.42, 0.36, 0.58, 0.56))
    for axes in (top, low, inset):
        style.linear_steps(axes)
        axes.set_xlim(0, end)
    for axes in (top, inset):
        style.linear_percent(axes)
    top.set_ylim(0, min(100.0, 1.08 * max(float(curve.value.max()) for curve in curves)))
    inset.set_ylim(0, 2.0)
    inset.tick_params(labelsize=5.0, labelbottom=False)
    inset.set_yticks([0, 1, 2])
    style.log_loss(low)
    for our in seeds:
        draw_ours(inset, our, "percent", Drawn(), "a", width=1.0)
    stretch = end / PAPER_EARLY
    for theirs in replicates:
        for axes, quantities, record in (
            (top, ["percent"], drawn),
            (inset, ["percent"], Drawn()),
            (low, ["L_mean", "L_equiv"], drawn),
        ):
            draw_paper(axes, theirs, quantities, record, "a", until=PAPER_EARLY, stretch=stretch)
    if replicates:
        above = top.secondary_xaxis("top", functions=(lambda x: x / stretch, lambda x: x * stretch))
        style.linear_steps(above)
        top.text(
            -0.03, 1.03, "paper's steps", transform=top.transAxes, color="#777777", fontsize=5.0, ha="right"
        )
        above.tick_params(labelsize=5.0, pad=1.0)
        style.grey(above, "top")


def _losses(axes: Axes, results: Results, theirs: list[Paper], drawn: Drawn) -> None:
    run = results.first(ESCAIP)
    colors = {"L_total": style.GREEN, "L_mean": style.BLUE, "L_equiv": style.VERMILION}
    if theirs:
        draw_paper(axes, theirs[0], colors, drawn, "c")
    for quantity, color in colors.items():
        our = Ours(run, f"seed {run.seed}", color)
        draw_ours(axes, our, quantity, drawn, "c", dashes=LOSS_DASHES[quantity], width=1.1)
    zero_level(axes, [our], drawn, "c")
    loss_legend(axes, colors, loc="lower left")
    axes.set_xlabel("training step")
    axes.set_ylabel("mean squared force error [normalised]")


def _train_label(results: Results) -> Callable[[Run], str]:
    return lambda run: train_size(run) + other_batch(run, results.first(ESCAIP))


def _common_scales(panels: list[tuple[Axes, Axes]], losses: Axes, drawn: Drawn) -> None:
    """One step axis, one percent axis and one loss axis for all logarithmic panels."""
    points = drawn.table()
    points = points[(points["panel"] != "a") & (points["step"] > 0) & (points["value"] > 0)]
    low, high = log_limits([Curve(points["step"].to_numpy(), points["value"].to_numpy())])
    percent = points.loc[points["quantity"] == "percent", "value"]
    loss = points.loc[points["quantity"] != "percent", "value"]
    for top, bottom in panels:
        for axes in (top, bottom):
            style.log_steps(axes)
            axes.set_xlim(low, high * 3.5)
        style.log_percent(top)
        top.set_ylim(percent.min() / 1.5, 400)  # room for the names above the curves
        style.log_loss(bottom)
        bottom.set_ylim(loss.min() / 1.5, loss.max() * 1.5)
    style.log_steps(losses)
    losses.set_xlim(low, high)
    style.log_loss(losses)
    losses.set_ylim(loss.min() / 1.5, loss.max() * 1.5)


def _caption(paper: PaperCurves) -> Caption:
    text = (
        "Equivariance error of EScAIP in percent of the validation loss. a: the start of training, linear axes (inset: "
        "small percents). b: all of training, every seed of the default run. c: losses of its first seed. d, e, f: "
        "its first seed beside other training-set sizes, network sizes and optimisers. Below the percents: "
        f"{LOSSES}. Grey: the paper; in a, its steps are on the upper axis."
    )
    about = "The step axis is the same; the paper trains longer. Losses are shown of the runs whose losses it shows."
    return Caption.of(text, LINES, paper_note(paper, about))
