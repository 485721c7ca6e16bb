"""The published results by tier, and how blocks write a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path

from analysis.draw.tabular import ABSENT, with_deviation
from analysis.quantities.quantity import Quantity
from analysis.results import Results, load_runs

TIERS = ("mini", "subset", "subset-published")
"""The tiers of which results are published, in the order of columns."""


class Published:
    """What results/published holds below `root`, read when it is first asked for."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "results" / "published"

    @cached_property
    def tiers(self) -> dict[str, Results]:
        """The runs of every tier."""
        return {tier: self._load(tier) for tier in TIERS}

    def _load(self, tier: str) -> Results:
        found = sorted(path.parent for path in self._folder.glob(f"{tier}/*/seed*/summary.json"))
        return load_runs(found, tier)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], names: int = 1) -> str:
    """A pipe table; the first `names` columns are text, the others numbers."""
    marks = ["---"] * names + ["---:"] * (len(headings) - names)
    return "\n".join(f"| {' | '.join(row)} |" for row in (headings, marks, *rows))


def decimals(value: float) -> int:
    """Decimals that show three significant digits: 2 of 5.35, 0 of 306."""
    return max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0


def number(value: float) -> str:
    """Three significant digits, and all before the point: 5.35, 28.0, 1765."""
    return f"{value:.{decimals(value)}f}"


def with_seeds(quantity: Quantity | None, places: int | None = None) -> str:
    """0.68 ± 0.02 (3): mean, deviation and number of seeds; one seed has no deviation. places: decimals."""
    if quantity is None:
        return ABSENT
    return f"{with_deviation(quantity, decimals(quantity.value) if places is None else places)} ({quantity.seeds})"


def with_range(quantity: Quantity | None, write: Callable[[float], str]) -> str:
    """0.68 [0.6–0.7]: the middle, and the least and the largest seed where they are written differently."""
    if quantity is None:
        return ABSENT
    low, high = write(quantity.low), write(quantity.high)
    return write(quantity.value) + (f" [{low}–{high}]" if low != high else "")
