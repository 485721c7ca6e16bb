"""Every figure and table, in the papers' order: what it shows, from which runs, and which claims it bears on.

The one list of outputs: the workflow plans them from it, rendering finds their modules and titles in it, the gallery
shows them in its order. Standard library only: the Snakefile imports this on every call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from analysis.run_names import (
    ESCAIP,
    ESCAIP_MODEL_SIZES,
    ESCAIP_OPTIMISERS,
    ESCAIP_TRAIN_SIZES,
    PROTEINA,
    PROTEINA_LARGE,
    PROTEINA_TRAIN_SIZES,
    SIZES,
    VN_METHODS,
    VOXMOL_FEWEST,
    VOXMOL_NETWORKS,
    VOXMOL_TRAIN_SIZES,
    vn_run,
    vn_runs,
)
from analysis.tasks import DATASETS, METHOD_RUNS, MOTIONS, NETWORK_RUNS, SYSTEMS, TASKS

FIGURE, TABLE = "figure", "table"
FILES = {
    FIGURE: (".png", ".pdf", ".csv", ".json", ".rst"),
    TABLE: (".csv", ".md", ".html", ".json", ".rst"),
}
"""What an output of each kind is rendered to, the file that a report shows first."""


class Trained(Protocol):
    """What the catalogue asks of a run, planned or finished."""

    @property
    def name(self) -> str: ...

    @property
    def system(self) -> str: ...

    @property
    def dataset(self) -> str: ...


@dataclass(frozen=True)
class Output:
    """A figure or table: a row of the catalogue, and the module analysis/<kind>s/<name>.py.

    paper: A, B, or None for what goes beyond both; where: the place in it that this repeats.
    runs: by name. others: which runs it shows besides, so that a new run is shown without an edit.
    required: runs without which there is nothing to show; where there are none, any one run of its own is enough.
    claims: ids of docs/claims.md. extras: measurements of trained networks that it reads, of runs that ask for them.
    """

    name: str
    kind: str
    paper: str | None
    where: str
    title: str
    runs: tuple[str, ...]
    others: Callable[[Trained], bool] | None = None
    required: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        return f"analysis.{self.kind}s.{self.name}"

    @property
    def files(self) -> tuple[str, ...]:
        """Endings of the files that it is rendered to."""
        return FILES[self.kind]

    def wants(self, run: Trained) -> bool:
        """Whether it is made from this run."""
        return run.name in self.runs or (self.others is not None and self.others(run))

    def can_show(self, runs: Iterable[Trained]) -> bool:
        """Whether these runs are enough for it."""
        own = {run.name for run in runs if self.wants(run)}
        return bool(own) and own.issuperset(self.required)


def other_run(run: Trained) -> bool:
    """A run on a task of Table 2 that has no row of its own in it; whether some figure names it does not matter."""
    return run.dataset in DATASETS and run.name not in (*NETWORK_RUNS, *METHOD_RUNS)


def other_network(run: Trained) -> bool:
    """Such a run of a system that Table 2 does not name either."""
    return other_run(run) and run.system not in SYSTEMS


OUTPUTS: tuple[Output, ...] = (
    Output(
        "a_fig1e", FIGURE, "A", "Figure 1E", "Percent of the validation loss that is equivariance error",
        (ESCAIP, PROTEINA_LARGE, PROTEINA, *VOXMOL_NETWORKS, VOXMOL_FEWEST),
        claims=("A4", "A5", "A8", "A11", "X4"),
    ),
    Output(
        "a_fig2", FIGURE, "A", "Figure 2", "EScAIP: share of the loss that is equivariance error, over training",
        (ESCAIP, *ESCAIP_TRAIN_SIZES, *ESCAIP_MODEL_SIZES, *ESCAIP_OPTIMISERS), required=(ESCAIP,),
        claims=("A4", "A5", "A6", "A7", "X4"),
    ),
    Output(
        "a_fig3", FIGURE, "A", "Figure 3",
        "Proteína: share of the loss that is equivariance error, by time of the path",
        (PROTEINA, PROTEINA_LARGE, *PROTEINA_TRAIN_SIZES), required=(PROTEINA,), claims=("A8", "A9", "A10"),
    ),
    Output(
        "a_fig4", FIGURE, "A", "Figure 4", "VoxMol: share of the loss that is equivariance error, over training",
        (*VOXMOL_NETWORKS, *VOXMOL_TRAIN_SIZES[1:]), claims=("A11", "A12", "X4"),
    ),
    Output(
        "a_fig5", FIGURE, "A", "Figure 5", "Error of the percent by number and kind of rotations",
        (PROTEINA,), required=(PROTEINA,), claims=("A3", "X3"), extras=("rotations",),
    ),
    Output(
        "a_fig6", FIGURE, "A", "Figure 6", "EScAIP: losses over training, by training-set size",
        (*reversed(ESCAIP_TRAIN_SIZES), ESCAIP), required=(ESCAIP,), claims=("A6",),
    ),
    Output(
        "a_fig8", FIGURE, "A", "Figure 8",
        "Proteína: percent of the loss against the ratio of gradient norms, by time of the path",
        (PROTEINA,), required=(PROTEINA,), claims=("A16",),
    ),
    Output(
        "a_fig11", FIGURE, "A", "Figure 11", "VoxMol: cosines between latents of turned molecules",
        VOXMOL_NETWORKS, claims=("A15",), extras=("latents",),
    ),
    Output(
        "a_landmarks", TABLE, "A", "Figures 2 to 4", "Landmarks of the percent curves",
        (
            *(ESCAIP, *ESCAIP_TRAIN_SIZES, *ESCAIP_MODEL_SIZES, *ESCAIP_OPTIMISERS),
            *(PROTEINA, PROTEINA_LARGE, *PROTEINA_TRAIN_SIZES),
            *(*VOXMOL_NETWORKS, *VOXMOL_TRAIN_SIZES[1:]),
        ),
        claims=("A4", "A5", "A6", "A7", "A8", "A9", "A10", "A11", "X4"),
    ),
    Output(
        "b_table1", TABLE, "B", "Table 1", "VN-PointNet: accuracy on rotated and on aligned shapes",
        vn_runs(*VN_METHODS), claims=("B5",),
    ),
    Output(
        "b_fig2", FIGURE, "B", "Figure 2", "RECM on VN-PointNet: alpha_W of every layer over training",
        vn_runs("recm"), required=vn_runs("recm"), claims=("B4",),
    ),
    Output(
        "b_fig4", FIGURE, "B", "Figure 4", "RECM on VN-PointNet: alpha_b and alpha_noise of every layer over training",
        vn_runs("recm"), required=vn_runs("recm"), claims=("B4",),
    ),
    Output(
        "b_fig5", FIGURE, "B", "Figure 5", "RECM on VN-PointNet: number of rotations in the update rule",
        (*(vn_run(data, "recm", size) for data in ("rotated", "aligned") for size in SIZES), *vn_runs("plain")),
        required=vn_runs("recm"), claims=("B11",),
    ),
    Output(
        "b_table2", TABLE, "B", "Table 2", "Particles and motion: mean squared error by method",
        (*NETWORK_RUNS, *METHOD_RUNS), other_run, claims=("B7", "B8"),
    ),
    Output(
        "b_table4", TABLE, "B", "Table 4", "RECM: extra parameters at inference, extra training time",
        (
            *vn_runs("plain", "recm"),
            *(task.readings[method].run for task in TASKS for method in ("plain", "recm")),
        ),
        claims=("B6", "B10"),
    ),
    Output(
        "b_active_parameters", FIGURE, "B", "Section 5.1",
        "VN-PointNet: active parameters over training, as a share of the plain network's",
        vn_runs(*VN_METHODS), required=vn_runs("recm"), claims=("B6",),
    ),
    Output(
        "b_alpha", FIGURE, "B", "Sections 5.2 and 5.3", "RECM on SEGNN and EGNO: alpha of every layer over training",
        tuple(task.readings["recm"].run for task in TASKS), claims=("B4", "X6"),
    ),
    Output(
        "x1", FIGURE, None, "", "Percent of the loss that is equivariance error under relaxation",
        vn_runs(*VN_METHODS), required=vn_runs("recm"), claims=("X1",),
    ),
    Output(
        "x2", FIGURE, None, "", "VN-PointNet: equivariance error by relaxed layer",
        vn_runs("recm", "rpp"), required=vn_runs("recm"), claims=("X2",), extras=("attribution",),
    ),
    Output(
        "x3", FIGURE, None, "", "Particles and motion: percent of the squared error that is equivariance error",
        METHOD_RUNS, other_network, claims=("X1",),
    ),
    Output(
        "x4", FIGURE, None, "", "EGNO on motion capture: the symmetry that relaxation breaks, by layer",
        tuple(name for task in MOTIONS for name in task.runs), claims=("X2",), extras=("attribution",),
    ),
)  # fmt: skip


NAMED = frozenset(name for output in OUTPUTS for name in output.runs)
"""Runs that some row names."""
_BY_NAME = {output.name: output for output in OUTPUTS}


def by_name(name: str) -> Output:
    """The row of an output. Raises KeyError."""
    return _BY_NAME[name]


def shown(runs: Iterable[Trained]) -> list[Output]:
    """The outputs that a tier of these runs can show, in the papers' order."""
    runs = list(runs)
    return [output for output in OUTPUTS if output.can_show(runs)]
