"""Blocks of the README: a few numbers beside the paper's, and what the published runs cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from analysis.blocks.paper_a import start_dip_end
from analysis.blocks.paper_b import last_accuracy, two_decimals
from analysis.blocks.published import TIERS, Published, number, table
from analysis.draw.tabular import ABSENT
from analysis.quantities import errors
from analysis.quantities.costs import core_minutes
from analysis.reference.printed import tables
from analysis.results import Results
from analysis.run_names import DATA, vn_run
from analysis.tables.b_table1 import PAPER_ROWS
from analysis.tables.b_table2 import UNITS
from analysis.tasks import NBODY, TASKS, Task
from analysis.words import count

PAIR = ("plain", "recm")


def headlines(published: Published) -> str:
    """A few numbers by tier, beside the paper's."""
    rows = []
    cells = [start_dip_end(published.tiers[tier]) for tier in TIERS]
    theirs = start_dip_end(published.tiers["mini"], "paper")
    rows.append(["EScAIP: equivariance error [% of the loss], start → dip → end", *cells, theirs])
    for data in DATA:
        cells = [_pair(_accuracies(published.tiers[tier], data), two_decimals) for tier in TIERS]
        theirs = (tables("b")["table_1"].cell(PAPER_ROWS[method], f"{data}_instance") for method in PAIR)
        rows.append(
            [f"VN-PointNet, {data} shapes: accuracy, plain / RECM", *cells, _pair(theirs, two_decimals)]
        )
    for task in TASKS:
        cells = [_pair(_errors(published.tiers[tier], task)) for tier in TIERS]
        about = f"{task.title}: test error [{UNITS[task.power]}], plain / RECM"
        rows.append([about, *cells, _pair(_printed_errors(task), "{:g}".format)])
    note = "EScAIP: medians over seeds. The others: means over seeds; docs/results.md has their number and deviation."
    return f"{table(['', *(f'`{tier}`' for tier in TIERS), 'paper'], rows)}\n\n{note}"


def _accuracies(results: Results, data: str) -> Iterable[float | None]:
    found = (last_accuracy(results.of(vn_run(data, method))) for method in PAIR)
    return [None if quantity is None else quantity.value for quantity in found]


def _errors(results: Results, task: Task) -> Iterable[float | None]:
    runs = (task.readings[method] for method in PAIR)
    found = (
        errors.error_over(results.of(reading.run), reading.series, errors.SELECTED, task) for reading in runs
    )
    return [None if quantity is None else quantity.value for quantity in found]


def _printed_errors(task: Task) -> Iterable[float | None]:
    if task is NBODY:
        return [tables("b")["table_2_nbody"].cell(row, "mse") for row in ("SEGNN", "SEGNN_RECM")]
    return [tables("b")["table_2_mocap"].cell(row, task.key) for row in ("EGNO", "EGNO_RECM")]


def _pair(values: Iterable[float | None], write: Callable[[float], str] = number) -> str:
    values = list(values)
    if all(value is None for value in values):
        return ABSENT
    return " / ".join(ABSENT if value is None else write(value) for value in values)


def costs(published: Published) -> str:
    """What the training of the published runs took, by tier and system."""
    rows = []
    for tier in TIERS:
        results = published.tiers[tier]
        for system in dict.fromkeys(run.system for run in results.runs):
            runs = [run for run in results.runs if run.system == system]
            rows.append([f"`{tier}`", f"`{system}`", _sizes(run.parameters for run in runs), *_cost(runs)])
    headings = ["tier", "system", "parameters", "runs, with seeds", "core-minutes of training"]
    return table(headings, rows, names=2)


def tiers(published: Published) -> str:
    """What the training of every published tier took in all."""
    rows = [[f"`{tier}`", *_cost(published.tiers[tier].runs)] for tier in TIERS]
    return table(["published", "runs, with seeds", "core-minutes of training"], rows)


def _cost(runs: Iterable) -> list[str]:
    runs = list(runs)
    return [str(len(runs)), f"{core_minutes(runs):.0f}"]


def _sizes(parameters: Iterable[int | None]) -> str:
    known = sorted({number for number in parameters if number is not None})
    ends = dict.fromkeys(count(number) for number in (known[0], known[-1])) if known else [ABSENT]
    return "–".join(ends)
