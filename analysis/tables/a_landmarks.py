"""Landmarks of the percent curves of EScAIP, Proteína and VoxMol, ours beside the paper's."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import pandas as pd

from analysis.draw.tabular import ABSENT, Line, Table, as_html, markdown, signed
from analysis.quantities import plateau
from analysis.quantities.landmarks import LEVELS, landmarks
from analysis.reference.paper_curves import (
    DENSITY_CURVES,
    DENSITY_ZERO,
    PERCENT_CURVES,
    ROWS_PER_STEP,
    TIMED_CURVES,
    PaperCurves,
)
from analysis.reference.printed import paper_landmarks
from analysis.results import Results, Run
from analysis.words import count, scientific

COLUMNS = {
    "start": ("start", "%"),
    **{f"below_{level:g}_step": (f"below {level:g}%", "step") for level in LEVELS},
    "dip": ("dip", "%"),
    "dip_step": ("dip at", "step"),
    "L_mean_at_dip": ("L_mean / zero at dip", "ratio"),
    "L_mean_below_zero_step": ("L_mean below zero", "step"),
    "peak": ("later peak", "%"),
    "peak_step": ("peak at", "step"),
    "end": ("end", "%"),
    "end_step": ("end at", "step"),
}
"""Landmark -> (heading, unit), in reading order. `zero` is the constant-zero predictor's loss."""
ESTIMATORS = {"ratio of means": "ours", "mean of ratios": "ours, mean of ratios"}


@dataclass(frozen=True)
class Cell:
    """A landmark over seeds or replicates: median, lowest, highest; how many have it, of how many."""

    middle: float | None
    low: float | None
    high: float | None
    found: int
    of: int


@dataclass(frozen=True)
class Entry:
    """Curves that are compared: what they are called, the seeds of a run, the landmarks of the paper's replicates."""

    name: str
    runs: tuple[Run, ...]
    paper: list[dict]


def entries(results: Results) -> list[Entry]:
    """A run, or a run at one time of the path, whose percents were measured there by every seed."""
    theirs, found = paper_landmarks(), []
    for name in (*PERCENT_CURVES, *TIMED_CURVES, *DENSITY_CURVES):
        runs = results.of(name)
        if runs and name in PERCENT_CURVES:
            found.append(Entry(name, runs, [theirs[key] for key in PERCENT_CURVES[name]]))
        elif runs and name in DENSITY_CURVES:
            file, _, series = DENSITY_CURVES[name]
            found.append(Entry(name, runs, [theirs[file, series]]))
        elif runs:
            file = TIMED_CURVES[name]["percent"]
            for t in sorted(set.intersection(*(set(run.times) for run in runs))):
                row = theirs.get((file, f"t={t:g}"))
                paper = [] if row is None else [_over_steps(row, ROWS_PER_STEP[name])]
                found.append(Entry(f"{name} t={t:g}", tuple(run.at(t) for run in runs), paper))
    return found


def _over_steps(row: dict, rows_per_step: float) -> dict:
    """Landmarks of a curve over rows of a log, as of one over optimiser steps."""
    return {
        key: value / rows_per_step if key.endswith("_step") and value is not None else value
        for key, value in row.items()
    }


def build(results: Results, paper: PaperCurves | None) -> Table:
    """Long frame for machines, wide table for people."""
    frame = landmarks_frame(results)
    headings, lines = _headings(), _lines(frame)
    return Table(frame, markdown(headings, lines), as_html(headings, lines), _caption(results))


def landmarks_frame(results: Results) -> pd.DataFrame:
    """One row per run, estimator and landmark: ours, its spread, the paper's, and their difference."""
    rows = []
    for entry in entries(results):
        for estimator in ESTIMATORS:
            ours_rows = [row for run in entry.runs if (row := run_landmarks(run, estimator))]
            if not ours_rows:
                continue
            for landmark, (_, unit) in COLUMNS.items():
                ours, paper = _cell(ours_rows, landmark), _cell(entry.paper, landmark)
                both = ours.middle is not None and paper.middle is not None
                rows.append(
                    {
                        "tier": results.tier,
                        "run": entry.name,
                        "label": entry.runs[0].label,
                        "parameters": entry.runs[0].parameters,
                        "estimator": estimator,
                        "landmark": landmark,
                        "unit": unit,
                        "seeds": ours.of,
                        "seeds_with_it": ours.found,
                        "ours": ours.middle,
                        "ours_low": ours.low,
                        "ours_high": ours.high,
                        "replicates": paper.of,
                        "paper": paper.middle,
                        "paper_low": paper.low,
                        "paper_high": paper.high,
                        "difference": ours.middle - paper.middle if both else None,
                        "ratio": ours.middle / paper.middle if both and paper.middle else None,
                    }
                )
    return pd.DataFrame(rows)


