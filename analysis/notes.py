"""Notes below captions that several figures share: how Proteína and VoxMol are measured, how their paper is drawn."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.reference.paper_curves import DENSITY_ZERO, ROWS_PER_STEP, PaperCurves
from analysis.results import ResultsError, Run
from analysis.words import scientific


def gradients_of(run: Run) -> dict:
    """With which arguments a run measured gradients; empty if it does not say."""
    of_monitor = (c for c in run.config.get("callbacks", ()) if c["class_path"].endswith(".GradientMonitor"))
    return next(of_monitor, {}).get("init_args", {})


def chains_phrase(run: Run, batches: int | None) -> str:
    """Of the monitor's first `batches` (None: all that it has): `the first 4 of the monitor's 8 chains`.

    `the monitor's 8 chains` where these are all; nothing if the run does not say.
    """
    data = run.config.get("data", {}).get("init_args", {})
    every, in_batch = run.data.get("validation_chains"), data.get("monitor_batch")
    if every is None or in_batch is None:
        return ""
    used = every if batches is None else min(every, in_batch * batches)
    return f"the {f'first {used} of the ' if used < every else ''}monitor's {every} chains"


def gradients_note(run: Run, papers: float) -> str:
    """Which chains and rotations gradients and percents are from, and what plain sums over so many rotations hold.

    papers: the paper's number of rotations. Empty if the run does not say.
    """
    monitor, asked = run.config.get("monitor", {}), gradients_of(run)
    percents = chains_phrase(run, monitor.get("batches")), monitor.get("rotations")
    gradients = chains_phrase(run, asked.get("batches")), asked.get("rotations") or monitor.get("rotations")
    if not all(gradients):
        return ""
    of_gradients, of_percents = (
        f"{chains} with {rotations} rotations" for chains, rotations in (gradients, percents)
    )
    return (
        f"The gradients are from {of_gradients}; the percents are from {of_percents}. Gradients are those of plain "
        "sums over N sampled rotations, as in the paper. On average such a sum has 1 - 1/N of the gradient of "
        f"L_equiv, and adds 1/N of it to the gradient of L_mean. N is {gradients[1]} here and {papers:g} in the "
        "paper. Percents are corrected (Prop. 8)."
    )


TIMES_NOTE = (
    "Thick lines: averaged weights. Thin lines: raw weights. All estimates are from sampled rotations and "
    "unbiased; the percent is a ratio of means. Each chain has the same noise at every step and time. Under the "
    "percents, losses are divided by (1 - t)²: they are losses of the velocity, comparable over t, and answering "
    "zero is to predict no velocity. Logarithmic axes do not show step 0."
)
"""How Proteína is measured over the times of its path."""


def timed_paper_note(names: Sequence[str]) -> str:
    """How the paper's curves of these runs of Proteína are shown, and how its rows became steps."""
    ratios = ", ".join(f"{ROWS_PER_STEP[name]:g} ({name.removeprefix('proteina-')})" for name in names)
    return (
        "Grey: the paper's curves, unbiased (medians of bins of steps), named by t at their ends. Their percent is a "
        "mean of ratios. The paper draws them over rows of its log. We convert rows to optimiser steps and assume that "
        f"its measurements are 50 steps apart; rows per step: {ratios}."
    )


ROTATIONS = {
    "axis_preserving": "16 that keep an axis",
    "two_axis_turns": "16 that turn about y and then x",
    "octahedral": "24 of the grid",
}
"""Rotations that the monitor of a run of VoxMol draws from."""


def density_note(runs: Sequence[Run]) -> str:
    """How many rotations of which set these runs of VoxMol are measured by."""
    drawn = " or ".join(
        f"{each} rotations per molecule, drawn anew from the {ROTATIONS[group]}"
        for each, group in dict.fromkeys(map(_measured_by, runs))
    )
    return (
        f"Thick lines: averaged weights, as in the paper. Thin lines: raw weights. Both are from {drawn}, and "
        "unbiased. Pose and noise of a molecule are the same at every step. The percent is a ratio of means. "
        "Logarithmic axes do not show step 0."
    )


def density_paper_note(paper: PaperCurves) -> str:
    """How the paper's curves of VoxMol are shown."""
    light = "; light: as logged, once per epoch" if paper.with_logged else ""
    return (
        f"Grey: the paper's curves, unbiased (lines: medians of bins of steps{light}), "
        "over its own steps. Grey dots: the loss of answering zero on the paper's grid, which it does not print; "
        f"we measured {scientific(DENSITY_ZERO)} on conformers of its test molecules. Losses per voxel depend on "
        "the grid: compare ratios to the zero predictor, not levels."
    )


def _measured_by(run: Run) -> tuple[int, str]:
    """How many rotations per molecule, of which of ROTATIONS."""
    model = run.config.get("model", {}).get("init_args", {})
    try:
        return int(run.config["monitor"]["rotations"]), str(model["monitor"]["rotations"])
    except KeyError as error:
        raise ResultsError(
            f"{run.folder / 'run.yaml'}: does not say by which rotations it was measured ({error} is missing); "
            "let Snakemake write it."
        ) from error
