"""Run folders, read into tidy frames; whatever is missing or half-written is said in one sentence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import pandas as pd
import yaml

from analysis.curves import Curve
from analysis.measure.registry import table_in
from models.training.files import RUN_FILES
from models.training.series import EMA, RAW, SERIES_COLUMNS, ZERO, Series

METRIC_COLUMNS = ("step", "samples_seen", "split", *SERIES_COLUMNS, "t", "metric", "value")
TIMING_COLUMNS = ("step", "wall_s")


class ResultsError(RuntimeError):
    """Results that cannot be used; the message is one sentence that names them and the remedy."""


@dataclass(frozen=True)
class Run:
    """One finished training: what it was asked to do (`config`), and what it measured.

    `metrics` has METRIC_COLUMNS, `timing` step and wall_s [s].
    """

    folder: Path
    config: dict
    summary: dict
    metrics: pd.DataFrame
    timing: pd.DataFrame
    digest: str = field(repr=False)

    @property
    def tier(self) -> str:
        return self.config["run"]["tier"]

    @property
    def name(self) -> str:
        return self.config["run"]["name"]

    @property
    def system(self) -> str:
        return str(self.config["run"].get("system", ""))

    @property
    def dataset(self) -> str:
        return str(self.config["run"].get("dataset", ""))

    @property
    def seed(self) -> int:
        return int(self.config["run"]["seed"])

    @property
    def label(self) -> str:
        return str(self.config["run"].get("label") or self.name)

    @property
    def id(self) -> str:
        return f"{self.tier}/{self.name}/seed{self.seed}"

    @property
    def parameters(self) -> int | None:
        """Number of trainable parameters of the network, without what relaxes it."""
        plain = self.curve("plain", split="relaxation")
        return self.summary.get("parameters") if plain is None else int(plain.value[-1])

    @property
    def data(self) -> dict:
        """What the data are: labels, source, generated, sizes; from the prepared store."""
        return self.summary.get("data") or {}

    def measured(self, name: str, columns: tuple[str, ...]) -> pd.DataFrame | None:
        """The table of a measurement of the trained network, with its settings as `attrs`; None if it was not made."""
        path = table_in(self.folder, name)
        return _table(path, columns) if path.is_file() else None

    @cached_property
    def _curves(self) -> dict[tuple[str, Series, str], Curve]:
        frame = self.metrics[self.metrics["t"].isna()]
        keys = ["split", "metric", *SERIES_COLUMNS]
        return {
            (split, Series(*of), metric): Curve(part["step"].to_numpy(), part["value"].to_numpy())
            for (split, metric, *of), part in frame.groupby(keys, sort=False, observed=True)
        }

    def curve(self, metric: str, series: Series = RAW, split: str = "val") -> Curve | None:
        """The curve of a metric that has no time t, or None where it was not logged."""
        curve = self._curves.get((split, series, metric))
        return curve if curve is not None and len(curve) else None

    def series(self, split: str) -> list[Series]:
        """The series that were logged in a split, in the order of their fields."""
        return sorted({series for other, series, _ in self._curves if other == split})

    @cached_property
    def times(self) -> tuple[float, ...]:
        """Times t of the path at which the percent was measured; none for systems that have no path."""
        measured = self.metrics.loc[self.metrics["metric"] == "percent", "t"]
        return tuple(sorted(measured.dropna().unique()))

    def at(self, t: float, velocity: bool = False) -> Run:
        """The run as if it had been measured at time t alone.

        velocity: losses L of the clean points as those of the velocity, L / (1 - t)^2.
        """
        frame = self.metrics[(self.metrics["t"] == t) | (self.metrics["split"] == "train")]
        frame = frame.assign(t=float("nan"))
        if velocity:
            is_loss = (frame["split"] == "val") & frame["metric"].str.startswith("L_")
            frame["value"] = frame["value"].where(~is_loss, frame["value"] / (1 - t) ** 2)
        return replace(self, metrics=frame)

    def line(self, quantity: str, series: Series = RAW) -> Curve | None:
        """`quantity` in closed form where the model has one, else from sampled rotations."""
        exact = self.curve(f"{quantity}_exact", series)
        return exact if exact is not None else self.curve(quantity, series)

    def has_closed_form(self) -> bool:
        """Whether mu and L_equiv were also computed exactly."""
        return any(metric == "percent_exact" for _, _, metric in self._curves)

    @property
    def plotted_series(self) -> Series:
        """The weights a figure draws thick: the EMA where the run keeps one, else the raw weights."""
        return EMA if self.line("percent", EMA) is not None else RAW

    @property
    def zero_loss(self) -> float | None:
        """Loss of the predictor that always answers zero, on the monitored samples."""
        curve = self.curve("L_total", ZERO)
        return None if curve is None else float(curve.value[0])


@dataclass(frozen=True)
class Results:
    """The runs given to a figure or table, all of one tier, ordered by name and seed."""

    tier: str
    runs: tuple[Run, ...]

    def of(self, name: str) -> tuple[Run, ...]:
        """The seeds of a run; empty if it was not given."""
        return tuple(run for run in self.runs if run.name == name)

    def first(self, name: str) -> Run | None:
        """The first seed of a run, or None."""
        return next(iter(self.of(name)), None)

    def only(self, names: Iterable[str]) -> Results:
        """The runs with one of these names."""
        names = set(names)
        return Results(self.tier, tuple(run for run in self.runs if run.name in names))

    def where(self, chosen: Callable[[Run], bool]) -> Results:
        """The runs of which `chosen` is so."""
        return Results(self.tier, tuple(filter(chosen, self.runs)))

    def absent(self, names: Sequence[str]) -> list[str]:
        """Those of `names` that were not given."""
        given = {run.name for run in self.runs}
        return [name for name in names if name not in given]

    def require(self, names: Sequence[str], output: str) -> None:
        """Refuse to draw `output` without these runs."""
        if absent := self.absent(names):
            raise ResultsError(
                f"{output} needs {_listed(absent)}, not given for tier {self.tier}: "
                f"run `snakemake --cores all figures/{self.tier}/{output}.pdf`, which trains what is missing."
            )


def load_runs(folders: Sequence[Path | str], tier: str) -> Results:
    """Read run folders of one tier. Raises ResultsError, naming every folder that is not complete."""
    folders = [Path(folder) for folder in folders]
    if unfinished := [
        folder for folder in folders if not all((folder / name).is_file() for name in RUN_FILES)
    ]:
        missing = sorted(
            {name for folder in unfinished for name in RUN_FILES if not (folder / name).is_file()}
        )
        raise ResultsError(
            f"{_listed(str(folder) for folder in unfinished)}: {_listed(missing)} missing, so the training "
            f"has not finished; run `snakemake --cores all --config tier={tier}`, which resumes it."
        )
    runs = sorted((load_run(folder) for folder in folders), key=lambda run: (run.name, run.seed))
    if strangers := [str(run.folder) for run in runs if run.tier != tier]:
        raise ResultsError(f"{_listed(strangers)}: not of tier {tier}; one figure shows one tier.")
    if twice := sorted({run.id for run in runs if sum(other.id == run.id for other in runs) > 1}):
        raise ResultsError(f"{_listed(twice)} was given twice; name every run folder once.")
    return Results(tier, tuple(runs))


def load_run(folder: Path | str) -> Run:
    """Read one run folder. Raises ResultsError if a file is missing, cut short or of another shape."""
    folder = Path(folder)
    for name in RUN_FILES:
        if not (folder / name).is_file():
            raise ResultsError(
                f"{folder}: {name} missing, so the training has not finished; run it again to resume."
            )
    config, summary = _yaml(folder / "run.yaml"), _json(folder / "summary.json")
    identity = config.get("run") if isinstance(config, dict) else None
    if not isinstance(identity, dict) or not {"tier", "name", "seed"} <= identity.keys():
        raise ResultsError(
            f"{folder / 'run.yaml'}: no `run` block with tier, name and seed; let Snakemake write it."
        )
    metrics = _table(folder / "metrics.parquet", METRIC_COLUMNS)
    if metrics.empty:
        raise ResultsError(
            f"{folder / 'metrics.parquet'}: holds no measurement; delete the file and train again."
        )
    return Run(
        folder=folder,
        config=config,
        summary=summary,
        metrics=metrics,
        timing=_table(folder / "timing.parquet", TIMING_COLUMNS),
        digest=hashlib.sha256((folder / "metrics.parquet").read_bytes()).hexdigest(),
    )


def _table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except Exception as error:
        raise ResultsError(
            f"{path}: cannot be read as parquet, probably cut short ({type(error).__name__}); "
            "delete the run's folder and train again."
        ) from error
    if absent := [column for column in columns if column not in frame.columns]:
        raise ResultsError(f"{path}: lacks the column {_listed(absent)}; it was not written by models.train.")
    return frame


def _yaml(path: Path) -> dict:
    try:
        return yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ResultsError(
            f"{path}: not YAML ({type(error).__name__}); let Snakemake write it again."
        ) from error


def _json(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ResultsError(
            f"{path}: not JSON, probably cut short; delete the file and train again, which resumes."
        ) from error


def _listed(items: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    items = list(items)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
