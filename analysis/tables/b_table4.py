"""Paper B, Table 4: what RECM costs, in parameters after pruning and in training time, beside the plain network."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

import pandas as pd

from analysis.captions import NOTED, Caption, caveat
from analysis.draw.tabular import ABSENT, Line, Table, as_html, difference, markdown, signed
from analysis.quantities import overheads
from analysis.quantities.relaxation import PRUNE_BELOW
from analysis.reference.paper_curves import PaperCurves
from analysis.reference.printed import tables
from analysis.results import Results, ResultsError
from analysis.run_names import vn_run
from analysis.tasks import NBODY, TASKS


@dataclass(frozen=True)
class Overhead:
    """One row: a relaxed run beside the plain run of the same network and data, and the paper's row."""

    name: str
    plain: str
    relaxed: str
    paper: str


OVERHEADS = (
    *(
        Overhead(
            f"VN-PointNet, {data} shapes",
            vn_run(data, "plain"),
            vn_run(data, "recm"),
            f"ModelNet40 {data} (VN-PointNet)",
        )
        for data in ("rotated", "aligned")
    ),
    *(
        Overhead(
            task.title,
            task.readings["plain"].run,
            task.readings["recm"].run,
            "N-body (SEGNN)" if task is NBODY else f"MoCap {task.key} (EGNO)",
        )
        for task in TASKS
    ),
)
"""The rows, in the paper's order; a network joins by a row here."""
HEADINGS = {"inference_parameters": "parameters at inference", "training_time": "training time"}


def build(results: Results, paper: PaperCurves) -> Table:
    """Long frame for machines, wide table for people. Raises ResultsError if no pair of runs is complete."""
    frame = overhead_frame(results)
    if frame.empty:
        pairs = "; ".join(f"{row.plain} and {row.relaxed}" for row in OVERHEADS)
        raise ResultsError(
            f"b_table4 needs a relaxed run and its plain one, and tier {results.tier} gives no such pair "
            f"with a common seed: {pairs}."
        )
    headings = ["", "", "seeds", *HEADINGS.values()]
    rows = set(frame["row"])
    noted = {task.title: text for task in TASKS if task.title in rows and (text := caveat(results, task.key))}
    lines, notes = _lines(frame, noted), [f"{NOTED} {text}." for text in noted.values()]
    return Table(frame, markdown(headings, lines, notes), as_html(headings, lines, notes), _caption(results))


def overhead_frame(results: Results) -> pd.DataFrame:
    """A row per network and measure: ours as a share of the plain network's, the paper's, and their difference."""
    rows = []
    for row in OVERHEADS:
        pairs = overheads.pairs(results.of(row.relaxed), results.of(row.plain))
        for measure in overheads.MEASURES:
            theirs = tables("b")["table_4"].cell(row.paper, measure)
            if (ours := overheads.overhead(pairs, measure)) is None:
                continue
            rows.append(
                {
                    "tier": results.tier,
                    "row": row.name,
                    "run": row.relaxed,
                    "plain_run": row.plain,
                    "plain_parameters": pairs[0][1].parameters,
                    "measure": measure,
                    "seeds": ours.seeds,
                    "ours": ours.value,
                    "ours_std": ours.std,
                    "ours_low": ours.low,
                    "ours_high": ours.high,
                    "paper": theirs,
                    "difference": difference(ours.value, theirs),
                }
            )
    return pd.DataFrame(rows)


def _lines(frame: pd.DataFrame, noted: Container[str]) -> list[Line]:
    """noted: the rows that a note is about."""
    lines = []
    for name, part in frame.groupby("row", sort=False):
        rows = {row["measure"]: row for _, row in part.iterrows()}
        seeds = str(part["seeds"].max())
        name = f"{name} {NOTED}" if name in noted else name
        lines.append(Line(name, "ours", [seeds, *(_ours(rows.get(measure)) for measure in HEADINGS)]))
        for whose in ("paper", "difference"):
            lines.append(Line("", whose, ["", *(_share(rows.get(measure), whose) for measure in HEADINGS)]))
    return lines


def _ours(row: pd.Series | None) -> str:
    if row is None:
        return ABSENT
    spread = "" if pd.isna(row["ours_std"]) else f" ± {row['ours_std']:.2f}"
    return f"{_share(row, 'ours')}{spread}"


def _share(row: pd.Series | None, whose: str) -> str:
    return ABSENT if row is None else signed(row[whose], f"{abs(row[whose]):.2f}")


def _caption(results: Results) -> Caption:
    text = (
        "What RECM adds, as a share of the plain network's: parameters at inference, after terms of |alpha| below "
        f"{PRUNE_BELOW:g} are pruned, and training time. Ours: mean ± sample standard deviation over seeds, each "
        "beside the plain run of its seed. Paper: its Table 4. Difference: ours minus the paper's."
    )
    timing = (
        "Training time is the ratio of the median times of one step, without tests and measurements. Other jobs "
        "may have shared the machine. `python -m models.bench vn_pointnet segnn egno` times both networks in turns "
        "in one process. The overhead depends on widths, batch and device, which are this tier's."
    )
    return Caption.of(text, timing, _trained_on(results))


def _trained_on(results: Results) -> str:
    devices = sorted({str(run.summary["device"]) for run in results.runs if "device" in run.summary})
    return f"Trained on {'; '.join(devices)}." if devices else ""
