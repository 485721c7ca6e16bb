"""Blocks of paper B: accuracies, test errors, and what RECM's terms do after training."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.blocks.published import TIERS, Published, number, table, with_range, with_seeds
from analysis.draw.tabular import ABSENT, of_row
from analysis.quantities import accuracies, errors
from analysis.quantities.quantity import Quantity
from analysis.quantities.relaxation import active_ratio_over, largest_alpha_over
from analysis.results import Results, Run
from analysis.run_names import DATA, SIZES, VN_METHODS, vn_run
from analysis.run_names import METHODS as NAMES
from analysis.tables import b_table1, b_table2
from analysis.tables.a_landmarks import digits
from analysis.tasks import KEPT, MOTIONS, NBODY, OWN, TASKS, VERTICAL, Task
from models.training.series import Series

REDUCED = ("mini", "subset")
PROJECTED = Series(readout="projected")
RELAXED = {
    **{f"VN-PointNet, {data} shapes": vn_run(data, "recm") for data in DATA},
    **{task.title: task.readings["recm"].run for task in TASKS},
}
"""RECM's runs by what they are of."""
ROUNDING = 1e-4
"""Percents below are the rounding of an equivariant network."""


def two_decimals(value: float) -> str:
    return f"{value:.2f}"


def percent(value: float) -> str:
    """Two digits, whole numbers above 10; what is rounding is said to be small."""
    return f"< {ROUNDING:g}" if value < ROUNDING else digits(value)


def vn_accuracies(published: Published) -> str:
    """Instance accuracy after the last step, by method."""
    headings = ["instance accuracy", *(f"`{tier}`, {data}" for tier in REDUCED for data in DATA)]
    rows = []
    frames = {tier: b_table1.accuracy_frame(published.tiers[tier]) for tier in REDUCED}
    for method in VN_METHODS:
        found = [_accuracy(frames[tier], method, data) for tier in REDUCED for data in DATA]
        paper = [f"{_accuracy(frames['subset'], method, data)['paper']:.2f}" for data in DATA]
        rows.append([NAMES[method], *(with_seeds(of_row(row), 3) for row in found), *paper])
    note = (
        "Ours: after the last step, mean ± sample standard deviation (number of seeds); ES projected, RPP with its "
        "terms, RECM pruned. Paper: its Table 1."
    )
    return f"{table([*headings, *(f'paper, {data}' for data in DATA)], rows)}\n\n{note}"


def _accuracy(frame: pd.DataFrame, method: str, data: str) -> pd.Series:
    chosen = frame[
        (frame["block"] == b_table1.LAST)
        & (frame["method"] == method)
        & (frame["data"] == data)
        & (frame["readout"] == str(OWN))
        & (frame["measure"] == "instance")
    ]
    return chosen.iloc[0]


def vn_constraint_sets(published: Published) -> str:
    """RECM's instance accuracy by the number of rotations in the update rule."""
    rows = []
    for size in SIZES:
        cells = []
        for tier in REDUCED:
            for data in DATA:
                runs = published.tiers[tier].of(vn_run(data, "recm", size))
                found = last_accuracy(runs)
                cells.append(f"{with_range(found, two_decimals)} ({found.seeds})" if found else ABSENT)
        rows.append([str(size), *cells])
    headings = [r"\|C_G\|", *(f"`{tier}`, {data}" for tier in REDUCED for data in DATA)]
    return f"{table(headings, rows)}\n\nInstance accuracy: mean [lowest–highest] (number of seeds)."


def last_accuracy(runs: Sequence[Run], series: Series = OWN) -> Quantity | None:
    """Instance accuracy after the last step, mean over seeds."""
    return accuracies.accuracy_over(runs, series, "instance_accuracy", accuracies.last_step)


def recm(published: Published) -> str:
    """After training, by network, data and tier: alphas, parameters, equivariance error."""
    rows = []
    for name, run in RELAXED.items():
        for tier in TIERS:
            if not (runs := published.tiers[tier].of(run)):
                continue
            alphas = (largest_alpha_over(runs, term) for term in ("W", "b", "noise"))
            rows.append(
                [
                    name,
                    f"`{tier}`",
                    str(len(runs)),
                    *(ABSENT if alpha is None else f"{alpha.value:.2g}" for alpha in alphas),
                    with_range(active_ratio_over(runs), two_decimals),
                    with_range(errors.end_percent(runs, OWN), percent),
                ]
            )
    headings = [
        *("RECM on", "tier", "seeds"),
        *(rf"largest \|alpha_{term}\|" for term in ("W", "b", "noise")),
        *("parameters kept / plain", "equivariance error [% of the loss]"),
    ]
    note = (
        "The largest alpha over all layers and seeds; mean over seeds [lowest–highest] of the others, of the pruned "
        "network. Percents are of the loss on inputs turned at random."
    )
    return f"{table(headings, rows, names=2)}\n\n{note}"


