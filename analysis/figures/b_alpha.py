"""Paper B, sections 5.2 and 5.3: how much relaxation RECM leaves SEGNN on particles and EGNO on motion capture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecBase, SubplotSpec

from analysis.captions import Caption, footer
from analysis.draw import style
from analysis.draw.depth import (
    alpha_panel,
    branch_handles,
    colors_of,
    common_alpha_scale,
    end_handles,
    ends_panel,
)
from analysis.draw.panels import Drawing, Drawn, figure_key
from analysis.quantities.relaxation import PRUNE_BELOW, places
from analysis.reference.paper_curves import PaperCurves
from analysis.reference.printed import tables
from analysis.results import Results, Run
from analysis.tasks import MOTIONS, NBODY, TASKS, Task, given

RUN_OF = {task.key: task.readings["recm"].run for task in TASKS}

TERMS = ("W", "b", "noise")
HEIGHT = 1.75
"""Of a row of panels [inch]."""
LINE = 0.105
"""Of a name in the panels of last values [inch]."""


def draw(results: Results, paper: PaperCurves) -> Drawing:
    """A row per term, a column per task, first seed; right: alpha_W after the last step, every seed."""
    tasks = given(results, TASKS, "recm")
    first = {task: results.first(RUN_OF[task.key]) for task in tasks}
    terms = [term for term in TERMS if any(places(run, term) for run in first.values())] or ["W"]
    drawn = Drawn()
    named = sum(max((len(places(run)) for run in group), default=0) for group in _networks(first).values())
    height = max(HEIGHT * len(terms) + 0.8, LINE * named + 1.6)
    figure = style.new_figure(style.PAGE, height)
    grid = figure.add_gridspec(
        1, 2, left=0.075, right=0.985, top=1 - 0.25 / height, bottom=0.68 / height, wspace=0.0,
        width_ratios=(len(tasks), 1.75),
    )  # fmt: skip
    letters = iter("abcdefghijklm")
    panels = _curves(figure, grid, first, terms, letters, drawn)
    ends = _ends(figure, grid[1], results, first, letters, drawn)
    for term, row in panels.items():
        common_alpha_scale(row, ends if term == "W" else [], drawn, term)
    motions = [task.name for task in tasks if task in MOTIONS]
    handles = [*branch_handles("moves the nodes"), *end_handles(motions or [NBODY.name])]
    figure_key(figure, handles, footer(results))
    return Drawing(figure, drawn.table(), caption())


def _networks(first: Mapping[Task, Run]) -> dict[str, list[Run]]:
    """Runs by network: those of a network have the same places."""
    networks: dict[str, list[Run]] = {}
    for task, run in first.items():
        networks.setdefault(task.network, []).append(run)
    return networks


def _curves(
    figure: Figure,
    grid: GridSpecBase,
    first: Mapping[Task, Run],
    terms: Sequence[str],
    letters,
    drawn: Drawn,
) -> dict[str, list[Axes]]:
    """Panels by term."""
    cells = grid[0].subgridspec(len(terms), len(first), wspace=0.14, hspace=0.2)
    panels: dict[str, list[Axes]] = {}
    for row, term in enumerate(terms):
        for column, (task, run) in enumerate(first.items()):
            left = panels.setdefault(term, [])
            axes = figure.add_subplot(cells[row, column], sharey=left[0] if left else None)
            letter = next(letters)
            alpha_panel(axes, run, term, drawn, letter, colors_of(places(run)))
            style.title(axes, letter, f"{task.title}, seed {run.seed}" if row == 0 else "")
            if row < len(terms) - 1:
                axes.tick_params(labelbottom=False)
                axes.set_xlabel("")
            if left:
                axes.tick_params(labelleft=False)
                axes.set_ylabel("")
            left.append(axes)
    return panels


def _ends(
    figure: Figure, cell: SubplotSpec, results: Results, first: Mapping[Task, Run], letters, drawn: Drawn
) -> list[Axes]:
    """A panel per network with a line per place, which names the colours."""
    networks = _networks(first)
    lines = [max((len(places(run)) for run in runs), default=0) + 2 for runs in networks.values()]
    cells = cell.subgridspec(1, 2, width_ratios=(0.78, 1.0), wspace=0.0)[1].subgridspec(
        len(lines), 1, height_ratios=lines, hspace=0.3
    )
    panels = []
    for place, network in zip(cells, networks, strict=True):
        axes, letter = figure.add_subplot(place), next(letters)
        runs = {task.name: results.of(RUN_OF[task.key]) for task in first if task.network == network}
        ends_panel(axes, runs, "W", drawn, letter, shift=0.17 if len(runs) > 1 else 0.0)
        style.title(axes, letter, f"{network}, last step")
        panels.append(axes)
    for axes in panels[:-1]:
        axes.set_xlabel("")
    return panels


def caption() -> Caption:
    text = (
        "RECM's alphas over training: the weights of the unconstrained linear map (alpha_W), of the bias (alpha_b) "
        "and of the noise added to each equivariant linear map. A column per task, first seed. Right: alpha_W "
        "after the last step, every seed (motion capture: open run, filled walk). A colour per layer, dark near "
        f"the input. The scale is linear within ±{PRUNE_BELOW:g} (shaded: pruned after training) and logarithmic "
        "beyond."
    )
    printed = tables("b")["table_4"]
    kept = ", ".join(
        f"{name} +{printed.cell(row, 'inference_parameters'):.2f}"
        for name, row in (
            ("N-body", "N-body (SEGNN)"),
            ("run", "MoCap run (EGNO)"),
            ("walk", "MoCap walk (EGNO)"),
        )
    )
    theirs = (
        "The paper has no such figure of these tasks. Its Table 4 gives the parameters that pruning leaves beyond the "
        f"plain network's, as a share of those: {kept}."
    )
    return Caption.of(text, theirs)
