"""Paper A, Figure 11: are VoxMol's latents equivariant or invariant? Cosines between those of turned molecules."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.captions import Caption, footer
from analysis.draw import style
from analysis.draw.panels import Drawing, figure_key
from analysis.quantities.latents import BASELINES, FULL_TURN, Comparison, compare, cosines, read_latents
from analysis.reference.paper_curves import PaperCurves
from analysis.reference.printed import numbers
from analysis.results import Results, ResultsError, Run
from analysis.run_names import VOXMOL_NETWORKS

ANGLES = (0, 90, 180, 270, 360)
COLORS = {"x": style.BLUE, "y": style.VERMILION, "z": style.GREEN, "": style.ORANGE}
"""Axis of the turn -> colour; no axis: different molecules."""
PANELS = {
    "unpooled": r"unpooled: $R\,\phi(y)$ against $\phi(R\,y)$",
    "pooled": r"pooled: means over voxels of $\phi(y)$ and $\phi(R\,y)$",
}
PRINTED = {
    "unpooled": "voxmol.latent_equivariance",
    "pooled": "voxmol.latent_invariance",
    "other molecule": "voxmol.latent_other_molecules",
}
GAP = 0.8
"""Between the violins of two axes [violins]."""
NARROW = 1e-4
"""Cosines that spread less than this are a line, not a violin."""
COLUMNS = [
    "panel",
    "source",
    "run",
    "seed",
    "label",
    "series",
    "kind",
    "axis",
    "angle",
    "sample",
    "quantity",
    "value",
]


def draw(results: Results, paper: PaperCurves) -> Drawing:
    """a: latents as they are, turned along; b: their means over voxels. A violin per axis and angle, and one of
    different molecules. First seed of the largest network that recorded latents; the table has every seed."""
    found = next(filter(None, (_recorded(results, name) for name in VOXMOL_NETWORKS)), None)
    if found is None:
        raise ResultsError(
            f"a_fig11: no run of {VOXMOL_NETWORKS[0]} or a smaller network was measured for "
            "it; ask for measure.latents in its file."
        )
    run, frame = found[0]
    points = pd.concat(
        [*(part for each in found for part in _points(*each)), _paper_points()], ignore_index=True
    )
    figure = style.new_figure(style.PAGE, 4.6)
    grid = figure.add_gridspec(2, 1, left=0.075, right=0.94, top=0.945, bottom=0.155, hspace=0.3)
    comparisons = {}
    first = None
    for place, letter, (kind, text) in zip(grid, "ab", PANELS.items(), strict=True):
        axes = first = figure.add_subplot(place, sharex=first)
        comparisons[kind] = compare(frame, kind)
        _violins(axes, frame, kind)
        _papers(axes, kind)
        style.title(axes, letter, text)
        axes.set_title(_in_words(comparisons[kind]), loc="right", y=1.0, fontsize=5.5)
        axes.set_ylabel("cosine")
    handles = [Patch(color=COLORS[axis], alpha=0.7, lw=0, label=f"turned about {axis}") for axis in "xyz"]
    handles.append(Patch(color=COLORS[""], alpha=0.7, lw=0, label="different molecules"))
    handles.append(Line2D([], [], color=style.INK, lw=1.2, label="median"))
    handles.append(Line2D([], [], color=style.PAPER, lw=0.8, ls=(0, (4, 2)), label="paper's median"))
    shown = results.only((run.name,))
    figure_key(figure, handles, footer(shown))
    return Drawing(figure, points[COLUMNS], _caption(run, frame, comparisons), shown)


def _recorded(results: Results, name: str) -> list[tuple[Run, pd.DataFrame]]:
    """Seeds of a run whose folders hold latents."""
    return [(run, frame) for run in results.of(name) if (frame := read_latents(run)) is not None]


def _places(kind: str) -> Iterator[tuple[float, str, int, str]]:
    """Where a panel's violins stand: position, axis, angle, kind of cosine."""
    at = 0.0
    for axis in "xyz":
        for angle in ANGLES:
            yield at, axis, angle, kind
            at += 1
        at += GAP
    yield at, "", 0, BASELINES[kind]


