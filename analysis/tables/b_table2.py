"""Paper B, Table 2: errors of predicted positions, on charged particles and on motion capture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import pstdev

import pandas as pd

from analysis import catalogue
from analysis.captions import NOTED, caveat
from analysis.draw.tabular import ABSENT, SAME, Line, Spread, Table, as_html, difference, markdown, signed
from analysis.quantities.relaxation import largest_alpha
from analysis.reference.paper_curves import PaperCurves
from analysis.reference.printed import tables
from analysis.results import Results, ResultsError, Run
from analysis.run_names import METHODS as NAMES
from analysis.tasks import KEPT, METHODS, MOTIONS, NBODY, NETWORKS, TASKS, Reading, Task, error
from analysis.words import between
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
CHOICES = {SELECTED: "mse_selected", LAST: "mse"}
NETWORKS_BLOCK, SETUPS_BLOCK = "Other networks", "Other set-ups"
UNITS = {2: "10⁻²", 3: "10⁻³"}


def build(results: Results, paper: PaperCurves | None) -> Table:
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
    return Table(frame, markdown(headings, lines, notes), as_html(headings, lines, notes), _caption(results))


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
    for series in _others(runs, reading, task):
        yield _cell(runs, reading.run, series, task, metric) | {"meant": False}


def _others(runs: Sequence[Run], reading: Reading, task: Task) -> list[Series]:
    """Readouts of a run beside the one that is meant, without those that are a row of their own."""
    meant = {other.series for other in task.readings.values() if other.run == reading.run} | {reading.series}
    return sorted({series for run in runs for series in run.series("test")} - meant)


def _cell(runs: Sequence[Run], name: str, series: Series | None, task: Task, metric: str) -> dict:
    """Our error over seeds, and between which steps it was measured."""
    measured = [value for run in runs if (value := error(run, series, metric)) is not None]
    # Over the population, as the codes that the paper's numbers come from print it (specs segnn.md 4, egno.md 4.2).
    ours = Spread.of([10**task.power * value for value in measured], pstdev)
    cell = {
        "run": name,
        "readout": "" if series is None else str(series),
        "meant": True,
        "seeds": len(measured),
    }
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


def _step(run: Run, series: Series, metric: str) -> float:
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


def _caption(results: Results) -> list[str]:
    about = [
        "Mean squared error of predicted positions on the test set: of five charged particles after 1000 "
        "steps (N-body, in units of 10⁻³), and of the last of the predicted frames of motion capture (run, "
        "walk, in units of 10⁻²). Ours: mean ± standard deviation (of the population, ddof 0, as the codes do that "
        "the paper's numbers come from) over seeds, whose number is given, at each seed's and readout's step of "
        "least validation error, as the papers report; the errors after the last step are in the CSV. Paper: "
        "its Table 2, which prints no units and does not say what its spread is; difference: ours minus the "
        f"paper's. Quoted: the paper's number of a network not trained here. {ABSENT}: not trained here, or not "
        f"in the paper's table; {SAME}: as in the method's own line above, to the digits printed.",
        "Each method is read out as it is meant to be used: ES and ACE-exact projected back to the "
        "equivariant network, ACE-appr with its relaxation, RECM without the terms whose |alpha| is below "
        "0.01; a line of its own shows another readout where its error is printed differently (kept: with "
        "every term; projected: without any). On N-body ACE is one run, read out twice. Our rows of the last "
        "block share a training set-up, task by task, but for ES's batches on N-body, which are turned at "
        "random, a part of that method. The other networks have sizes and learning rates of their own, and learn "
        "the frame that is tested alone, but EGNO on N-body, which learns five. The paper's rows come from "
        "several set-ups, with different centring, learning rates and numbers of epochs, so its steps from row "
        "to row are not the methods' alone. RF is the radial field, which the paper calls EF on motion capture.",
        " ".join([_schedule_sentence(results), _constraint_sentence(results)]).strip(),
    ]
    return [text for text in about if text]


def _schedule_sentence(results: Results) -> str:
    """How much of the symmetry ES ever gave up, by task."""
    shares = []
    for task in TASKS:
        curves = [run.line("percent", KEPT) for run in results.of(task.readings["es"].run)]
        if peaks := [curve.value.max() for curve in curves if curve is not None]:
            shares.append(f"{between(peaks)} ({task.name})")
    if not shares:
        return ""
    return (
        "The largest share of its error, in percent, that was equivariance error with ES's maps kept, at any "
        f"measured step: {', '.join(shares)}; where it is next to nothing, ES trains a nearly plain network."
    )


def _constraint_sentence(results: Results) -> str:
    """How far ACE's constraint is from being met, by run."""
    sizes = []
    for task in TASKS:
        runs = {task.readings[method].run: method for method in ("ace-appr", "ace-exact")}
        for name, method in sorted(runs.items(), reverse=True):
            which = task.name if len(runs) == 1 else f"{task.name}, {NAMES[method]}"
            ends = [curve.value[-1] for run in results.of(name) if (curve := largest_alpha(run)) is not None]
            sizes += [f"{between(ends)} ({which})"] if ends else []
    if not sizes:
        return ""
    return (
        f"The largest |gamma| that ACE's constraint has left after the last step: {', '.join(sizes)}; where it "
        "is not small, the projected network lacks maps that it was trained with."
    )
