"""Does a predictor of nothing explain the early dip of a percent (claims A11 and X4)? The numbers, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.curves import binned
from analysis.quantities.landmarks import first_below, landmarks
from analysis.results import Run
from analysis.words import count

NULL = (
    "A predictor of nothing is perfectly equivariant: its percent is 0 and its L_mean the dotted level, so the percent "
    "of a network that passes through such answers falls to almost nothing without having learned a symmetry."
)


def at_dip(run: Run) -> tuple[float, float, float] | None:
    """Step, percent and L_mean over the zero predictor's loss at the dip of the drawn weights; None without a dip."""
    percent, mean = (run.line(name, run.plotted_series) for name in ("percent", "L_mean"))
    if percent is None or mean is None or not run.zero_loss:
        return None
    found = landmarks(percent)
    if not found.dip_step:
        return None
    return found.dip_step, found.dip, float(mean.at(found.dip_step)) / run.zero_loss


def passes_zero(run: Run) -> float | None:
    """Step at which L_mean of the drawn weights falls below the zero predictor's loss, in medians of bins, or None."""
    mean = run.line("L_mean", run.plotted_series)
    return first_below(binned(mean), run.zero_loss) if mean is not None and run.zero_loss else None


def sentence(named: Sequence[tuple[str, Sequence[Run]]]) -> str:
    """L_mean at the dips of these groups of runs, in multiples of the zero predictor's loss."""
    parts = [text for name, runs in named if (text := _group(name, [run for run in runs if run.zero_loss]))]
    if not parts:
        return ""
    return (
        f"L_mean at the dip over the zero predictor's loss: {', '.join(parts)}; near 1 the dip is that of a null "
        "predictor."
    )


def _group(name: str, runs: Sequence[Run]) -> str:
    """`VoxMol 0.96 (step 113, 2.4%)`, or the range over several runs."""
    dips = [found for run in runs if (found := at_dip(run)) is not None]
    if not runs:
        return ""
    if not dips:
        return f"{name} none (no dip that is taken back)"
    if len(runs) == 1:
        step, percent, ratio = dips[0]
        return f"{name} {ratio:.2g} (step {count(round(step))}, {percent:.2g}%)"
    low, high = (f"{end(ratio for *_, ratio in dips):.2g}" for end in (min, max))
    ratios = low if low == high else f"{low} to {high}"
    return f"{name} {ratios} ({len(dips)} of {len(runs)} curves dip)"
