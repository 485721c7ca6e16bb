"""Does a predictor of nothing explain the early dip of a percent (claims A11 and X4)? The numbers, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.landmarks import landmarks
from analysis.results import Run
from analysis.style import count

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


def sentence(named: Sequence[tuple[str, Run]]) -> str:
    """L_mean at the dip of these runs, in multiples of the zero predictor's loss."""
    dips = [(name, at_dip(run)) for name, run in named if run.zero_loss]
    parts = [
        f"{name} {found[2]:.2g} (step {count(round(found[0]))}, {found[1]:.2g}%)"
        if found
        else f"{name} no dip that it takes back"
        for name, found in dips
    ]
    if not parts:
        return ""
    return (
        f"L_mean at the dip over the zero predictor's loss: {', '.join(parts)}; near 1 the dip is that of a null "
        "predictor."
    )
