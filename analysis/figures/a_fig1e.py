"""Paper A, Figure 1E: the share of the loss that is equivariance error, on a linear axis over log steps."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec

from analysis import style
from analysis.captions import LINES, footer, paper_sentence, provenance_line
from analysis.curves import Curve
from analysis.panels import (
    Drawing,
    Drawn,
    Ours,
    figure_key,
    key_handles,
    log_limits,
    paper_runs,
    percent_panel,
    run_legend,
)
from analysis.reference.paper_curves import PaperCurves
from analysis.results import Results

TITLE = "Percent of the validation loss that is equivariance error"
DEFAULT = "escaip-default"
RUNS = (DEFAULT,)
REQUIRED = (DEFAULT,)


def draw(results: Results, paper: PaperCurves | None) -> Drawing:
    """One panel per system whose runs were given, side by side."""
    drawn = Drawn()
    shown = [panel for name, panel in PANELS.items() if results.of(name)]
    width = max(style.COLUMN, min(style.PAGE, 2.4 * len(shown)))
    figure = style.new_figure(width, 3.55)
    grid = figure.add_gridspec(
        1, len(shown), left=0.58 / width, right=1 - 0.12 / width, top=0.925, bottom=0.295, wspace=0.3
    )
    ours: list[Ours] = []
    for place, panel in zip(grid, shown, strict=True):
        ours += panel(figure, place, results, paper, drawn)
    figure_key(
        figure, key_handles(ours, paper is not None), footer(results), columns=2 if width < 5 else None
    )
    return Drawing(figure, drawn.table(), _caption(results, paper))


def escaip(
    figure: Figure, place: SubplotSpec, results: Results, paper: PaperCurves | None, drawn: Drawn
) -> list[Ours]:
    """EScAIP on SPICE, every seed of the default run."""
    ours = [Ours(r, f"seed {r.seed}", c) for r, c in zip(results.of(DEFAULT), style.CYCLE, strict=False)]
    theirs = paper_runs(paper, DEFAULT)
    top, low = percent_panel(figure, place, ours, theirs, drawn, "EScAIP")
    points = drawn.table().query("panel == 'EScAIP' and series != 'zero'")
    limits = log_limits([Curve(points["step"].to_numpy(), points["value"].to_numpy())])
    for axes in (top, low):
        style.log_steps(axes)
        axes.set_xlim(limits)
    style.linear_percent(top)
    thick = points[(points["quantity"] == "percent") & (points["series"] != "raw")]
    top.set_ylim(0, min(100.0, 1.12 * thick["value"].max()))
    style.log_loss(low)
    for axes in (top, low):
        axes.yaxis.set_label_coords(-0.115, 0.5)
    style.title(top, "", "EScAIP on SPICE")
    run_legend(top, ours, loc="upper right")
    return ours


PANELS: dict[str, Callable[..., list[Ours]]] = {DEFAULT: escaip}
"""Panels in the paper's order, by the run that each needs."""


def _caption(results: Results, paper: PaperCurves | None) -> list[str]:
    own = (
        "Equivariance error in percent of the validation loss over training (linear over logarithmic axis), "
        "and below it L_mean (solid), L_equiv (dashed) and the loss of a predictor that always answers zero "
        "(dotted). The paper's point is the fall within the first thousands of steps; the lower panel tells "
        "how far L_mean is then below what answering zero gives, which is perfectly equivariant."
    )
    theirs = paper_sentence(paper, "on the same logarithmic step axis although their training is longer.")
    return [own, LINES, theirs, provenance_line(results)]
