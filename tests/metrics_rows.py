"""Rows of metrics.parquet for tests: written by logging keys, read with the name of each row's series."""

import pandas as pd

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
