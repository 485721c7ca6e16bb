"""Test accuracies of classifiers (paper B, Table 1), by readout, after the last step or at the best one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from analysis.curves import Curve
from analysis.quantities.quantity import Quantity
from analysis.results import Run
from analysis.tasks import OWN
from models.training.series import Series

Chosen = Callable[[Run, Series], float | None]
"""The step at which a run is read."""


def accuracy(run: Run, series: Series, measure: str) -> Curve | None:
    """Test accuracy of a readout; measures: instance_accuracy, class_accuracy, each also with _upstream."""
    return run.curve(measure, series, split="test")


def last_step(run: Run, readout: Series) -> float | None:
    """The last step at which the readout was tested."""
    curve = accuracy(run, readout, "instance_accuracy")
    return None if curve is None else float(curve.step[-1])


def best_step(run: Run, readout: Series) -> float | None:
    """The first step of the readout's highest instance accuracy on the test set."""
    curve = accuracy(run, readout, "instance_accuracy")
    return None if curve is None else float(curve.step[np.argmax(curve.value)])


def readouts(runs: Sequence[Run]) -> list[Series]:
    """The method's own first, then the others that were tested."""
    found = {series for run in runs for series in run.series("test")}
    return sorted(found, key=lambda series: (series != OWN, series))


def steps(runs: Sequence[Run], readout: Series, chosen: Chosen) -> list[float]:
    """The steps at which the seeds are read."""
    return [step for run in runs if (step := chosen(run, readout)) is not None]


def accuracy_over(runs: Sequence[Run], readout: Series, measure: str, chosen: Chosen) -> Quantity | None:
    """Mean over seeds of an accuracy at each seed's chosen step."""
    return Quantity.of(_at(accuracy(run, readout, measure), chosen(run, readout)) for run in runs)


def _at(curve: Curve | None, step: float | None) -> float | None:
    return None if curve is None or step is None else float(curve.value[curve.step == step][0])