def _violins(axes: Axes, frame: pd.DataFrame, kind: str) -> None:
    places = list(_places(kind))
    lowest = 1.0
    for at, axis, angle, which in places:
        values = cosines(frame, which, axis, angle)
        if not len(values):
            continue
        lowest = min(lowest, float(values.min()))
        if np.ptp(values) > NARROW:
            (body,) = axes.violinplot([values], [at], widths=0.85, showextrema=False)["bodies"]
            body.set(facecolor=COLORS[axis], alpha=0.7, edgecolor="none", zorder=3)
            low, high = np.quantile(values, (0.25, 0.75))
            axes.plot([at, at], [low, high], color=style.INK, lw=0.6, zorder=4)
        else:
            axes.plot(
                [at - 0.3, at + 0.3], [values.mean()] * 2, color=COLORS[axis], lw=2.2, alpha=0.7, zorder=3
            )
        axes.plot([at - 0.2, at + 0.2], [np.median(values)] * 2, color=style.INK, lw=1.2, zorder=5)
    axes.set_ylim(max(-1.0, lowest - 0.05), 1.03)
    axes.set_xlim(-0.7, places[-1][0] + 0.7)
    axes.set_xticks(
        [at for at, *_ in places],
        [f"{angle}°" if axis else "different\nmolecules" for _, axis, angle, _ in places],
    )
    axes.tick_params(axis="x", length=0)


def _papers(axes: Axes, kind: str) -> None:
    """The paper's medians: of turned molecules from left to right, of different ones at theirs."""
    places = list(_places(kind))
    last, between = places[-1][0], places[-2][0] + 0.5
    spans = [(kind, -0.6, between, between, {"ha": "right", "va": "bottom"})]
    if BASELINES[kind] in PRINTED:
        end = last + 0.7
        spans.append((BASELINES[kind], last - 0.55, end, end + 0.06, {"va": "center"}))
    for which, left, right, at, aligned in spans:
        value = numbers("a")[PRINTED[which]].value
        axes.plot([left, right], [value] * 2, color=style.PAPER, lw=0.8, ls=(0, (4, 2)), zorder=2)
        text = f"paper {value:.2f}".replace("0.", ".")
        axes.text(at, value, text, color="#777777", fontsize=5.0, **aligned)


def _in_words(found: Comparison) -> str:
    return (
        f"median {found.median:.2f}, different molecules {found.other:.2f}; P(larger) {found.superiority:.2f}, "
        f"Mann-Whitney p = {found.p:.1g}"
    )


def _points(run: Run, frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Every cosine of a run, and per kind its medians and test."""
    about = {"source": "ours", "run": run.name, "seed": run.seed, "label": run.label, "series": "ema"}
    for panel, kind in zip("ab", PANELS, strict=True):
        part = frame[frame["kind"].isin((kind, BASELINES[kind]))].rename(columns={"cosine": "value"})
        yield part.assign(panel=panel, quantity="cosine", **about).reindex(columns=COLUMNS)
        found = compare(frame, kind)
        rows = {
            "median": found.median,
            "median of different molecules": found.other,
            "superiority": found.superiority,
            "p": found.p,
        }
        table = pd.DataFrame({"quantity": list(rows), "value": list(rows.values())})
        yield table.assign(panel=panel, kind=kind, **about).reindex(columns=COLUMNS)


def _paper_points() -> pd.DataFrame:
    """What the paper prints."""
    rows = [
        {"panel": "a" if kind == "unpooled" else "b", "kind": kind, "value": numbers("a")[number].value}
        for kind, number in PRINTED.items()
    ]
    about = {"source": "paper", "run": VOXMOL_NETWORKS[0], "label": "paper", "quantity": "median"}
    return pd.DataFrame(rows).assign(**about).reindex(columns=COLUMNS)


def _caption(run: Run, frame: pd.DataFrame, comparisons: dict[str, Comparison]) -> Caption:
    text = (
        f"Cosines between latents of VoxMol ({run.label}, seed {run.seed}) for noised densities of molecules turned "
        "on the grid. a: the latent turned along with the molecule against that of the turned molecule, over all "
        "voxels; 1 if latents are equivariant. b: their means over voxels; 1 if these are invariant. Right: "
        "different molecules. Bars: quartiles. P(larger): chance that a turned molecule has the larger cosine. "
        "Grey: the paper's medians."
    )
    whole = frame[frame["angle"].isin((0, FULL_TURN)) & frame["kind"].isin(PANELS)]["cosine"]
    still = (
        "Turns by 0° and 360° have the same input, with cosine 1."
        if whole.min() > 1 - NARROW
        else "Turns by 0° and 360° differ by the noise alone, which was drawn anew."
    )
    found = comparisons["pooled"]
    test = (
        f"{found.molecules} validation molecules and {found.pairs} pairs of different molecules, drawn at random, "
        "each molecule in one pair at most; averaged weights after the last step. Medians are over molecules, axes "
        f"and turns other than whole ones. {still} P(larger) compares each molecule's median over turns with every "
        "pair (1/2: no difference); p is of the two-sided Mann-Whitney test."
    )
    equivariance, invariance, other = (numbers("a")[number].value for number in PRINTED.values())
    theirs = (
        f"The paper's medians are {equivariance} (equivariance), {invariance} (invariance) and {other} (different "
        "molecules). Its appendix compares pooled vectors in both, on which a rotation does not act."
    )
    return Caption.of(text, test, theirs)
