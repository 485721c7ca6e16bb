"""The numbers printed in the two papers, and the landmarks of paper A's curves, as data of this repository.

`paper_a.yaml` and `paper_b.yaml` restate what the papers print, each with the place where it stands;
`landmarks.csv` is derived from the recovered curves by `analysis.reference.derive`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd
import yaml

from analysis.results import ResultsError

READS = ("paper_a.yaml", "paper_b.yaml", "landmarks.csv")
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Printed:
    """One number (or range, or list) that a paper prints.

    relation: how the paper states it: "=", "<", "<=", ">", "~". note: what a reader must know to use it.
    """

    id: str
    value: float | str | list
    source: str
    unit: str | None = None
    relation: str = "="
    when: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class PrintedTable:
    """A table that a paper prints: cells by row name, in the order of `columns`; None where empty."""

    id: str
    about: str
    source: str
    columns: list[str]
    rows: dict[str, list[float | None]]
    better: str | None = None

    def cell(self, row: str, column: str) -> float | None:
        """One number of the table."""
        return self.rows[row][self.columns.index(column)]


@lru_cache(maxsize=2)
def numbers(paper: str) -> dict[str, Printed]:
    """Every printed number of paper "a" or "b" by its id."""
    entries = _document(paper)["numbers"]
    found = {entry["id"]: Printed(**entry) for entry in entries}
    if len(found) != len(entries):
        raise ResultsError(f"paper_{paper}.yaml: an id occurs twice.")
    return found


@lru_cache(maxsize=2)
def tables(paper: str) -> dict[str, PrintedTable]:
    """Every printed table of paper "a" or "b" by its id."""
    return {entry["id"]: PrintedTable(**entry) for entry in _document(paper).get("tables", [])}


@lru_cache(maxsize=1)
def paper_landmarks() -> dict[tuple[str, str], dict[str, float | None]]:
    """Landmarks of paper A's unsmoothed curves: (file, series) -> landmark -> value."""
    frame = pd.read_csv(HERE / "landmarks.csv", dtype={"t": str, "series": str, "panel": str, "figure": str})
    frame = frame[frame["variant"] == "raw"]
    return {
        (row["file"], row["series"]): {key: None if pd.isna(value) else value for key, value in row.items()}
        for row in frame.to_dict("records")
    }


def _document(paper: str) -> dict:
    return yaml.safe_load((HERE / f"paper_{paper}.yaml").read_text())
