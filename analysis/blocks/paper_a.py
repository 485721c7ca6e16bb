"""Blocks of paper A: landmarks of the percent curves, and the error of the percent by rotations."""

from __future__ import annotations

import pandas as pd

from analysis import catalogue
from analysis.blocks.published import Published, table, with_range
from analysis.draw.tabular import ABSENT
from analysis.quantities.rotation_errors import KINDS, errors_over
from analysis.results import Results
from analysis.run_names import ESCAIP, PROTEINA, VOXMOL_NETWORKS
from analysis.tables.a_landmarks import COLUMNS, cell, digits, landmarks_frame

SHOWN = (
    "start",
    "below_10_step",
    "below_1_step",
    "dip",
    "dip_step",
    "L_mean_at_dip",
    "peak",
    "end",
    "end_step",
)
ROTATIONS = (10, 18)
"""As many independent rotations as the papers use, and the smallest product quadrature."""


def escaip(published: Published) -> str:
    """EScAIP's default run: landmarks by tier, beside the paper's."""
    frames = {tier: _of(published.tiers[tier], ESCAIP) for tier in ("mini", "subset")}
    rows = []
    for landmark in SHOWN:
        ours = [cell(frame.loc[ESCAIP, landmark], "ours") for frame in frames.values()]
        rows.append([_heading(landmark), *ours, cell(frames["subset"].loc[ESCAIP, landmark], "paper")])
    return table(
        ["median over seeds [lowest–highest]", *(_column(f) for f in frames.values()), "paper"], rows
    )


def escaip_runs(published: Published) -> str:
    """Every run of EScAIP in subset: when the percent falls below one, and where it ends."""
    names = catalogue.by_name("a_fig2").runs
    frame = _of(published.tiers["subset"], *names)
    chosen = ("below_1_step", "end")
    headings = [
        "run",
        "seeds",
        *(f"{_heading(key)}, {whose}" for key in chosen for whose in ("subset", "paper")),
    ]
    rows = []
    for name in names:
        first = frame.loc[name, "end"]
        cells = [cell(frame.loc[name, key], whose) for key in chosen for whose in ("ours", "paper")]
        rows.append([f"`{name}` ({first['label']})", str(first["seeds"]), *cells])
    return table(headings, rows)


def flows(published: Published) -> str:
    """Proteína by time of the path, and VoxMol's largest network, in mini beside the paper."""
    frame = _of(published.tiers["mini"], PROTEINA, VOXMOL_NETWORKS[0])
    chosen = ("start", "dip", "peak", "end")
    headings = ["median over seeds [lowest–highest]", "seeds", *map(_heading, chosen), "paper's end [%]"]
    rows = []
    for name in dict.fromkeys(frame.index.get_level_values("run")):
        ours = [cell(frame.loc[name, key], "ours") for key in chosen]
        end = frame.loc[name, "end"]
        rows.append([f"`{name}`", str(end["seeds"]), *ours, cell(end, "paper")])
    return table(headings, rows)


def rotations(published: Published) -> str:
    """Error of Proteína's percent by kind and number of rotations, in mini."""
    found = errors_over(published.tiers["mini"].of(PROTEINA))
    rows = [
        [f"{KINDS[kind]}, {count}", with_range(found[kind, count], digits)]
        for count in ROTATIONS
        for kind in KINDS
        if (kind, count) in found
    ]
    seeds = max(quantity.seeds for quantity in found.values())
    return table(
        ["rotations", f"error [percent of the loss], median of {seeds} seeds [lowest–highest]"], rows
    )


def start_dip_end(results: Results, whose: str = "ours") -> str:
    """EScAIP's default curve in three numbers: 65 → 0.14 → 0.52."""
    if not results.of(ESCAIP):
        return ABSENT
    found = _of(results, ESCAIP).loc[ESCAIP][whose]
    return " → ".join(
        ABSENT if pd.isna(found[key]) else digits(found[key]) for key in ("start", "dip", "end")
    )


def _of(results: Results, *names: str) -> pd.DataFrame:
    """Landmarks as ratios of means, by run and landmark."""
    frame = landmarks_frame(results.only(names))
    return frame[frame["estimator"] == "ratio of means"].set_index(["run", "landmark"])


def _heading(landmark: str) -> str:
    name, unit = COLUMNS[landmark]
    return name if unit == "ratio" else f"{name} [{unit}]"


def _column(frame: pd.DataFrame) -> str:
    first = frame.iloc[0]
    return f"`{first['tier']}` ({first['seeds']} seeds)"
