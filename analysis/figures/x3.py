"""Beyond both papers: the share of the error that is equivariance error, on the tasks of paper B's Table 2."""

from __future__ import annotations

from itertools import cycle

from analysis import catalogue
from analysis.captions import footer
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
from analysis.tasks import KEPT, METHODS, MOTIONS, TASKS, Reading, Task, error, last
from analysis.words import between

WORDS = Words("MSE", "squared units", "constant-zero predictor")
LABEL = -0.068
"""Where the names of y axes stand, from the panel [share of the page's width]."""
OTHER_COLORS = (style.VERMILION, style.SKY)
"""Of networks that are no method of Table 2."""
MARKS = {"nbody": ("s", False), "run": ("o", False), "walk": ("o", True)}


def draw(results: Results, paper: PaperCurves | None) -> Drawing:
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
    return Drawing(figure, drawn.table(), caption(results))


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


def caption(results: Results) -> list[str]:
    return [
        "Equivariance error in percent of the mean squared error of predicted positions (paper A, eqs. 5 to "
        "7, all rotations) for every method of paper B's Table 2, over training: SEGNN on charged particles, "
        "EGNO on motion capture (its last frame). Below it the losses it is a share of, with that of "
        "predicting the origin (dotted), in the squared units of the data; and the largest |alpha| over all "
        "layers and terms (ACE's gamma). Solid: as the method is read out (ES and ACE-exact projected, ACE-appr "
        "with every term, RECM pruned); dash-dotted in the upper panels: with every term kept. ACE on particles is one "
        "run, read out twice. Right: the last percents, every seed.",
        "That error is of inputs turned at random, as the split asks for, and not Table 2's: a network that breaks "
        "the symmetry has learned the data as they lie and does worse on turned ones, so its percents are no "
        f"shares of its test error. {_turned_sentence(results)}".strip(),
        "Thick: median over seeds, thin: seeds. Estimates are from sampled rotations and unbiased, on the "
        f"samples that the monitor watches, not the whole test set. Percents below {FLOOR:g} are rounding of "
        "an equivariant network and drawn there. Step 0 is not on logarithmic axes. Neither paper has this "
        "figure.",
    ]


def _turned_sentence(results: Results) -> str:
    """The error on turned inputs beside the test error of the same step, for RECM on motion capture."""
    said = []
    for task in MOTIONS:
        at = task.readings["recm"]
        pairs = [
            (last(run, "L_total", at.series), error(run, at.series, "mse")) for run in results.of(at.run)
        ]
        if known := [pair for pair in pairs if None not in pair]:
            turned, lying = zip(*known, strict=True)
            said.append(f"{between(turned)} beside {between(lying)} ({task.name})")
    return (
        f"RECM's, after the last step, turned and tested, in squared units: {', '.join(said)}."
        if said
        else ""
    )
