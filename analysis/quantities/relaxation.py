"""What the runs of paper B's methods measured: accuracy, alpha of every place, parameters left, time per step.

A place is a layer of the network that the method relaxes, named by its path. All functions read what training
logged: split "relaxation" has alpha_<term> of every place and the network's counts, split "test" the accuracies.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from analysis.curves import Curve
from analysis.quantities.quantity import Quantity
from analysis.results import Run
from models.training.series import Series

PRUNE_BELOW = 0.01
"""A term of smaller |alpha| is left out after training (paper B, appendix C)."""
STEADY = ("W", "b", "g")
"""The terms that a trained network still has (g: ACE's network in place of W and b); noise is for training only."""

_RECTIFIED = ("fstn.conv1", "fstn.conv2", "fstn.conv3", "fstn.fc1", "fstn.fc2")
PLACES = (
    *(f"{layer}.{part}" for layer in ("conv_pos", "conv1", *_RECTIFIED) for part in ("feature", "direction")),
    "fstn.fc3",
    *("conv2.feature", "conv2.direction", "conv3"),
    *(f"std_feature.{layer}.{part}" for layer in ("vn1", "vn2") for part in ("feature", "direction")),
)
"""VN-PointNet's 22 places from the first layer to the last."""
_IN_LAYER = (
    *("update_layer_1", "update_layer_2"),
    *("message", "drift", "displacement", "update", "readout"),
)
"""Places of a layer of SEGNN and of EGNO in order of execution."""


def places(run: Run, term: str = "W") -> list[str]:
    """The places that have this term, from the first layer to the last; names not known here come last."""
    named = [series.place for series in run.series("relaxation") if series.place]
    return sorted((place for place in named if alpha(run, place, term) is not None), key=_depth)


def _depth(place: str) -> tuple[float, int, str]:
    """Sorts places by where they stand: the layer's number, the place in it, and the name."""
    if place in PLACES:
        return PLACES.index(place), 0, place
    if place == "embedding":
        return -1, 0, place
    if (found := re.fullmatch(r"layers\.(\d+)\.(\w+)", place)) and found[2] in _IN_LAYER:
        return int(found[1]), _IN_LAYER.index(found[2]), place
    return math.inf, 0, place


def alpha(run: Run, place: str, term: str) -> Curve | None:
    """alpha of a place's term after each logged step; None if the place has no such term."""
    return run.curve(f"alpha_{term}", Series(place=place), split="relaxation")


def largest_alpha(run: Run, terms: tuple[str, ...] = STEADY) -> Curve | None:
    """Largest |alpha| over all places and these terms after each logged step; None if nothing is relaxed."""
    curves = [alpha(run, place, term) for term in terms for place in places(run, term)]
    if not curves:
        return None
    steps = np.unique(np.concatenate([curve.step for curve in curves]))
    sizes = [np.interp(steps, curve.step, np.abs(curve.value)) for curve in curves]
    return Curve(steps, np.max(sizes, axis=0))


def everything_pruned(run: Run) -> bool:
    """Whether the method's own readout leaves none of its terms after the last step."""
    active, plain = parameters(run, "active"), parameters(run, "plain")
    return active is not None and plain is not None and active.value[-1] == plain.value[-1]


def parameters(run: Run, kind: str) -> Curve | None:
    """Parameter counts of one kind: plain (f_eq), terms (f_un), method, active (those the readout leaves)."""
    return run.curve(kind, split="relaxation")


def active_ratio(run: Run) -> Curve | None:
    """Active parameters over those of the plain network; 1 where nothing relaxes it."""
    active, plain = parameters(run, "active"), run.parameters
    if plain is None:
        return None
    if active is None:
        return Curve(np.array([0.0, run.metrics["step"].max()]), np.ones(2))
    return active.scaled(1 / plain)


def step_time(run: Run) -> float | None:
    """Median time of a training step [s]: wall time between two logged steps, over their number.

    Stretches that end with a measurement on test or validation data are left out, unless all do.
    """
    measured = run.metrics.loc[run.metrics["split"].isin(("val", "test")), "step"].unique()
    timing = run.timing.sort_values("step")
    taken = timing["wall_s"].diff() / timing["step"].diff()
    undisturbed = taken[~timing["step"].isin(measured)].dropna()
    taken = taken.dropna() if undisturbed.empty else undisturbed
    return None if taken.empty else float(taken.median())


def largest_alpha_over(runs: Sequence[Run], term: str) -> Quantity | None:
    """Largest |alpha| of a term over places after the last step; over seeds the largest, too."""
    ends = ((float(abs(alpha(run, place, term).value[-1])) for place in places(run, term)) for run in runs)
    return Quantity.of((max(values, default=None) for values in ends), middle=max)


def active_ratio_over(runs: Sequence[Run]) -> Quantity | None:
    """Active parameters over the plain network's after the last step, mean over seeds."""
    ratios = (active_ratio(run) for run in runs)
    return Quantity.of(None if ratio is None else ratio.value[-1] for ratio in ratios)
