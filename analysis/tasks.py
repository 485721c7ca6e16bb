"""The tasks of paper B's Table 2, charged particles and motion capture: which runs compare the methods on each.

Where one run is read twice (ACE on particles: exact and approximate), a method is a run and one of its series.
Names only: the Snakefile imports this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from models.training.series import Series

if TYPE_CHECKING:
    from analysis.results import Results, Run

OWN, KEPT = Series(), Series(readout="kept")
"""A method's own readout, and the network with every term."""
VERTICAL = "vertical"
"""The group of rotations about the vertical alone, which motion capture is measured under, too."""


@dataclass(frozen=True)
class Reading:
    """A run, and the series of the readout that is meant: the method's own unless it says otherwise."""

    run: str
    series: Series = OWN


@dataclass(frozen=True)
class Task:
    """What is predicted, by which network the methods are compared, and where each of them is read.

    dataset: the folder under data/; motion: which part of motion capture, None for data of one kind.
    power: errors are printed in units of 10^-power.
    """

    key: str
    name: str
    dataset: str
    motion: str | None
    network: str
    power: int
    readings: Mapping[str, Reading] = field(hash=False)

    @property
    def runs(self) -> tuple[str, ...]:
        """Names of the methods' runs, each once."""
        return tuple(dict.fromkeys(reading.run for reading in self.readings.values()))

    def is_of(self, run: Run) -> bool:
        """Whether a run has learned this task."""
        return run.dataset == self.dataset and run.data.get("motion") == self.motion

    @property
    def title(self) -> str:
        """The network and what it predicts: SEGNN, N-body."""
        return f"{self.network}, {self.name}"


def _separate(stem: str, *methods: str) -> dict[str, Reading]:
    return {method: Reading(f"{stem}-{method}") for method in methods}


NBODY = Task(
    "nbody",
    "N-body",
    "nbody",
    None,
    "SEGNN",
    3,
    {
        **_separate("segnn", "plain", "es"),
        "ace-exact": Reading("segnn-ace"),
        "ace-appr": Reading("segnn-ace", KEPT),
        **_separate("segnn", "recm"),
    },
)
RUN, WALK = MOTIONS = tuple(
    Task(
        motion,
        motion,
        "mocap",
        motion,
        "EGNO",
        2,
        _separate(f"egno-{motion}", "plain", "es", "ace-exact", "ace-appr", "recm"),
    )
    for motion in ("run", "walk")
)
TASKS = (NBODY, RUN, WALK)
METHODS = tuple(NBODY.readings)
"""Methods of Table 2 by what run names call them, in the paper's order."""
METHOD_RUNS = tuple(name for task in TASKS for name in task.runs)


def baseline(network: str) -> dict[str, Reading]:
    """Where an unrelaxed network of Table 2 is read, by task."""
    return {task.key: Reading(f"{task.key}-{network}") for task in TASKS}


NETWORKS = {
    "Linear": baseline("linear"),
    "RF": baseline("rf"),
    "GNN": baseline("gnn"),
    "EGNN": baseline("egnn"),
    "EGNO": {NBODY.key: Reading("egno-nbody-plain")},
}
"""The other networks of Table 2 that are trained here: name -> task -> where it is read."""
SYSTEMS = ("segnn", "egno", "baselines")
"""The systems, folders under models/, that all of these are of."""
DATASETS = tuple(dict.fromkeys(task.dataset for task in TASKS))
NETWORK_RUNS = tuple(reading.run for readings in NETWORKS.values() for reading in readings.values())


def given(results: Results, tasks: tuple[Task, ...] = TASKS, *methods: str) -> list[Task]:
    """The tasks of which some run was given; of these methods only, if any are named."""
    return [
        task
        for task in tasks
        if any(results.of(task.readings[method].run) for method in methods or task.readings)
    ]
