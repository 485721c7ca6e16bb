"""Landmarks of the percent curves of EScAIP, Proteína and VoxMol, ours beside the paper's."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis import catalogue
from analysis.captions import Caption
from analysis.draw.tabular import ABSENT, Line, Table, as_html, markdown, signed
from analysis.quantities.landmarks import LEVELS, measured, run_landmarks
from analysis.quantities.landmarks import landmark as landmark_of
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
class Entry:
    """Curves that are compared: what they are called, the seeds of a run, the landmarks of the paper's replicates."""

    name: str
    runs: tuple[Run, ...]
    paper: list[dict]


def entries(results: Results) -> list[Entry]:
    """A run, or a run at one time of the path, whose percents were measured there by every seed."""
    names = catalogue.by_name("a_landmarks").runs
    return [Entry(name, runs, _papers(name)) for name, runs in measured(results, names).items()]


def _papers(entry: str) -> list[dict]:
    """Landmarks of the paper's replicates of a run, or of a run at one time."""
    theirs = paper_landmarks()
    name, _, time = entry.partition(" ")
    if name in PERCENT_CURVES:
        return [theirs[key] for key in PERCENT_CURVES[name]]
    if name in DENSITY_CURVES:
        file, _, series = DENSITY_CURVES[name]
        return [theirs[file, series]]
    row = theirs.get((TIMED_CURVES[name]["percent"], time)) if name in TIMED_CURVES else None
    return [] if row is None else [_over_steps(row, ROWS_PER_STEP[name])]


def _over_steps(row: dict, rows_per_step: float) -> dict:
    """Landmarks of a curve over rows of a log, as of one over optimiser steps."""
    return {
        key: value / rows_per_step if key.endswith("_step") and value is not None else value
        for key, value in row.items()
    }


def build(results: Results, paper: PaperCurves) -> Table:
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
                ours, paper = landmark_of(ours_rows, landmark, unit), landmark_of(entry.paper, landmark, unit)
                rows.append(
                    {
                        "tier": results.tier,
                        "run": entry.name,
                        "label": entry.runs[0].label,
                        "parameters": entry.runs[0].parameters,
                        "estimator": estimator,
                        "landmark": landmark,
                        "unit": unit,
                        "seeds": len(ours_rows),
                        "seeds_with_it": ours.seeds if ours else 0,
                        "ours": ours and ours.value,
                        "ours_low": ours and ours.low,
                        "ours_high": ours and ours.high,
                        "replicates": len(entry.paper),
                        "paper": paper and paper.value,
                        "paper_low": paper and paper.low,
                        "paper_high": paper and paper.high,
                        "difference": ours.value - paper.value if ours and paper else None,
                        "ratio": ours.value / paper.value if ours and paper and paper.value else None,
                    }
                )
    return pd.DataFrame(rows)


def _lines(frame: pd.DataFrame) -> list[Line]:
    """The table for people."""
    lines = []
    for name, of_run in frame.groupby("run", sort=False):
        label = of_run["label"].iloc[0]
        for estimator, whose in ESTIMATORS.items():
            part = of_run[of_run["estimator"] == estimator].set_index("landmark")
            if len(part):
                cells = [cell(part.loc[k], "ours") for k in COLUMNS]
                about = f"{name} ({label})" if estimator == "ratio of means" else ""
                lines.append(Line(about, whose, cells))
        main = of_run[of_run["estimator"] == "ratio of means"].set_index("landmark")
        lines.append(Line("", "paper", [cell(main.loc[k], "paper") for k in COLUMNS]))
        lines.append(Line("", "difference", [_difference(main.loc[k]) for k in COLUMNS]))
    return lines


def cell(row: pd.Series, whose: str) -> str:
    """A landmark as the table prints it, ours or the paper's: median [lowest–highest]."""
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


def _caption(results: Results) -> Caption:
    levels = ", ".join(f"{level:g}" for level in LEVELS)
    text = (
        "Percent of the validation loss that is equivariance error: where it starts, when it first falls below "
        f"{levels} percent, its dip, the later peak and its end. Ours: median over seeds [lowest–highest]. Paper: "
        "the same over its replicates. Difference: ours minus the paper's. L_mean / zero: L_mean at the dip over "
        "the loss of the predictor that always answers zero. Steps are optimiser steps of trainings of different "
        "length and rate."
    )
    read = (
        "All but the start are read off medians in bins of the step axis. Dip and peak are the pair of steps with "
        "the largest later rise. Ours are percents of the averaged weights as ratios of means, in closed form "
        "where the model has one. The paper's percent of EScAIP and Proteína is a mean of ratios; that estimate of "
        "ours, from sampled rotations, has its own line. For the paper's EScAIP, zero's loss is 1, the variance of "
        "its targets."
    )
    timed = (
        "Proteína has a line per time t of the path; zero is there the loss of predicting no velocity. The paper's "
        "rows of its log are converted to steps; we assume that its measurements are 50 steps apart."
        if any(results.of(name) for name in TIMED_CURVES)
        else ""
    )
    dense = (
        "The paper's VoxMol was measured once per epoch; its percent is a ratio of means, and its zero is "
        f"{scientific(DENSITY_ZERO)}, which we measured on its grid."
        if any(results.of(name) for name in DENSITY_CURVES)
        else ""
    )
    return Caption.of(text, read, timed, dense)
