"""Test errors of predicted positions (paper B, Table 2), and the percents of a validation error."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import pstdev

from analysis.quantities.quantity import Quantity
from analysis.results import Results, Run
from analysis.tasks import Reading, Task
from models.training.series import Series

SELECTED, LAST = "mse_selected", "mse"
"""The error at the step of least validation error, and that after the last step."""


def last(run: Run, metric: str, series: Series, split: str = "val") -> float | None:
    """The last value of a curve, or None where it was not measured."""
    curve = run.curve(metric, series, split)
    return None if curve is None else float(curve.value[-1])


def error(run: Run, series: Series, which: str) -> float | None:
    """Test error of a readout, SELECTED or LAST."""
    return last(run, which, series, split="test")


def error_over(runs: Sequence[Run], series: Series, which: str, task: Task) -> Quantity | None:
    """Mean over seeds in the units in which the table prints a task.

    The deviation is the population's, as the codes print it that the paper's numbers come from (specs segnn.md 4,
    egno.md 4.2).
    """
    values = [error(run, series, which) for run in runs]
    scaled = (None if value is None else 10**task.power * value for value in values)
    return Quantity.of(scaled, f"1e-{task.power}", deviation=pstdev)


def step_of(run: Run, series: Series, which: str) -> float:
    """The step at which an error was measured; nan where it was not."""
    curve = run.curve("selected_step" if which == SELECTED else which, series, split="test")
    if curve is None:
        return float("nan")
    return float(curve.value[-1] if which == SELECTED else curve.step[-1])


def untrained_error(results: Results, prediction: str, task: Task) -> float | None:
    """The error of a prediction that needs no run, as the data of the task's runs tell it, in the table's units."""
    told = (run.data.get("untrained_errors") for name in task.runs for run in results.of(name))
    found = next(filter(None, told), None)
    return None if found is None else 10**task.power * found[prediction]


def other_readouts(runs: Sequence[Run], reading: Reading, task: Task) -> list[Series]:
    """Readouts of a run beside the one that is meant, without those that are a method of their own."""
    meant = {other.series for other in task.readings.values() if other.run == reading.run} | {reading.series}
    return sorted({series for run in runs for series in run.series("test")} - meant)


def end_percent(runs: Sequence[Run], series: Series) -> Quantity | None:
    """Percent of the error that is equivariance error after the last step, mean over seeds."""
    curves = (run.line("percent", series) for run in runs)
    return Quantity.of((None if curve is None else curve.value[-1] for curve in curves), "%")


def largest_percent(runs: Sequence[Run], series: Series) -> Quantity | None:
    """The largest percent at any measured step, mean over seeds."""
    curves = (run.line("percent", series) for run in runs)
    return Quantity.of((None if curve is None else curve.value.max() for curve in curves), "%")
