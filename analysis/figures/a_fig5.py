"""Paper A, Figure 5, and beyond it claim X3: how many rotations an estimate of the percent needs, of which kind."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

from analysis.captions import Caption, footer
from analysis.draw import style
from analysis.draw.panels import Drawing, figure_key
from analysis.notes import chains_phrase
from analysis.quantities.rotation_errors import KINDS, RESAMPLES, Study, estimate_errors, read_study
from analysis.reference.paper_curves import PaperCurves
from analysis.reference.printed import numbers
from analysis.results import Results, ResultsError, Run
from analysis.run_names import PROTEINA

LOOKS = {
    "iid": (style.BLUE, "o"),
    "super_fibonacci": (style.VERMILION, "s"),
    "product_quadrature": (style.GREEN, "^"),
}
"""Kind -> its colour and marker."""
COLUMNS = ["panel", "source", "run", "seed", "label", "series", "quantity", "estimator", "rotations", "value"]


def draw(results: Results, paper: PaperCurves) -> Drawing:
    """a: root mean square error of the percent by number of rotations; b: the mean estimate and its spread."""
    studies = [(run, study) for run in results.of(PROTEINA) if (study := read_study(run))]
    if not studies:
        raise ResultsError(
            f"a_fig5: no run of {PROTEINA} was measured for it; ask for measure.rotations in its file."
        )
    frame = pd.concat([estimate_errors(run, study) for run, study in studies], ignore_index=True)
    figure = style.new_figure(style.PAGE, 3.1)
    grid = figure.add_gridspec(1, 2, left=0.085, right=0.985, top=0.925, bottom=0.255, wspace=0.24)
    left, right = (figure.add_subplot(place) for place in grid)
    _error_panel(left, frame)
    paper_rows = _paper_point(left)
    _mean_panel(right, frame, studies)
    study = studies[0][1]
    style.title(left, "a", f"error of the percent at step {study.step}, t = {study.t:g}")
    style.title(right, "b", "mean estimate over repetitions, first seed")
    handles = [
        Line2D([], [], color=c, marker=m, ms=3, lw=style.THICK, label=KINDS[kind])
        for kind, (c, m) in LOOKS.items()
        if kind == "iid" or kind in study.kinds()
    ]
    handles.append(Line2D([], [], color=style.PAPER, marker="D", ms=3.5, ls="none", label="paper"))
    figure_key(figure, handles, footer(results))
    points = pd.concat([frame.drop(columns="spread"), paper_rows], ignore_index=True)[COLUMNS]
    return Drawing(figure, points, _caption(studies))


def _error_panel(axes: Axes, frame: pd.DataFrame) -> None:
    """Every seed thin, their median thick."""
    errors = frame[frame["quantity"] == "error"]
    for kind, (color, marker) in LOOKS.items():
        part = errors[errors["kind"] == kind]
        for _, of_seed in part.groupby("seed"):
            axes.plot(of_seed["rotations"], of_seed["value"], color=color, lw=style.THIN, alpha=0.5, zorder=3)
        middle = part.groupby("rotations")["value"].median()
        axes.plot(middle.index, middle, color=color, lw=style.THICK, marker=marker, ms=2.6, zorder=5)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("root mean square error\n[percentage points]")
    _rotations_axis(axes)


def _paper_point(axes: Axes) -> pd.DataFrame:
    """The one error that the paper prints."""
    rotations, error = (
        numbers("a")["proteina.monitor_rotations"],
        numbers("a")["proteina.rotation_study_error"],
    )
    axes.plot(rotations.value, error.value, "D", ms=3.5, color=style.PAPER, zorder=6)
    about = {"panel": "a", "source": "paper", "run": PROTEINA, "label": "paper", "quantity": "error"}
    return pd.DataFrame(
        [{**about, "estimator": "bootstrap", "rotations": rotations.value, "value": error.value}]
    )


def _mean_panel(axes: Axes, frame: pd.DataFrame, studies: list[tuple[Run, Study]]) -> None:
    """Means with one standard deviation of the first seed; the line is the reference."""
    run, study = studies[0]
    means = frame[(frame["quantity"] == "mean") & (frame["seed"] == run.seed)]
    for shift, (kind, (color, marker)) in zip((1.0, 1.04, 0.96), LOOKS.items(), strict=True):
        part = means[means["kind"] == kind]
        axes.errorbar(
            part["rotations"] * shift, part["value"], part["spread"],
            color=color, marker=marker, ms=2.6, lw=0.0, elinewidth=0.8, capsize=1.5, capthick=0.6, zorder=4,
        )  # fmt: skip
    axes.axhline(study.reference, color=style.INK, lw=0.7, ls=(0, (1, 1.4)), zorder=2)
    axes.set_ylabel("equivariance error\n[% of validation loss]")
    style.linear_percent(axes)
    _rotations_axis(axes)


def _rotations_axis(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([2, 3, 5, 10, 20, 50, 100]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes.set_xlim(1.8, 112)
    axes.set_xlabel("rotations in an estimate")


def _caption(studies: list[tuple[Run, Study]]) -> Caption:
    run, study = studies[0]
    printed = numbers("a")["proteina.rotation_study_percent"].value
    text = (
        f"How an estimate of Proteína's percent at t = {study.t:g} depends on its rotations. a: root mean square "
        "error against the number of rotations, for independent rotations and for deterministic sets (thick: "
        "median over seeds; thin: seeds). b: mean estimate and standard deviation, first seed; dotted: the value "
        "that deterministic sets are compared with. Grey: the paper's standard error, of its own network."
    )
    on = chains_phrase(run, study.batches)
    independent = (
        f"{'Measured on ' + on + '. ' if on else ''}Independent rotations: {RESAMPLES} resamples with replacement "
        f"from a pool of {len(study.pool)}, corrected by Prop. 8 (paper A, B.1), compared with the pool's own "
        "value."
    )
    theirs = (
        f"The paper's error is at {printed:g}% of the loss. Errors scale with the percent: compare slopes, not "
        "sizes."
    )
    return Caption.of(text, independent, _deterministic(study), _compared_with(studies), theirs)


def _deterministic(study: Study) -> str:
    """How often the deterministic sets were repeated, and how uncertain their errors are."""
    if not study.sets:
        return ""
    turns = len(next(iter(study.sets.values())))
    return (
        f"Deterministic sets have no correction. Each seed has {turns} repetitions; each repetition turns the whole "
        f"set by a random rotation. An error from {turns} normal values has a relative standard deviation of "
        f"{100 / (2 * turns) ** 0.5:.0f}%. The error includes the bias, which b shows."
    )


def _compared_with(studies: list[tuple[Run, Study]]) -> str:
    """What the dotted line is."""
    kind, sets = studies[0][1].most
    values = ", ".join(f"{study.reference:.3g}%" for _, study in studies)
    source = (
        "the whole pool"
        if kind == "iid"
        else f"all {len(sets)} sets of {sets.size} rotations of the {KINDS[kind]}"
    )
    own = "" if kind == "iid" else " Errors of that kind are thus about their own mean."
    return f"The dotted value is an unbiased estimate from {source}; by seed: {values}.{own}"
