"""Paper B, Table 2: errors of predicted positions, on charged particles and on motion capture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from analysis import catalogue
from analysis.captions import NOTED, Caption, caveat
from analysis.draw.tabular import (
    ABSENT,
    SAME,
    Line,
    Table,
    as_html,
    difference,
    markdown,
    of_row,
    signed,
    with_deviation,
)
from analysis.quantities import errors
from analysis.quantities.relaxation import PRUNE_BELOW
from analysis.reference.paper_curves import PaperCurves
from analysis.reference.printed import tables
from analysis.results import Results, ResultsError, Run
from analysis.run_names import METHODS as NAMES
from analysis.tasks import METHODS, MOTIONS, NBODY, NETWORKS, TASKS, Reading, Task
from models.training.series import Series


@dataclass(frozen=True)
class Row:
    """A row: where our number of each task is read (nowhere: it is only quoted), and the paper's row of each.

    untrained: a simple prediction instead, whose error the runs' data tell.
    """

    name: str
    ours: Mapping[str, Reading] = field(default_factory=dict)
    paper: Mapping[str, str] = field(default_factory=dict)
    untrained: str | None = None


def _paper(nbody: str | None = None, mocap: str | None = None) -> dict[str, str]:
    rows = {NBODY.key: nbody, **{task.key: mocap for task in MOTIONS}}
    return {task: row for task, row in rows.items() if row}


def _method(method: str) -> Row:
    suffix = "" if method == "plain" else f"_{NAMES[method]}"
    readings = {task.key: task.readings[method] for task in TASKS}
    return Row(NAMES[method], readings, _paper(f"SEGNN{suffix}", f"EGNO{suffix}"))


PAPER_ROWS = {"RF": _paper("RF", "EF"), "EGNN": _paper("EGNN", "EGNN"), "EGNO": _paper("EGNO")}
"""The paper's rows of NETWORKS."""
BLOCKS = {
    "Without training": (
        Row("x", untrained="static"),
        Row("x + t v, t known", untrained="velocity"),
        Row("x + t v, t fitted", untrained="drift"),
    ),
    "Other networks": (
        *(Row(name, readings, PAPER_ROWS.get(name, {})) for name, readings in NETWORKS.items()),
        Row("TFN", paper=_paper(mocap="TFN")),
        Row("SE(3)-Tr.", paper=_paper("SE(3)-Tr.", "SE(3)-Tr.")),
    ),
    "SEGNN on N-body, EGNO on motion capture": tuple(map(_method, METHODS)),
}
SELECTED, LAST = "best validation step", "last step"
CHOICES = {SELECTED: errors.SELECTED, LAST: errors.LAST}
NETWORKS_BLOCK, SETUPS_BLOCK = "Other networks", "Other set-ups"
UNITS = {2: "10⁻²", 3: "10⁻³"}


def build(results: Results, paper: PaperCurves) -> Table:
    """Long frame for machines, wide table for people. Raises ResultsError if no run was tested."""
    frame = error_frame(results)
    if not (frame["seeds"] > 0).any():
        raise ResultsError(
            f"b_table2: no run of tier {results.tier} given here has a test error; train one of them."
        )
    said = {task: caveat(results, task.key) for task in TASKS}
    names = [f"{task.name} [{UNITS[task.power]}]{f' {NOTED}' if said[task] else ''}" for task in TASKS]
    headings, lines = ["", "", "seeds", *names], _lines(frame)
    notes = [f"{NOTED} {text}." for text in said.values() if text]
    return Table(frame, markdown(headings, lines, notes), as_html(headings, lines, notes), _caption())


