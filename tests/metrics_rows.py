"""Rows of metrics.parquet for tests: written by logging keys, read with the name of each row's series."""

from pathlib import Path

import pandas as pd

from analysis.measure.attribution import COLUMNS as ATTRIBUTION
from analysis.measure.registry import table_in
from models.training.series import SERIES_COLUMNS, Series, parse_key
from models.training.table import COLUMNS


def metrics_frame(rows) -> pd.DataFrame:
    """rows: (step, samples_seen, split, series as in a key, t, metric, value)."""
    typed = [
        {
            "step": step,
            "samples_seen": seen,
            **parse_key(f"{split}/{series}/{metric}"),
            "t": t,
            "value": value,
        }
        for step, seen, split, series, t, metric, value in rows
    ]
    return pd.DataFrame(typed, columns=COLUMNS)


def named(metrics: pd.DataFrame) -> pd.DataFrame:
    """With a column `series`: raw, kept, raw-vertical, without <place>, ..."""
    return metrics.assign(
        series=[str(Series(*of)) for of in metrics[[*SERIES_COLUMNS]].itertuples(index=False)]
    )


def write_metrics(folder: Path, metrics: pd.DataFrame) -> None:
    """metrics.parquet, and what was measured without a place's terms, with the last losses of all, in its own table."""
    left_out = metrics["without"] != ""
    metrics[~left_out].to_parquet(folder / "metrics.parquet", index=False)
    if left_out.any():
        last = metrics["step"] == metrics.loc[left_out, "step"].max()
        own = (metrics["split"] == "val") & (metrics["weights"] == "raw") & (metrics["readout"] == "own")
        path = table_in(folder, "attribution")
        path.parent.mkdir(exist_ok=True)
        metrics.loc[last & own, list(ATTRIBUTION)].to_parquet(path, index=False)
