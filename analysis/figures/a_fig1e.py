"""Paper A, Figure 1E: the share of the loss that is equivariance error, on a linear axis over log steps."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec

from analysis.captions import LINES, LOSSES, Caption, footer, paper_note
from analysis.curves import Curve
from analysis.draw import style, voxmol
from analysis.draw.panels import (
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
from analysis.draw.proteina import VELOCITY, ours_by_time, paper_by_time, time_legend
from analysis.notes import TIMES_NOTE, density_note, density_paper_note, timed_paper_note
from analysis.reference.paper_curves import PaperCurves
from analysis.results import Results, ResultsError, Run
from analysis.run_names import ESCAIP, PROTEINA, PROTEINA_LARGE, VOXMOL_FEWEST, VOXMOL_NETWORKS

NETWORKS = (PROTEINA_LARGE, PROTEINA)
"""The paper's curve is of its 400M network (it is Fig. 3e's); the smaller one stands in where that is not trained."""
VOXMOL = (*VOXMOL_NETWORKS, VOXMOL_FEWEST)
"""The fewest conformers too: on all of GEOM-Drugs the paper first measured the largest network after its fall."""
LABEL = 0.31
"""Where the names of y axes stand, from the panel [inch]."""


def draw(results: Results, paper: PaperCurves) -> Drawing:
    """One panel per system whose runs were given, side by side."""
    drawn, results = Drawn(), _shown(results)
    shown = [panel for names, panel in PANELS.items() if any(results.of(name) for name in names)]
    if not shown:
        raise ResultsError(
            f"a_fig1e: none of its runs was given for tier {results.tier}; train {ESCAIP} or another."
        )
    width = min(style.PAGE, style.COLUMN * len(shown))
    figure = style.new_figure(width, 3.55)
    grid = figure.add_gridspec(
        1,
        len(shown),
        left=0.58 / width,
        right=1 - 0.12 / width,
        top=0.925,
        bottom=0.295 if width < 5 else 0.215,
        wspace=0.3 if len(shown) < 3 else 0.36,
    )
    ours: list[Ours] = []
    for place, panel in zip(grid, shown, strict=True):
        ours += panel(figure, place, results, paper, drawn)
    for axes in figure.axes[2::2]:  # percents of the later panels
        axes.set_ylabel("")
    figure_key(figure, key_handles(ours), footer(results), columns=2 if width < 5 else None)
    return Drawing(figure, drawn.table(), _caption(results, paper), results)


def _shown(results: Results) -> Results:
    """The runs that are drawn: of Proteína and of VoxMol the largest network, and VoxMol's on the fewest conformers."""
    largest = (_proteina(results), voxmol.largest(results))
    return results.only([ESCAIP, VOXMOL_FEWEST, *(run.name for run in largest if run is not None)])


def _proteina(results: Results) -> Run | None:
    return next(filter(None, map(results.first, NETWORKS)), None)


def _voxmol(results: Results) -> list[Run]:
    """The largest network on the whole training set, and on the smallest part of it; first seeds."""
    return [run for run in (voxmol.largest(results), results.first(VOXMOL_FEWEST)) if run is not None]


def escaip_panel(
    figure: Figure, place: SubplotSpec, results: Results, paper: PaperCurves, drawn: Drawn
) -> list[Ours]:
    """EScAIP on SPICE, every seed of the default run."""
    ours = [Ours(r, f"seed {r.seed}", c) for r, c in zip(results.of(ESCAIP), style.CYCLE, strict=False)]
    theirs = paper_runs(paper, ESCAIP)
    top, low = percent_panel(figure, place, ours, theirs, drawn, "EScAIP")
    _linear_over_log(top, low, drawn, "EScAIP")
    style.title(top, "", "EScAIP on SPICE")
    run_legend(top, ours, loc="upper right")
    return ours