def blocks(results: Results) -> dict[str, list[Row]]:
    """BLOCKS, and a row for every run that none of them names, by its label: another network, or another set-up."""
    found = {block: list(rows) for block, rows in BLOCKS.items()}
    others: dict[tuple[str, str], dict[str, Reading]] = {}
    for run in filter(catalogue.other_run, results.runs):
        block = NETWORKS_BLOCK if catalogue.other_network(run) else SETUPS_BLOCK
        task = next(task for task in TASKS if task.is_of(run))
        others.setdefault((block, run.label), {})[task.key] = Reading(run.name)
    for (block, label), readings in others.items():
        found.setdefault(block, []).append(Row(label, readings))
    return found


def error_frame(results: Results) -> pd.DataFrame:
    """A row per choice of step, row of the table, task and readout, all errors in the units printed.

    ours over seeds, the paper's, and their difference; a number that is only quoted has none of ours, and a readout
    beside the one that is meant none of the paper's.
    """
    rows = []
    for choice, metric in CHOICES.items():
        for block, of_block in blocks(results).items():
            for row in of_block:
                for task in TASKS:
                    if not row.untrained and task.key not in row.ours and task.key not in row.paper:
                        continue
                    about = {
                        "tier": results.tier, "choice": choice, "block": block, "row": row.name, "task": task.key,
                        "unit": f"1e-{task.power}",
                    }  # fmt: skip
                    rows += [about | found for found in _found(results, row, task, metric)]
    return pd.DataFrame(rows)


def _found(results: Results, row: Row, task: Task, metric: str) -> Iterator[dict]:
    """The readout that is meant beside the paper's number, then the others of the same runs."""
    if row.untrained:
        yield _untrained_cell(results, row.untrained, task) | _paper_cell(row, task, None)
        return
    reading = row.ours.get(task.key)
    if reading is None:
        yield _cell((), "", None, task, metric) | _paper_cell(row, task, None)
        return
    runs = results.of(reading.run)
    own = _cell(runs, reading.run, reading.series, task, metric)
    yield own | _paper_cell(row, task, own["ours"])
    for series in errors.other_readouts(runs, reading, task):
        yield _cell(runs, reading.run, series, task, metric) | {"meant": False}


def _cell(runs: Sequence[Run], name: str, series: Series | None, task: Task, metric: str) -> dict:
    """Our error over seeds, and between which steps it was measured."""
    ours = None if series is None else errors.error_over(runs, series, metric, task)
    cell = {
        "run": name,
        "readout": "" if series is None else str(series),
        "meant": True,
        "seeds": 0 if ours is None else ours.seeds,
    }
    if ours is None:
        return cell | {"ours": None}
    steps = [errors.step_of(run, series, metric) for run in runs]
    return cell | {
        "first_step": min(steps),
        "last_step": max(steps),
        "ours": ours.value,
        "ours_std": ours.std,
        "ours_low": ours.low,
        "ours_high": ours.high,
    }


def _untrained_cell(results: Results, prediction: str, task: Task) -> dict:
    """The error of a prediction that needs no run, as the data of the task's runs tell it."""
    cell = {"run": "", "readout": "", "meant": True, "seeds": 0}
    error = errors.untrained_error(results, prediction, task)
    if error is None:
        return cell | {"ours": None}
    return cell | {"ours": error, "ours_low": error, "ours_high": error}


def _paper_cell(row: Row, task: Task, ours: float | None) -> dict:
    if task.key not in row.paper:
        return {"paper": None, "paper_std": None, "difference": None}
    if task is NBODY:
        printed, column = tables("b")["table_2_nbody"], "mse"
    else:
        printed, column = tables("b")["table_2_mocap"], task.key
    theirs = printed.cell(row.paper[task.key], column)
    std = printed.cell(row.paper[task.key], f"{column}_std")
    return {"paper": theirs, "paper_std": std, "difference": difference(ours, theirs)}


