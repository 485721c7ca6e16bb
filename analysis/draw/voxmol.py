"""VoxMol's runs in panels: by training set and by network, with all rotations of the grid and both zero predictors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes

from analysis.captions import is_generated
from analysis.curves import Curve, thinned
from analysis.draw import style
from analysis.draw.panels import DOTTED, Drawn, Ours
from analysis.quantities import plateau
from analysis.reference.paper_curves import DENSITY_CURVES, DENSITY_ZERO, PaperCurves
from analysis.reference.printed import numbers, paper_landmarks
from analysis.results import Results, ResultsError, Run
from analysis.run_names import VOXMOL_NETWORKS, VOXMOL_TRAIN_SIZES
from analysis.words import count, scientific
from models.training.series import ZERO

UNIT = "squared error per voxel and channel"
ROTATIONS = {
    "axis_preserving": "16 that keep an axis",
    "two_axis_turns": "16 that turn about y and then x",
    "octahedral": "24 of the grid",
}
"""What a run's monitor draws from."""
PAPERS_ROTATIONS = 4, "axis_preserving"
CIRCLES = (
    "Circles: all 24 rotations of the grid, which leaves nothing to chance, on the same or fewer molecules."
)
CROSSINGS = "Diamonds: where L_mean of the same weights falls below the zero predictor's loss."


def largest(results: Results) -> Run | None:
    """The first seed of the largest network that was trained on the whole training set."""
    return next(filter(None, map(results.first, VOXMOL_NETWORKS)), None)


