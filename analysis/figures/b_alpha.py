"""Paper B, sections 5.2 and 5.3: how much relaxation RECM leaves SEGNN on particles and EGNO on motion capture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecBase, SubplotSpec

from analysis import style
from analysis.captions import footer
from analysis.depth import (
    alpha_panel,
    branch_handles,
    colors_of,
    common_alpha_scale,
    end_handles,
    ends_panel,
)
from analysis.panels import Drawing, Drawn, figure_key
from analysis.reference.paper_curves import PaperCurves
from analysis.reference.printed import tables
from analysis.relaxed import places
from analysis.results import Results, Run
from analysis.tasks import MOTIONS, NBODY, TASKS, VERTICAL, Task, between, given, last
from models.training.series import Series

RUN_OF = {task.key: task.readings["recm"].run for task in TASKS}

TERMS = ("W", "b", "noise")
HEIGHT = 1.75
"""Of a row of panels [inch]."""
LINE = 0.105
"""Of a name in the panels of last values [inch]."""
NOTICEABLE = 1.0
"""A symmetry counts as broken from such a percent of the error on."""
ADVISED = 8.0
"""What lr x recm_lr_mult x steps should reach for the rule to learn (spec recm.md 2)."""


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
    return Drawing(figure, drawn.table(), caption(results))


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


def caption(results: Results) -> list[str]:
    printed = tables("b")["table_4"]
    kept = ", ".join(
        f"{name} +{printed.cell(row, 'inference_parameters'):.2f}"
        for name, row in (
            ("N-body", "N-body (SEGNN)"),
            ("run", "MoCap run (EGNO)"),
            ("walk", "MoCap walk (EGNO)"),
        )
    )
    about = [
        "alpha, the weights of the unconstrained linear map (alpha_W), the bias (alpha_b) and, where it is "
        "trained with, the noise that RECM adds to each equivariant linear map, over training: a column per "
        "task, first seed. Right: alpha_W after the last step, every seed (motion capture: open run, filled "
        "walk), with the names of the layers, dark near the input, light near the output. The scale is linear "
        "within ±0.01 (shaded: such terms are pruned after training) and logarithmic beyond.",
        "The paper has no such figure for these tasks. Of what is left after pruning it says in Table 4, as a "
        f"share of the plain network's parameters: {kept}; so every alpha goes to zero on N-body, which is "
        "exactly symmetric, and some stay on motion capture, whose bodies stand upright and travel along one "
        "line, so that no rotation is a symmetry of the data.",
        " ".join([_broken_sentence(results), _rule_sentence(results)]).strip(),
    ]
    return [text for text in about if text]


def _broken_sentence(results: Results) -> str:
    """How much of the error is equivariance error of either group, after the last step of every motion's runs."""
    shares, about_vertical = [], []
    for task in MOTIONS:
        runs = results.of(RUN_OF[task.key])
        found = [[last(run, "percent", Series(group=group)) for run in runs] for group in ("", VERTICAL)]
        every, vertical = ([value for value in of_group if value is not None] for of_group in found)
        if every and vertical:
            shares.append(f"{between(every)} and {between(vertical)} ({task.name})")
            about_vertical += vertical
    if not shares:
        return ""
    if min(about_vertical) > NOTICEABLE:
        kept = "the direction of travel as well as gravity"
    elif max(about_vertical) < NOTICEABLE:
        kept = "gravity alone"
    else:
        kept = "gravity, and in some runs the direction of travel"
    return (
        "Of the pruned network's error on turned inputs after the last step, equivariance error makes, in "
        f"percent, under all rotations and under those about the vertical alone: {', '.join(shares)}. What the "
        f"alphas keep is {kept}."
    )


def _rule_sentence(results: Results) -> str:
    """The rate at which RECM's own parameters were learned, as the settings say it, where it is below the advice."""
    travelled: dict[str, list[float]] = {}
    for task in TASKS:
        for run in results.of(RUN_OF[task.key]):
            settings, trainer = run.config.get("model", {}).get("init_args"), run.config.get("trainer")
            if settings and trainer:
                rate = settings["optimizer"]["lr"] * settings["optimizer"]["recm_lr_mult"]
                travelled.setdefault(task.name, []).append(rate * trainer["max_steps"])
    if not travelled or max(map(max, travelled.values())) >= ADVISED:
        return ""
    said = ", ".join(f"{between(values)} ({name})" for name, values in travelled.items())
    return (
        f"RECM's own parameters were learned slowly: their learning rate times the number of steps is {said}, where "
        f"twirl/relaxation/README.md advises {ADVISED:g} or so; how small alphas end depends on that rate, too."
    )
