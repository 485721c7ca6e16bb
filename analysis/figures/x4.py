"""Beyond both papers: which symmetry of motion a relaxed network gives up, and which of its layers does (claim X2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec

from analysis.captions import SINGLE_LAYERS, Caption, floor_note, footer
from analysis.draw import style
from analysis.draw.error_panels import FLOOR, Shown, ends_panel, mark_handles
from analysis.draw.panels import Drawing, Drawn, figure_key
from analysis.draw.place_bars import SYMBOLS, change_label, common_limits, mean_full, place_bars
from analysis.quantities.attribution import change_frame, is_attributed
from analysis.quantities.relaxation import everything_pruned, places
from analysis.reference.paper_curves import PaperCurves
from analysis.results import Results, Run
from analysis.tasks import MOTIONS, VERTICAL, Task, given
from models.training.series import Series

GROUPS = {"all rotations": "", "rotations about the vertical": VERTICAL}
MARKS = (("o", True), ("o", False))
COLUMNS = (
    ("all rotations", "", "L_equiv"),
    ("vertical", VERTICAL, "L_equiv"),
    ("vertical", VERTICAL, "L_total"),
)
"""What a bar's rotations are called, their group, its quantity."""
SMALLEST = 1e-4
"""Every scale of bars reaches this far [squared units]."""
STRIP, LINE, AROUND = 1.75, 0.088, 0.72
"""Heights: of the panels of percents, of a bar, of titles and labels around bars [inch]."""


def draw(results: Results, paper: PaperCurves) -> Drawing:
    """Top: percent by method under both groups. Below, a row per motion, a bar per layer: L_equiv of either group
    gone without its terms, and the loss gained."""
    tasks = given(results, MOTIONS)
    drawn = Drawn()
    relaxed = [task for task in tasks if results.of(task.readings["recm"].run)]
    heights = [STRIP] + [LINE * max(len(_names(results, task)), 8) + AROUND for task in relaxed]
    height = sum(heights) + 0.35
    figure = style.new_figure(style.PAGE, height)
    grid = figure.add_gridspec(
        len(heights), 1, left=0.0, right=1.0, top=1.0, bottom=0.35 / height, height_ratios=heights, hspace=0.0
    )
    letters = iter("abcdefgh")
    _strip(figure, grid[0], results, tasks, letters, drawn)
    for cell, task, tall in zip(list(grid)[1:], relaxed, heights[1:], strict=True):
        _attribution(figure, cell, results, task, tall, letters, drawn)
    figure_key(figure, mark_handles(list(GROUPS), MARKS), footer(results))
    return Drawing(figure, drawn.table(), caption())


def _names(results: Results, task: Task) -> list[str]:
    """Places of the network, from those runs of RECM that say."""
    return next(filter(None, map(places, results.of(task.readings["recm"].run))), [])


def _strip(
    figure: Figure, cell: SubplotSpec, results: Results, tasks: Sequence[Task], letters, drawn: Drawn
) -> None:
    """Percents after the last step, every seed, a panel per motion."""
    inner = cell.subgridspec(
        3,
        4,
        height_ratios=(0.25, STRIP - 0.6, 0.35),
        width_ratios=(0.62, 2.9, 2.9, 0.12),
        wspace=0.12,
        hspace=0.0,
    )
    for column, task in enumerate(tasks, start=1):
        axes, letter = figure.add_subplot(inner[1, column]), next(letters)
        groups = {
            name: [
                Shown(method, results.of(at.run), replace(at.series, group=group))
                for method, at in task.readings.items()
            ]
            for name, group in GROUPS.items()
        }
        ends_panel(axes, groups, MARKS, drawn, letter)
        axes.tick_params(labelleft=column == 1)
        if column == 1:
            axes.set_ylabel("equivariance error\n[% of MSE]")
        style.title(axes, letter, f"{task.title}: after the last step")


def _attribution(
    figure: Figure, cell: SubplotSpec, results: Results, task: Task, tall: float, letters, drawn: Drawn
) -> None:
    """The bars of one motion, or why there are none."""
    inner = cell.subgridspec(
        3, 5, height_ratios=(0.28, tall - AROUND, AROUND - 0.28), width_ratios=(1.0, 1.9, 1.9, 1.9, 0.12), wspace=0.14,
        hspace=0.0,
    )  # fmt: skip
    runs = results.of(task.readings["recm"].run)
    measured = [run for run in runs if is_attributed(run) or (_reads(run) and everything_pruned(run))]
    names = _names(results, task)
    panels, changes = [], []
    for column, (rotations, group, quantity) in enumerate(COLUMNS, start=1):
        axes, letter = figure.add_subplot(inner[1, column]), next(letters)
        title = f"{task.name}: {SYMBOLS[quantity]}"
        if any(map(is_attributed, measured)):
            frame = change_frame(measured, names, quantity, group)
            place_bars(axes, frame, names, drawn, letter, group)
            changes.append(frame["change"])
            panels.append(axes)
            title += f" = {mean_full(frame)}"
            axes.tick_params(labelleft=column == 1)
            change_label(axes, quantity, "units²")
        else:
            _nothing(axes, runs)
        style.title(axes, letter, f"{title}, {rotations}")
    if panels:
        common_limits(panels[:2], pd.concat(changes[:2]), SMALLEST)
        common_limits(panels[2:], changes[2], SMALLEST)


def _reads(run: Run) -> bool:
    """Whether the monitor measured both groups."""
    return all(run.line("L_equiv", Series(group=group)) is not None for group in GROUPS.values())


def _nothing(axes: Axes, runs: Sequence[Run]) -> None:
    """Says why no place was taken out."""
    pruned = all(map(everything_pruned, runs))
    text = "every term was pruned:\nnothing is left to take out" if pruned else "not measured"
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=6.0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("#c8c8c8")


def caption() -> Caption:
    text = (
        "Top: equivariance error of EGNO in percent of the mean squared error on turned inputs after training, "
        "every seed: under all rotations (filled) and under those about the vertical alone (open). Below, for "
        "RECM, pruned: by how much L_equiv falls when one layer's terms are taken out, under all rotations (left) "
        "and about the vertical (middle), and by how much the error itself rises (right). Bars: mean over seeds; "
        "dots: seeds."
    )
    measured = (
        "Losses are in squared units of the data. The titles give the values with all terms, mean over seeds. "
        f"Layers from the input (top) to the output. {SINGLE_LAYERS}"
    )
    estimates = "Estimates are unbiased, from sampled rotations and the samples that the monitor takes."
    return Caption.of(text, measured, f"{estimates} {floor_note(FLOOR)}")
