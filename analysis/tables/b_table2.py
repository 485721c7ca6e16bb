"""Paper B, Table 2: errors of predicted positions, on charged particles and on motion capture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from analysis.captions import NOTED, absent_sentence, caveat, provenance_line
from analysis.dynamics import METHODS, MOTIONS, NBODY, TASKS, Reading, Task, baseline, error
from analysis.reference.paper_curves import PaperCurves
from analysis.reference.printed import tables
from analysis.relaxed import METHODS as NAMES
from analysis.results import Results, ResultsError, Run
from analysis.tabular import ABSENT, Line, Spread, Table, as_html, difference, markdown, signed

TITLE = "Particles and motion: mean squared error by method"


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


BLOCKS = {
    "Without training": (
        Row("x", untrained="static"),
        Row("x + t v, t known", untrained="velocity"),
        Row("x + t v, t fitted", untrained="drift"),
    ),
    "Other networks": (
        Row("Linear", baseline("linear")),
        Row("RF", baseline("rf"), _paper("RF", "EF")),
        Row("GNN", baseline("gnn")),
        Row("EGNN", baseline("egnn"), _paper("EGNN", "EGNN")),
        Row("EGNO", {NBODY.key: Reading("egno-nbody-plain")}, _paper("EGNO")),
        Row("TFN", paper=_paper(mocap="TFN")),
        Row("SE(3)-Tr.", paper=_paper("SE(3)-Tr.", "SE(3)-Tr.")),
    ),
    "SEGNN on N-body, EGNO on motion capture": tuple(map(_method, METHODS)),
}
RUNS = tuple(
    dict.fromkeys(reading.run for rows in BLOCKS.values() for row in rows for reading in row.ours.values())
)
REQUIRED = ()
SELECTED, LAST = "best validation step", "last step"
CHOICES = {SELECTED: "mse_selected", LAST: "mse"}
UNITS = {2: "10⁻²", 3: "10⁻³"}


def build(results: Results, paper: PaperCurves | None) -> Table:
    """Long frame for machines, wide table for people. Raises ResultsError if no run was tested."""
    frame = error_frame(results)
    if not (frame["seeds"] > 0).any():
        raise ResultsError(
            f"b_table2: no run of tier {results.tier} given here has a test error; train one of {RUNS[0]} etc."
        )
    said = {task: caveat(results, task.key) for task in TASKS}
    names = [f"{task.name} [{UNITS[task.power]}]{f' {NOTED}' if said[task] else ''}" for task in TASKS]
    headings, lines = ["", "", "seeds", *names], _lines(frame)
    notes = [f"{NOTED} {text}." for text in said.values() if text]
    return Table(frame, markdown(headings, lines, notes), as_html(headings, lines, notes), _caption(results))


def error_frame(results: Results) -> pd.DataFrame:
    """A row per choice of step, row of the table, task and readout, all errors in the units printed.

    ours over seeds, the paper's, and their difference; a number that is only quoted has none of ours, and a readout
    beside the one that is meant none of the paper's.
    """
    rows = []
    for choice, metric in CHOICES.items():
        for block, of_block in BLOCKS.items():
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
        yield _cell((), "", "", task, metric) | _paper_cell(row, task, None)
        return
    runs = results.of(reading.run)
    own = _cell(runs, reading.run, reading.series, task, metric)
    yield own | _paper_cell(row, task, own["ours"])
    for series in _others(runs, reading, task):
        yield _cell(runs, reading.run, series, task, metric) | {"meant": False}


def _others(runs: Sequence[Run], reading: Reading, task: Task) -> list[str]:
    """Readouts of a run beside the one that is meant, without those that are a row of their own."""
    meant = {other.series for other in task.readings.values() if other.run == reading.run} | {reading.series}
    return sorted({series for run in runs for series in run.series("test")} - meant)


def _cell(runs: Sequence[Run], name: str, series: str, task: Task, metric: str) -> dict:
    """Our error over seeds, and between which steps it was measured."""
    measured = [value for run in runs if (value := error(run, series, metric)) is not None]
    ours = Spread.of([10**task.power * value for value in measured])
    cell = {"run": name, "readout": series, "meant": True, "seeds": len(measured)}
    if ours is None:
        return cell | {"ours": None}
    steps = [_step(run, series, metric) for run in runs]
    return cell | {
        "first_step": min(steps),
        "last_step": max(steps),
        "ours": ours.mean,
        "ours_std": ours.std,
        "ours_low": ours.low,
        "ours_high": ours.high,
    }


def _untrained_cell(results: Results, prediction: str, task: Task) -> dict:
    """The error of a prediction that needs no run, as the data of the task's runs tell it."""
    told = [run.data.get("untrained_errors") for name in task.runs for run in results.of(name)]
    cell = {"run": "", "readout": "", "meant": True, "seeds": 0}
    if not any(told):
        return cell | {"ours": None}
    error = 10**task.power * next(filter(None, told))[prediction]
    return cell | {"ours": error, "ours_low": error, "ours_high": error}