def proteina_panel(
    figure: Figure, place: SubplotSpec, results: Results, paper: PaperCurves, drawn: Drawn
) -> list[Ours]:
    """Proteína on chains of the PDB, every time of the path; losses are of the velocity."""
    run = _proteina(results)
    ours, theirs = ours_by_time(run, velocity=True), paper_by_time(paper, PROTEINA_LARGE, velocity=True)
    top, low = percent_panel(figure, place, ours, theirs, drawn, "Proteína", shadow=False)
    _linear_over_log(top, low, drawn, "Proteína")
    low.set_ylabel(f"loss\n[{VELOCITY}]")
    style.title(top, "", f"Proteína ({run.label})")
    time_legend(top, run.times, loc="upper center")
    return ours


def voxmol_panel(
    figure: Figure, place: SubplotSpec, results: Results, paper: PaperCurves, drawn: Drawn
) -> list[Ours]:
    """VoxMol's largest network on the whole training set and on the smallest part of it, first seeds."""
    runs = _voxmol(results)
    ours = [Ours(run, voxmol.fraction(run), color) for run, color in zip(runs, style.CYCLE, strict=False)]
    theirs = [each for run in runs for each in paper_runs(paper, run.name)]
    top, low = percent_panel(figure, place, ours, theirs, drawn, "VoxMol")
    voxmol.paper_zero(low, drawn, "VoxMol", max(run.metrics["step"].max() for run in runs))
    _linear_over_log(top, low, drawn, "VoxMol")
    low.set_ylabel("loss\n[per voxel]")
    style.title(top, "", f"VoxMol ({runs[0].label})")
    run_legend(top, ours, loc="upper right")
    return ours


def _linear_over_log(top: Axes, low: Axes, drawn: Drawn, panel: str) -> None:
    """Linear percents up to the highest thick line, logarithmic losses and steps."""
    points = drawn.table()
    points = points[(points["panel"] == panel) & (points["series"] != "zero")]
    limits = log_limits([Curve(points["step"].to_numpy(), points["value"].to_numpy())])
    for axes in (top, low):
        style.log_steps(axes)
        axes.set_xlim(limits)
        wide = axes.get_position().width * axes.figure.get_figwidth()
        axes.yaxis.set_label_coords(-LABEL / wide, 0.5)
    style.linear_percent(top)
    thick = points[(points["quantity"] == "percent") & (points["series"] != "raw")]
    top.set_ylim(0, min(100.0, 1.12 * thick["value"].max()))
    style.log_loss(low)


PANELS: dict[tuple[str, ...], Callable[..., list[Ours]]] = {
    (ESCAIP,): escaip_panel,
    NETWORKS: proteina_panel,
    VOXMOL: voxmol_panel,
}
"""Panels in the paper's order, by the runs of which each needs one."""


def _caption(results: Results, paper: PaperCurves) -> Caption:
    run, densest = _proteina(results), _voxmol(results)
    escaip = bool(results.of(ESCAIP))
    parts = {
        "EScAIP: every seed.": escaip,
        "Proteína: a curve per time t of the path.": run is not None,
        "VoxMol: the largest network, on all training conformers and on the fewest.": bool(densest),
    }
    text = (
        f"Equivariance error in percent of the validation loss over training. Below each panel: {LOSSES}. That "
        "predictor is exactly equivariant, so a low percent says little while L_mean is at the dotted line. "
        f"{' '.join(sentence for sentence, shown in parts.items() if shown)} Grey: the paper."
    )
    notes = []
    if escaip:
        notes.append(
            f"EScAIP. {LINES} {paper_note(paper, 'The step axis is the same; the paper trains longer.')}"
        )
    if run is not None:
        notes.append(
            f"Proteína. {TIMES_NOTE} {timed_paper_note(NETWORKS[:1])} The paper's panel is of its 400M network."
        )
    if densest:
        notes.append(f"VoxMol. {density_note(densest)} {density_paper_note(paper)}")
    return Caption.of(text, *notes)
