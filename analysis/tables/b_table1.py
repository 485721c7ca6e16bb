"""Paper B, Table 1: test accuracy of VN-PointNet and what relaxes it, on rotated and on aligned shapes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from analysis.captions import Caption
from analysis.draw.tabular import (
    ABSENT,
    Line,
    Table,
    as_html,
    difference,
    markdown,
    of_row,
    signed,
    with_deviation,
)
from analysis.quantities import accuracies
from analysis.quantities.relaxation import PRUNE_BELOW
from analysis.reference.paper_curves import PaperCurves
from analysis.reference.printed import tables
from analysis.results import Results, ResultsError, Run
from analysis.run_names import DATA, VN_METHODS, vn_run
from analysis.tasks import OWN
from models.training.series import Series

PAPER_ROWS = {"plain": "VN-PointNet", "es": "VN-PN+ES", "rpp": "VN-PN+RPP", "recm": "VN-PN+RECM"}
KINDS = ("instance", "class")
SAME = 5e-4
"""Accuracies that differ by less are the same."""
LAST, BEST = "last step", "best test step"
BLOCKS = {
    LAST: "After the last step",
    BEST: "At each seed's best test step (selected on the test set)",
}


def build(results: Results, paper: PaperCurves) -> Table:
    """Long frame for machines, wide table for people. Raises ResultsError if no run was tested."""
    frame = accuracy_frame(results)
    if frame.empty:
        raise ResultsError(
            f"b_table1: no run of tier {results.tier} given here has a test accuracy; train one of them."
        )
    headings = ["", "", "seeds", *(f"{data}, {kind}" for data in DATA for kind in KINDS)]
    lines = _lines(frame)
    return Table(frame, markdown(headings, lines), as_html(headings, lines), _caption())


def accuracy_frame(results: Results) -> pd.DataFrame:
    """A row per block, run, readout and measure: ours over seeds, the paper's, and their difference.

    Measures: `instance` and `class` by the textbook's definitions, and each `_upstream`, a mean over batches.
    """
    rows = []
    for block, chosen in ((LAST, accuracies.last_step), (BEST, accuracies.best_step)):
        for method in VN_METHODS:
            for data in DATA:
                runs = results.of(vn_run(data, method))
                for readout in accuracies.readouts(runs):
                    rows += _rows(results.tier, block, chosen, data, method, runs, readout)
    return pd.DataFrame(rows)


def _rows(
    tier: str,
    block: str,
    chosen: Callable[[Run, str], float | None],
    data: str,
    method: str,
    runs: tuple[Run, ...],
    readout: Series,
) -> list[dict]:
    rows = []
    steps = accuracies.steps(runs, readout, chosen)
    for kind in KINDS:
        theirs = tables("b")["table_1"].cell(PAPER_ROWS[method], f"{data}_{kind}")
        for definition in ("", "_upstream"):
            ours = accuracies.accuracy_over(runs, readout, f"{kind}_accuracy{definition}", chosen)
            if ours is None:
                continue
            rows.append(
                {
                    "tier": tier,
                    "block": block,
                    "run": runs[0].name,
                    "method": method,
                    "data": data,
                    "readout": str(readout),
                    "measure": f"{kind}{definition}",
                    "first_step": min(steps),
                    "last_step": max(steps),
                    "seeds": ours.seeds,
                    "ours": ours.value,
                    "ours_std": ours.std,
                    "ours_low": ours.low,
                    "ours_high": ours.high,
                    "paper": theirs if readout == OWN else None,
                    "difference": difference(ours.value, theirs) if readout == OWN else None,
                }
            )
    return rows


def _lines(frame: pd.DataFrame) -> list[Line]:
    lines = []
    for block, heading in BLOCKS.items():
        lines.append(Line(heading))
        for method, name in PAPER_ROWS.items():
            of_method = frame[(frame["block"] == block) & (frame["method"] == method)]
            own = of_method[of_method["readout"] == str(OWN)]
            if own.empty:
                continue
            lines.append(Line(name, "ours", [_seeds(own), *_cells(own, _ours)]))
            for readout, other in of_method[of_method["readout"] != str(OWN)].groupby("readout", sort=False):
                if not _same(own, other):
                    lines.append(Line("", f"ours, {readout}", [_seeds(other), *_cells(other, _ours)]))
            lines.append(Line("", "paper", ["", *_cells(own, lambda row: f"{row['paper']:.2f}")]))
            lines.append(Line("", "difference", ["", *_cells(own, _difference)]))
    return lines


def _cells(rows: pd.DataFrame, write: Callable[[pd.Series], str]) -> list[str]:
    cells = []
    for data in DATA:
        for kind in KINDS:
            row = rows[(rows["data"] == data) & (rows["measure"] == kind)]
            cells.append(write(row.iloc[0]) if len(row) else ABSENT)
    return cells


def _ours(row: pd.Series) -> str:
    return with_deviation(of_row(row), 3)


def _difference(row: pd.Series) -> str:
    return signed(row["difference"], f"{abs(row['difference']):.2f}")


def _seeds(rows: pd.DataFrame) -> str:
    """3, or 3 / 1 where the data sets have different numbers."""
    return " / ".join(dict.fromkeys(str(n) for n in rows.groupby("data", sort=False)["seeds"].max()))


def _same(own: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether another readout scores as the method's own wherever both were tested."""
    both = own.merge(other, on=["data", "measure"], suffixes=("", "_other"))
    return bool(np.allclose(both["ours"], both["ours_other"], atol=SAME, rtol=0))


def _caption() -> Caption:
    text = (
        "Share of test shapes classified correctly (instance), and the mean over classes of the share within each "
        "(class). Ours: mean ± sample standard deviation over seeds. Paper: its Table 1. Difference: ours minus "
        "the paper's. First block: after the last step. Second block: each seed at its best test step, which "
        "selects on the test set and favours every method."
    )
    readout = (
        "The methods' own readouts: ES projected back to the equivariant network, RPP with its relaxation, RECM "
        f"without terms of |alpha| below {PRUNE_BELOW:g}. Another readout has its own line where its accuracy "
        f"differs by {SAME:g} or more (kept: every term; projected: none)."
    )
    theirs = (
        "The paper's table has no spread and no number of seeds. The code of its training set-up reports the best test "
        "step. The CSV also has that code's definitions (*_upstream): means over batches of the batches' accuracies."
    )
    return Caption.of(text, readout, theirs)