def pruning(published: Published) -> str:
    """By how much pruning changes the accuracy of RECM's VN-PointNet at most."""
    rows = []
    for tier in REDUCED:
        cells = []
        for data in DATA:
            runs = published.tiers[tier].of(vn_run(data, "recm"))
            changes = [last_accuracy([run]).value - last_accuracy([run], KEPT).value for run in runs]
            cells.append(f"{max(map(abs, changes)):.3f}")
        rows.append([f"`{tier}`", *cells])
    return table(
        ["largest change of accuracy by pruning, over seeds", *(f"{data} shapes" for data in DATA)], rows
    )


def table_2(published: Published) -> str:
    """Test errors of subset beside the paper's."""
    frame = b_table2.error_frame(published.tiers["subset"])
    frame = frame[(frame["choice"] == b_table2.SELECTED) & frame["meant"] & frame["ours"].notna()]
    rows = []
    for name, of_row_ in frame.groupby("row", sort=False):
        cells = []
        for task in TASKS:
            found = of_row_[of_row_["task"] == task.key]
            cells += _beside(found.iloc[0]) if len(found) else [ABSENT, ABSENT]
        rows.append([str(name), *cells])
    headings = ["test error", *(text for task in TASKS for text in (_in_units(task), "paper"))]
    note = (
        "Ours: at the step of least validation error, mean ± population standard deviation (number of seeds). "
        "Methods (plain to RECM) relax SEGNN on N-body and EGNO on motion capture."
    )
    return f"{table(headings, rows)}\n\n{note}"


def _beside(row: pd.Series) -> list[str]:
    ours = number(row["ours"]) if row["seeds"] == 0 else with_seeds(of_row(row))
    return [ours, ABSENT if pd.isna(row["paper"]) else f"{row['paper']:g}"]


def _in_units(task: Task) -> str:
    return f"{task.name} [{b_table2.UNITS[task.power]}]"


def nbody_sizes(published: Published) -> str:
    """Test errors on particles by method, reduced and at the published size."""
    tiers = ("subset", "subset-published")
    frame = b_table2.error_frame(published.tiers["subset"])
    frame = frame[(frame["choice"] == b_table2.SELECTED) & frame["meant"] & (frame["task"] == NBODY.key)]
    paper = frame.set_index("row")["paper"]
    rows = []
    for method, reading in NBODY.readings.items():
        name = NAMES[method]
        cells = [
            with_seeds(nbody_error(published.tiers[tier], reading.run, reading.series)) for tier in tiers
        ]
        rows.append([name, *cells, f"{paper[name]:g}"])
    run = NBODY.readings["recm"].run
    cells = [with_seeds(nbody_error(published.tiers[tier], run, PROJECTED)) for tier in tiers]
    rows.append(["RECM, without any of its terms", *cells, ABSENT])
    headings = [f"test error, {_in_units(NBODY)}", *(f"`{tier}`" for tier in tiers), "paper"]
    note = (
        "Ours: at the step of least validation error, mean ± population standard deviation (number of seeds)."
    )
    return f"{table(headings, rows)}\n\n{note}"


def nbody_error(results: Results, run: str, series: Series = OWN) -> Quantity | None:
    """Test error on particles, in the units of Table 2."""
    return errors.error_over(results.of(run), series, errors.SELECTED, NBODY)


def motion_symmetry(published: Published) -> str:
    """How much of RECM's error on turned motions is equivariance error, under which rotations."""
    rows = []
    for task in MOTIONS:
        for tier in REDUCED:
            runs = published.tiers[tier].of(task.readings["recm"].run)
            found = (errors.end_percent(runs, Series(group=group)) for group in ("", VERTICAL))
            rows.append(
                [task.name, f"`{tier}`", str(len(runs)), *(with_range(share, percent) for share in found)]
            )
    headings = ["RECM's EGNO", "tier", "seeds", "all rotations [%]", "those about the vertical [%]"]
    return f"{table(headings, rows, names=2)}\n\nMean over seeds [lowest–highest], after the last step."
