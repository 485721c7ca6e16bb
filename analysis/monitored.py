"""On how many chains and rotations Proteína's measurements are, for captions: some take a part of the monitor's."""

from __future__ import annotations

from analysis.results import Run


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


def gradients_sentence(run: Run, papers: float) -> str:
    """Of which chains and rotations gradients and percent are, and what plain sums over so many rotations hold.

    papers: number of rotations. Empty if the run does not say.
    """
    monitor, asked = run.config.get("monitor", {}), gradients_of(run)
    percents = chains_phrase(run, monitor.get("batches")), monitor.get("rotations")
    gradients = chains_phrase(run, asked.get("batches")), asked.get("rotations") or monitor.get("rotations")
    if not all(gradients):
        return ""
    of_gradients, of_percents = (
        f"{chains} with {rotations} rotations" for chains, rotations in (gradients, percents)
    )
    both = (
        f"Gradients and percent are of {of_gradients}."
        if gradients == percents
        else f"The gradients are of {of_gradients}, the percent is of {of_percents}."
    )
    return (
        f"{both} On average a plain sum over N rotations has 1 - 1/N of the gradient of L_equiv, and 1/N of it is "
        f"added to that of L_mean; N is {gradients[1]} here, {papers:g} in the paper."
    )
