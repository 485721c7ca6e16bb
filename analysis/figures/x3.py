"""Beyond both papers: the share of the error that is equivariance error, on the tasks of paper B's Table 2."""

from __future__ import annotations

from itertools import cycle

from analysis import catalogue
from analysis.captions import SEEDS, Caption, floor_note, footer
from analysis.draw import style
from analysis.draw.error_panels import (
    FLOOR,
    KEPT_DASHES,
    Column,
    Shown,
    Words,
    ends_panel,
    error_columns,
    line_handles,
    mark_handles,
)
from analysis.draw.methods import method_handles, network_handles
from analysis.draw.panels import Drawing, Drawn, figure_key
from analysis.reference.paper_curves import PaperCurves
from analysis.results import Results
from analysis.tasks import KEPT, METHODS, TASKS, Reading, Task

WORDS = Words("MSE", "squared units", "constant-zero predictor")
LABEL = -0.068
"""Where the names of y axes stand, from the panel [share of the page's width]."""
OTHER_COLORS = (style.VERMILION, style.SKY)
"""Of networks that are no method of Table 2."""
MARKS = {"nbody": ("s", False), "run": ("o", False), "walk": ("o", True)}


def draw(results: Results, paper: PaperCurves) -> Drawing:
    """A column per task: percent, losses, largest |alpha|. Right: where every seed ends."""
    tasks = [task for task in TASKS if any(one.runs for one in _own(results, task))]
    drawn = Drawn()
    figure = style.new_figure(style.PAGE, 4.9)
    grid = figure.add_gridspec(
        3, 2 * len(tasks) + 1, left=0.106, right=0.985, top=0.945, bottom=0.185, wspace=0.0, hspace=0.12,
        width_ratios=(*(1.0, 0.09) * (len(tasks) - 1), 1.0, 0.47, 1.05), height_ratios=(1.5, 0.9, 0.9),
    )  # fmt: skip
    columns = {
        2 * position: _column(results, letter, task)
        for position, (letter, task) in enumerate(zip("abc", tasks, strict=False))
    }
    rows = error_columns(figure, grid, columns, WORDS, drawn)
    ends, letter = figure.add_subplot(grid[:2, 2 * len(tasks)]), "abcd"[len(tasks)]
    marks = [MARKS[task.key] for task in tasks]
    ends_panel(ends, {task.name: _own(results, task) for task in tasks}, marks, drawn, letter, offset=0.11)
    for label in ends.get_xticklabels():
        label.set(rotation=35, ha="right", rotation_mode="anchor")
    ends.legend(handles=mark_handles([task.title for task in tasks], marks), loc="best")
    style.title(ends, letter, "after the last step")
    for row in rows:
        row[0].yaxis.set_label_coords(LABEL / row[0].get_position().width, 0.5)
    shown = [m for m in METHODS if any(results.of(task.readings[m].run) for task in tasks)]
    zero = WORDS.zero if any(column.zero and column.zero.zero_loss for column in columns.values()) else None
    figure_key(
        figure,
        [*method_handles(shown), *network_handles(_networks(results)), *line_handles(zero)],
        footer(results),
        columns=5,
    )
    return Drawing(figure, drawn.table(), caption())


def _networks(results: Results) -> dict[str, str]:
    """Colours of the networks that Table 2 does not name, by label."""
    labels = dict.fromkeys(run.label for run in filter(catalogue.other_network, results.runs))
    return dict(zip(labels, cycle(OTHER_COLORS)))


def _own(results: Results, task: Task) -> list[Shown]:
    """Every method as it is meant to be read out, and every other network."""
    methods = [Shown(method, results.of(at.run), at.series) for method, at in task.readings.items()]
    others = [run for run in filter(catalogue.other_network, results.runs) if task.is_of(run)]
    return methods + [
        Shown(label, tuple(run for run in others if run.label == label), other=color)
        for label, color in _networks(results).items()
    ]


def _column(results: Results, letter: str, task: Task) -> Column:
    """Solid as a method is meant to be read out; dashed with every term, where that is no method of its own."""
    shown = []
    for own in _own(results, task):
        shown.append(own)
        if own.method not in task.readings:
            continue
        if Reading(task.readings[own.method].run, KEPT) not in task.readings.values():
            shown.append(Shown(own.method, own.runs, KEPT, KEPT_DASHES))
    zero = next((run for one in shown for run in one.runs), None)
    return Column(letter, task.title, shown, zero)


def caption() -> Caption:
    text = (
        "Equivariance error in percent of the mean squared error of predicted positions on inputs turned at "
        "random, for every method of paper B's Table 2, over training. Below: L_mean (solid) and L_equiv (dashed) "
        "with the loss of predicting the origin (dotted), and the largest |alpha| over layers and terms. Solid "
        "percents: the method's own readout; dash-dotted: every term kept. Right: last percents of every seed."
    )
    measured = (
        f"{SEEDS} The methods' own readouts: ES and ACE-exact projected, ACE-appr with every term, RECM pruned. ACE on "
        "particles is one run, read out twice; its |alpha| is ACE's gamma. EGNO's error is that of its last frame. "
        "Estimates are unbiased (paper A, eqs. 5 to 7), from sampled rotations and the samples that the monitor takes. "
        f"Table 2's errors are of inputs as they lie, not turned. {floor_note(FLOOR)}"
    )
    return Caption.of(text, measured)
