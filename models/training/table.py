"""The metrics of a run as one tidy table: a Lightning logger that survives interruption.

During a run, rows are appended to `metrics.jsonl`; a resumed run first drops the rows after its checkpoint. At the end
they become metrics.parquet, which contains no wall-clock times and is therefore identical for identical runs, and
timing.parquet.

A row of metrics.parquet is one value. `step` and `samples_seen` say when it was measured. `split` says on which samples
(train; val: those of the monitor; validation; test), or is "relaxation" for quantities of the relaxed layers.
`weights`, `readout`, `group`, `without` and `place` say what it describes (models.training.series.Series). `t` is the
time on a flow's path, or nan. `metric` and `value` are its name and number.
"""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from data.files import replacing
from models.training.series import SERIES_COLUMNS, parse_key

SORTED_BY = ["step", "split", *SERIES_COLUMNS, "t", "metric"]
COLUMNS = ["step", "samples_seen", *SORTED_BY[1:], "value"]
TYPES = {"step": "int64", "samples_seen": "int64", "t": "float64", "value": "float64"}


class MetricsTable(Logger):
    """Collects the rows of metrics.parquet.

    file: the file of rows during the run. samples_seen: maps a step to the number of examples seen by then.
    """

    def __init__(self, file: Path, samples_seen: Callable[[int], int]):
        super().__init__()
        self.file = file
        self.samples_seen = samples_seen
        self.rows = 0
        self.wall_before = 0.0
        self.started = time.monotonic()

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params, *args, **kwargs) -> None:
        """Does nothing: the configuration is in run.yaml."""

    @property
    def wall_s(self) -> float:
        """Seconds spent on this run so far, over all of its processes."""
        return self.wall_before + time.monotonic() - self.started

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        values = {key: float(value) for key, value in metrics.items() if key != "epoch"}
        if values:
            with self.file.open("a") as file:
                file.write(json.dumps({"step": step, "wall_s": self.wall_s, "values": values}) + "\n")
            self.rows += 1

    @rank_zero_only
    def rewind(self, rows: int) -> None:
        """Keeps the first `rows` entries and drops the rest; wall time continues from the last one kept."""
        lines = self.file.read_text().splitlines()[:rows] if self.file.exists() else []
        if len(lines) < rows:
            raise ValueError(
                f"{self.file}: holds {len(lines)} entries but its checkpoint was written after {rows}; "
                "delete this folder to train the run anew"
            )
        with replacing(self.file) as temporary:
            temporary.write_text("".join(line + "\n" for line in lines))
        self.rows = rows
        self.wall_before = json.loads(lines[-1])["wall_s"] if lines else 0.0
        self.started = time.monotonic()

    def write_tables(self, folder: Path) -> pd.DataFrame:
        """Writes metrics.parquet and timing.parquet atomically. Returns the metrics."""
        logged = [json.loads(line) for line in self.file.read_text().splitlines()]
        rows = [
            {
                "step": row["step"],
                "samples_seen": self.samples_seen(row["step"]),
                **parse_key(key),
                "value": value,
            }
            for row in logged
            for key, value in row["values"].items()
        ]
        metrics = pd.DataFrame(rows, columns=COLUMNS).astype(TYPES)
        metrics = metrics.sort_values(SORTED_BY, kind="stable", ignore_index=True)
        timing = pd.DataFrame(logged, columns=["step", "wall_s"]).groupby("step", as_index=False).max()
        for name, frame in {"metrics": metrics, "timing": timing}.items():
            with replacing(folder / f"{name}.parquet") as temporary:
                frame.to_parquet(temporary, index=False)
        return metrics