def run_landmarks(run: Run, estimator: str = "ratio of means") -> dict[str, float | None] | None:
    """Landmarks of one run's plotted weights; None if it did not log this estimator."""
    series = run.plotted_series
    ratios = estimator == "mean of ratios"
    curve = run.curve("percent_mean_of_ratios", series) if ratios else run.line("percent", series)
    if curve is None:
        return None
    row = landmarks(curve).as_row()
    mean, zero = run.line("L_mean", series), run.zero_loss
    known = mean is not None and zero
    row["L_mean_at_dip"] = float(mean.at(row["dip_step"])) / zero if known and row["dip_step"] else None
    row["L_mean_below_zero_step"] = plateau.passes_zero(run)
    return row


def _cell(rows: list[dict], landmark: str) -> Cell:
    values = [float(row[landmark]) for row in rows if row.get(landmark) is not None]
    if not values:
        return Cell(None, None, None, 0, len(rows))
    return Cell(median(values), min(values), max(values), len(values), len(rows))


def _lines(frame: pd.DataFrame) -> list[Line]:
    """The table for people."""
    lines = []
    for name, of_run in frame.groupby("run", sort=False):
        label = of_run["label"].iloc[0]
        for estimator, whose in ESTIMATORS.items():
            part = of_run[of_run["estimator"] == estimator].set_index("landmark")
            if len(part):
                cells = [_number(part.loc[k], "ours") for k in COLUMNS]
                about = f"{name} ({label})" if estimator == "ratio of means" else ""
                lines.append(Line(about, whose, cells))
        main = of_run[of_run["estimator"] == "ratio of means"].set_index("landmark")
        lines.append(Line("", "paper", [_number(main.loc[k], "paper") for k in COLUMNS]))
        lines.append(Line("", "difference", [_difference(main.loc[k]) for k in COLUMNS]))
    return lines


def _number(row: pd.Series, whose: str) -> str:
    middle, low, high = (row[f"{whose}{part}"] for part in ("", "_low", "_high"))
    if pd.isna(middle):
        return ABSENT
    write = steps if row["unit"] == "step" else digits
    text = write(middle)
    if write(low) != write(high):
        text += f" [{write(low)}–{write(high)}]"
    if whose == "ours" and row["seeds_with_it"] < row["seeds"]:
        text += f" ({row['seeds_with_it']} of {row['seeds']})"
    return text


def _difference(row: pd.Series) -> str:
    value = row["difference"]
    size = abs(value) if pd.notna(value) else 0.0
    return signed(value, steps(size) if row["unit"] == "step" else digits(size))


def steps(value: float) -> str:
    """A step in the short form of the axes: 860, 4.7k, 446k."""
    return count(round(value)) if value >= 10 else f"{value:.2g}"


def digits(value: float) -> str:
    """Two digits below 10, whole numbers above."""
    return f"{value:.0f}" if value >= 10 else f"{value:#.2g}"


def _headings() -> list[str]:
    return ["run", "", *(f"{name} [{unit}]" if unit == "%" else name for name, unit in COLUMNS.values())]


def _caption(results: Results) -> list[str]:
    steps = "Steps are optimiser steps of very different trainings, so compare their order before their size."
    if any(results.of(name) for name in TIMED_CURVES):
        steps += (
            " Those of the paper's Proteína are rows of its log, by the rows per step that follow if its measurements "
            "are 50 steps apart (inferred). Proteína has a row per time t of the path; zero is there the loss of "
            "predicting no velocity."
        )
    if any(results.of(name) for name in DENSITY_CURVES):
        steps += (
            " The paper's VoxMol was measured once per epoch, which for its larger training sets is first after the "
            f"fall; its zero is {scientific(DENSITY_ZERO)}, which we measured on its grid, and its percent is a ratio "
            "of means."
        )
    return [
        "Where the percent of the validation loss that is equivariance error starts, when it first "
        "falls below 10, 5, 2 and 1 percent, its dip, the later peak and its end. Ours: median over seeds, "
        "with the lowest and highest in brackets; paper: the same over its replicates; difference: ours "
        "minus the paper's. All are read off medians in 20 bins per decade of step; dip and peak are the "
        "pair of steps with the largest later rise.",
        "Ours is the percent of the averaged weights as a ratio of means, in closed form where the model "
        "has one. The paper's percent of EScAIP and Proteína is a mean of ratios, so that estimate of ours (from "
        "sampled rotations) has a line of its own. L_mean / zero is L_mean at the dip over the loss of always "
        "answering zero (for the paper's EScAIP over 1, the variance of its targets): near 1 means that the dip is "
        f"the plateau of a model that answers almost nothing. {steps}",
    ]
