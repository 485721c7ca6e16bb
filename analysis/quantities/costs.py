"""What training took."""

from __future__ import annotations

from collections.abc import Iterable

from analysis.results import Run


def core_minutes(runs: Iterable[Run]) -> float:
    """Wall time of these trainings times their threads [min]; other work on the machine lengthens it."""
    return sum(run.summary["wall_s"] * run.summary["threads"] for run in runs) / 60
