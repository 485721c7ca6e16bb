"""What relaxing costs, as shares of the plain network's (paper B, Table 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from analysis.quantities.quantity import Quantity
from analysis.quantities.relaxation import active_ratio, step_time
from analysis.results import Run


def extra_parameters(relaxed: Run, plain: Run) -> float | None:
    """Parameters that pruning leaves after the last step, beyond the plain network's, as a share of those."""
    ratio = active_ratio(relaxed)
    return None if ratio is None else float(ratio.value[-1]) - 1.0


def extra_time(relaxed: Run, plain: Run) -> float | None:
    """Median time of a training step over that of the plain run, minus one."""
    ours, base = step_time(relaxed), step_time(plain)
    return None if ours is None or not base else ours / base - 1.0


MEASURES: dict[str, Callable[[Run, Run], float | None]] = {
    "inference_parameters": extra_parameters,
    "training_time": extra_time,
}


def pairs(relaxed: Sequence[Run], plain: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Each relaxed run beside the plain one of its seed."""
    of_seed = {run.seed: run for run in plain}
    return [(run, of_seed[run.seed]) for run in relaxed if run.seed in of_seed]


def overhead(of_seeds: Sequence[tuple[Run, Run]], measure: str) -> Quantity | None:
    """A measure, mean over seeds."""
    return Quantity.of(MEASURES[measure](relaxed, plain) for relaxed, plain in of_seeds)
