"""The few numbers that say how a tier came out, for `dvc metrics show`.

    python -m analysis.metrics --figures figures/mini

reads <figures>/a_landmarks.csv and writes <figures>/metrics.json: run -> landmark -> median over
seeds, for a few of them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.results import ResultsError
from models.training.files import replacing

HEADLINES = {
    "start": "start_percent",
    "below_1_step": "below_1_percent_step",
    "dip": "dip_percent",
    "dip_step": "dip_step",
    "L_mean_at_dip": "L_mean_over_zero_at_dip",
    "peak": "later_peak_percent",
    "end": "end_percent",
}


def headlines(figures: Path) -> dict[str, dict[str, float | None]]:
    """run -> headline -> value with four digits, from the table of landmarks in `figures`."""
    table = Path(figures) / "a_landmarks.csv"
    if not table.is_file():
        raise ResultsError(f"{table}: missing; render the table a_landmarks first.")
    frame = pd.read_csv(table)
    frame = frame[frame["estimator"] == "ratio of means"]
    values = frame.pivot_table(index="run", columns="landmark", values="ours", sort=False, dropna=False)
    return {
        run: {name: _digits(row.get(landmark)) for landmark, name in HEADLINES.items()}
        for run, row in values.iterrows()
    }


def write_metrics(figures: Path) -> Path:
    """Write metrics.json beside the figures."""
    found, path = headlines(figures), Path(figures) / "metrics.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n")
    return path


def _digits(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(f"{value:.4g}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m analysis.metrics", description="Write metrics.json.")
    parser.add_argument(
        "--figures", required=True, type=Path, help="folder with a_landmarks.csv, e.g. figures/mini"
    )
    given = parser.parse_args(arguments)
    try:
        print(write_metrics(given.figures))
    except ResultsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
