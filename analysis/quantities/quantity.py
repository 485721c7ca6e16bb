"""A number over the seeds of a run, with its interval."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import mean, stdev


@dataclass(frozen=True)
class Quantity:
    """value: the mean or median over seeds. low, high: the least and the largest of them, which is the interval.

    std: their standard deviation, None for one seed. unit: "" for a share or a ratio, "%", "step", "1e-3", ...
    """

    value: float
    low: float
    high: float
    seeds: int
    unit: str = ""
    std: float | None = None

    @classmethod
    def of(
        cls,
        values: Iterable[float | None],
        unit: str = "",
        *,
        middle: Callable[..., float] = mean,
        deviation: Callable[..., float] = stdev,
    ) -> Quantity | None:
        """Of one value per seed, None of a seed that has none; None for no value.

        middle: statistics.mean or median. deviation: stdev, the sample's, or pstdev, the population's.
        """
        known = [float(value) for value in values if value is not None]
        if not known:
            return None
        std = deviation(known) if len(known) > 1 else None
        return cls(middle(known), min(known), max(known), len(known), unit, std)