def _step(run: Run, series: str, metric: str) -> float:
    """The step at which the error was measured; for the selected one that of the best validation error."""
    where = "selected_step" if metric == CHOICES[SELECTED] else metric
    curve = run.curve(where, series, split="test")
    if curve is None:
        return float("nan")
    return float(curve.value[-1] if where == "selected_step" else curve.step[-1])


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
                if len(apart := _apart(own, others)):
                    lines.append(Line("", f"ours, {readout}", [_seeds(apart), *_cells(apart, _ours)]))
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
    std = None if pd.isna(row["ours_std"]) else row["ours_std"]
    return Spread(row["ours"], std, row["ours_low"], row["ours_high"], row["seeds"]).text(2)


def _theirs(row: pd.Series) -> str:
    if pd.isna(row["paper"]):
        return ABSENT
    # With as many digits as are printed: the spread has two on N-body, and one on motion capture.
    spread = "" if pd.isna(row["paper_std"]) else f" ± {row['paper_std']:g}"
    return f"{row['paper']:.1f}{spread}"


def _difference(row: pd.Series) -> str:
    return signed(row["difference"], f"{abs(row['difference']):.1f}")


def _seeds(rows: pd.DataFrame) -> str:
    """3, or 3 / 3 / 1 where the tasks have different numbers."""
    of = dict(zip(rows["task"], rows["seeds"], strict=True))
    counts = [str(of.get(task.key, 0) or ABSENT) for task in TASKS]
    distinct = set(counts) - {ABSENT}
    return distinct.pop() if len(distinct) == 1 else " / ".join(counts)


def _apart(own: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Those of another readout's errors that are not printed as the meant one's."""
    meant = own.set_index("task")["ours"]
    return others[[abs(row.ours - meant[row.task]) >= 0.005 for row in others.itertuples()]]


def _caption(results: Results) -> list[str]:
    return [
        "Mean squared error of predicted positions on the test set: of five charged particles after 1000 "
        "steps (N-body, in units of 10⁻³), and of the last of the predicted frames of motion capture (run, "
        "walk, in units of 10⁻²). Ours: mean ± standard deviation over seeds, whose number is given, at each "
        "seed's and readout's step of least validation error, as the papers report; the errors after the last "
        "step are in the CSV. Paper: its Table 2, which prints no units and does not say what its spread is; "
        "difference: ours minus the paper's. Quoted: the paper's number of a network not trained here.",
        "Each method is read out as it is meant to be used: ES and ACE-exact projected back to the "
        "equivariant network, ACE-appr with its relaxation, RECM without the terms whose |alpha| is below "
        "0.01; a line of its own shows another readout where its error is printed differently (kept: with "
        "every term; projected: without any). On N-body ACE is one run, read out twice. Our rows of a task "
        "share one training set-up; the paper's come from several, with different centring, learning rates "
        "and numbers of epochs, so its steps from row to row are not the methods' alone. RF is the radial "
        "field, which the paper calls EF on motion capture.",
        " ".join([provenance_line(results), absent_sentence(results, list(RUNS))]).strip(),
    ]
