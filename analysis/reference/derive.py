"""Landmarks of every curve of paper A, by the definitions of analysis.quantities.landmarks.

`python -m analysis.reference.derive` reads the binned curves and rewrites `landmarks.csv` beside this file; figures and
tables read that file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from analysis.quantities.landmarks import first_below, landmarks
from analysis.reference.paper_curves import (
    DENSITY_CURVES,
    DENSITY_ZERO,
    LOSS_CURVES,
    PERCENT_CURVES,
    PaperCurves,
    open_paper_curves,
)
from analysis.results import ResultsError

TARGET = Path(__file__).with_name("landmarks.csv")
PERCENT_FILES = (
    "fig1e_escaip", "fig1e_proteina", "fig2a", "fig2b", "fig2d", "fig2e", "fig2f",
    "fig3a", "fig3e", "fig3f", "fig3g", "fig4a", "fig4b",
)  # fmt: skip
ZERO_LOSS = 1.0
"""Level of the constant-zero predictor of the paper's EScAIP: targets are normalised to unit variance."""


def derive(paper: PaperCurves) -> pd.DataFrame:
    """One row per curve; percent curves in percent, losses in their own unit.

    The first bin of every curve holds the first evaluation alone (the second is at twice its step), so the
    bins give the start as well.
    """
    rows = []
    for entry in paper.index.itertuples(index=False):
        key = (entry.file, entry.series, entry.variant, entry.t)
        scale = 100.0 if entry.file in PERCENT_FILES else 1.0
        bins = paper.bins(*key).scaled(scale)
        row = landmarks(bins, bins=bins).as_row()
        if scale == 1.0:
            row = {name: (None if name.startswith("below_") else value) for name, value in row.items()}
        unit = "percent" if scale == 100.0 else "loss"
        rows.append({**entry._asdict(), "unit": unit, **row, **_plateau(paper, key, row)})
    return pd.DataFrame(rows)


def _plateau(paper: PaperCurves, key: tuple[str, str, str, str], row: dict) -> dict:
    """L_mean at the dip and the step at which it passes the zero predictor, where the paper shows losses."""
    zeros = {PERCENT_CURVES[run][0]: (run, ZERO_LOSS) for run in LOSS_CURVES}
    zeros |= {(file, name): (run, DENSITY_ZERO) for run, (file, _, name) in DENSITY_CURVES.items()}
    if key[:2] not in zeros or row["dip_step"] is None:
        return {"L_mean_at_dip": None, "L_mean_below_zero_step": None}
    run, zero = zeros[key[:2]]
    L_mean = paper.losses_of(run)["L_mean"].median
    return {
        "L_mean_at_dip": float(L_mean.at(row["dip_step"])) / zero,
        "L_mean_below_zero_step": first_below(L_mean, zero),
    }


def main() -> int:
    """Rewrite landmarks.csv from the binned curves."""
    try:
        derive(open_paper_curves()).to_csv(TARGET, index=False, float_format="%.6g")
    except ResultsError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"wrote {TARGET}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