def _lines(frame: pd.DataFrame) -> list[Line]:
    lines = []
    frame = frame[frame["choice"] == SELECTED]
    for (block, name), rows in frame.groupby(["block", "row"], sort=False):
        own = rows[rows["meant"]]
        measured, printed = own[own["ours"].notna()], own[own["paper"].notna()]
        first = len(lines)
        if len(measured):
            lines.append(Line(name, "ours", [_seeds(measured), *_cells(own, _ours)]))
            for readout, others in rows[~rows["meant"]].groupby("readout", sort=False):
                same = _same(own, others)
                if not all(same.values()):
                    cells = _cells(others, lambda row, same=same: SAME if same[row["task"]] else _ours(row))
                    lines.append(Line("", f"ours, {readout}", [_seeds(others), *cells]))
        if len(printed):
            whose = "paper" if len(measured) else "paper, quoted"
            lines.append(Line("" if len(measured) else name, whose, ["", *_cells(own, _theirs)]))
        if own["difference"].notna().any():
            lines.append(Line("", "difference", ["", *_cells(own, _difference)]))
        if len(lines) > first and Line(block) not in lines:
            lines.insert(first, Line(block))
    return lines


def _cells(rows: pd.DataFrame, write: Callable[[pd.Series], str]) -> list[str]:
    cells = {row["task"]: write(row) for _, row in rows.iterrows()}
    return [cells.get(task.key, ABSENT) for task in TASKS]


def _ours(row: pd.Series) -> str:
    if pd.isna(row["ours"]):
        return ABSENT
    return with_deviation(of_row(row), 2)


def _theirs(row: pd.Series) -> str:
    if pd.isna(row["paper"]):
        return ABSENT
    # With as many digits as are printed: the spread has two on N-body, and one on motion capture.
    spread = "" if pd.isna(row["paper_std"]) else f" ± {row['paper_std']:g}"
    return f"{row['paper']:.1f}{spread}"


def _difference(row: pd.Series) -> str:
    return signed(row["difference"], f"{abs(row['difference']):.1f}")


def _seeds(rows: pd.DataFrame) -> str:
    """3, or 3 / 3 / 1 where the tasks have different numbers; nothing where nothing was trained."""
    of = dict(zip(rows["task"], rows["seeds"], strict=True))
    counts = [str(of.get(task.key, 0) or ABSENT) for task in TASKS]
    distinct = set(counts) - {ABSENT}
    if len(distinct) > 1:
        return " / ".join(counts)
    return distinct.pop() if distinct else ""


def _same(own: pd.DataFrame, others: pd.DataFrame) -> dict[str, bool]:
    """By task, whether another readout's error is printed as the meant one's."""
    meant = {row["task"]: _ours(row) for _, row in own.iterrows()}
    return {row["task"]: _ours(row) == meant[row["task"]] for _, row in others.iterrows()}


def _caption() -> Caption:
    text = (
        "Mean squared error of predicted positions on the test set, of charged particles (N-body) and of the last "
        "predicted frame of motion capture (run, walk). Ours: mean ± population standard deviation over seeds, "
        "each at its step of least validation error. Paper: its Table 2. Difference: ours minus the paper's. "
        f"Quoted: the paper's number of a network not trained here. {ABSENT}: not trained, or not in the paper. "
        f"{SAME}: as in the line above."
    )
    readout = (
        "The methods' own readouts: ES and ACE-exact projected back to the equivariant network, ACE-appr with its "
        f"relaxation, RECM without terms of |alpha| below {PRUNE_BELOW:g}. Another readout has its own line where "
        "its error is printed differently (kept: every term; projected: none). On N-body ACE is one run, read out "
        "twice."
    )
    setups = (
        "The methods of a task share a training set-up; on N-body, ES also turns its batches at random, as part of "
        "the method. The other networks have sizes and learning rates of their own. All learn the frame that is "
        "tested, but EGNO on N-body learns five. RF is the radial field, which the paper calls EF on motion "
        "capture. Rows of other set-ups are named by their label. Errors after the last step are in the CSV."
    )
    theirs = (
        "The paper prints no units and does not say what its spread is. Its rows come from several set-ups, with "
        "different centring, learning rates and numbers of epochs."
    )
    return Caption.of(text, readout, setups, theirs)