def lines_sentence(runs: Sequence[Run]) -> str:
    """What the lines are, and by how many rotations of which set these runs were measured."""
    found = dict.fromkeys(_measured_by(run) for run in runs)
    drawn = " or ".join(
        f"{count} rotations per molecule drawn anew from the {ROTATIONS[group]}" for count, group in found
    )
    as_paper = ", as the paper's," if set(found) == {PAPERS_ROTATIONS} else ""
    return (
        "Thick lines: exponential average of the weights, which is what the paper measures; thin: the raw weights; "
        f"both from {drawn}{as_paper} and unbiased. Pose and noise of a molecule are the same at every step. The "
        "percent is a ratio of means. Step 0 is not on logarithmic axes."
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


def fraction(run: Run) -> str:
    """Share of the training conformers, and how many these are: 1%, 11k conformers."""
    settings = run.config.get("data", {}).get("init_args", {})
    share, count = settings.get("train_fraction", 1.0), run.data.get("train_conformers")
    return f"{100 * share:g}%" + (f" ({count(count)})" if count else "")


def papers_name(name: str) -> str:
    """What the paper's curves of a run are called at their ends, among training sets."""
    return "100%" if name == VOXMOL_TRAIN_SIZES[0] else DENSITY_CURVES[name][2]


def all_rotations(axes: Axes, our: Ours, drawn: Drawn, panel: str, at_most: int = 24) -> None:
    """Circles: percents of the drawn weights under all 24 rotations, where they were measured."""
    series = our.run.plotted_series
    curve = our.run.curve("percent", replace(series, group="octahedral"))
    if curve is None:
        return
    about = {"source": "ours", "run": our.run.name, "seed": our.run.seed, "label": our.label}
    points = drawn.add(
        thinned(curve, at_most),
        panel=panel,
        series=series,
        quantity="percent",
        estimator="all 24 rotations",
        **about,
    )
    axes.plot(
        points.step, points.value, "o", ms=1.7, mfc="white", mec=our.color, mew=0.45, ls="none", zorder=6
    )  # fmt: skip


def crossing(axes: Axes, our: Ours, drawn: Drawn, panel: str) -> None:
    """A diamond on the percent of the drawn weights at the step at which their L_mean passes the zero predictor."""
    series = our.run.plotted_series
    percent, step = our.run.line("percent", series), plateau.passes_zero(our.run)
    if percent is None or step is None:
        return
    about = {"source": "ours", "run": our.run.name, "seed": our.run.seed, "label": our.label}
    point = Curve(np.array([step]), np.array([percent.at(step)]))
    point = drawn.add(
        point, panel=panel, series=series, quantity="percent", estimator="where L_mean passes zero's", **about
    )
    axes.plot(
        point.step, point.value, "D", ms=3.2, mfc=our.color, mec="white", mew=0.5, ls="none", zorder=7
    )  # fmt: skip


def paper_zero(axes: Axes, paper: PaperCurves | None, drawn: Drawn, panel: str, last: float) -> None:
    """The zero predictor's loss on the paper's grid, in the paper's grey, up to step `last` in the record."""
    if paper is None:
        return
    about = {"source": "paper", "series": ZERO, "label": "constant-zero predictor", "quantity": "L_total"}
    curve = Curve(np.array([0.0, last]), np.full(2, DENSITY_ZERO))
    drawn.add(curve, panel=panel, estimator="exact", **about)
    axes.axhline(DENSITY_ZERO, color=style.PAPER, lw=0.7, ls=DOTTED, zorder=1.5)


def paper_sentence(paper: PaperCurves | None) -> str:
    """How the paper's curves are shown, or that they are absent."""
    if paper is None:
        return "The paper's curves are absent: no reference data were found (REFERENCE_DIR)."
    return (
        "Grey: the paper's curves (light: as logged, once per epoch; lines: medians of 20 bins a decade), unbiased, "
        "over its own steps. Grey dots: the zero predictor on its grid, which it does not print and we measured "
        f"({scientific(DENSITY_ZERO)}, on conformers of its test molecules). Losses per voxel depend on the grid: "
        "levels of different grids differ, their ratios to the zero predictor compare."
    )


def papers_dips() -> str:
    """How far the paper's networks were from the zero predictor at their dips, and where they end."""
    rows = {
        name: paper_landmarks()[DENSITY_CURVES[name][0], DENSITY_CURVES[name][2]] for name in DENSITY_CURVES
    }
    at_dip = sorted(rows[name]["L_mean_at_dip"] for name in VOXMOL_TRAIN_SIZES)
    ends = sorted(row["end"] for row in rows.values())
    said = numbers("a")["voxmol.at_50k"]
    return (
        f"The dips of the paper's 111M network, on any training set, are at {at_dip[0]:.2f} to {at_dip[-1]:.2f} of "
        "it (its smaller networks were first measured after that). Its curves end at "
        f"{ends[0]:.0f} to {ends[-1]:.0f} percent, where its text says {said.value[0]} to {said.value[1]}."
    )


def course_sentence(runs: Sequence[tuple[str, Run]]) -> str:
    """Where percents start, what they are when L_mean passes the zero predictor, where they are least, and end."""
    parts = [f"{name} {course}" for name, run in runs if (course := _course(run))]
    if not parts:
        return ""
    return (
        "Percent at step 0, where L_mean passes the zero predictor's loss, at its least (L_mean there over that loss) "
        f"and at the end: {'; '.join(parts)}."
    )


def _course(run: Run) -> str:
    """`66, 14 (step 78), 4.1 (step 450, 0.83) and 7.7`."""
    percent, mean = (run.line(name, run.plotted_series) for name in ("percent", "L_mean"))
    if percent is None or mean is None or not run.zero_loss:
        return ""
    passes, least = plateau.passes_zero(run), int(np.argmin(percent.value))
    at = percent.step[least]
    crossed = "no such step" if passes is None else f"{percent.at(passes):.2g} (step {count(round(passes))})"
    ratio = mean.at(at) / run.zero_loss
    return (
        f"{percent.value[0]:.2g}, {crossed}, {percent.value[least]:.2g} (step {count(round(at))}, {ratio:.2g}) "
        f"and {percent.value[-1]:.2g}"
    )


def size_sentence(tier: str, run: Run) -> str:
    """What is not to be expected of a small network on small, generated data."""
    if tier == "paper" or ((run.parameters or 0) >= 5_000_000 and not is_generated(run.data)):
        return ""
    return (
        "At this size the fall, and L_mean passing the zero predictor, are what to look for; the ordering by training "
        "set and network, the dip and the ends take the paper's sizes and lengths and are not expected."
    )
