"""Paper A, Figure 5, and beyond it claim X3: how many rotations an estimate of the percent needs, of which kind."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

from analysis.captions import footer
from analysis.draw import style
from analysis.draw.panels import Drawing, figure_key
from analysis.monitored import chains_phrase, settings_of
from analysis.quantities.rotation_errors import RESAMPLES, Study, bootstrap, read_study, root_mean_square
from analysis.reference.paper_curves import PaperCurves
from analysis.reference.printed import numbers
from analysis.results import Results, ResultsError, Run
from analysis.run_names import PROTEINA

COUNTS = (2, 3, 4, 5, 7, 10, 14, 20, 30, 40, 50, 70, 100)
KINDS = {
    "iid": ("random, independent", style.BLUE, "o"),
    "super_fibonacci": ("super-Fibonacci spiral", style.VERMILION, "s"),
    "product_quadrature": ("product quadrature", style.GREEN, "^"),
}
"""Kind -> its name, colour and marker."""
COLUMNS = ["panel", "source", "run", "seed", "label", "series", "quantity", "estimator", "rotations", "value"]


def draw(results: Results, paper: PaperCurves | None) -> Drawing:
    """a: root mean square error of the percent by number of rotations; b: the mean estimate and its spread."""
    studies = [(run, study) for run in results.of(PROTEINA) if (study := read_study(run))]
    if not studies:
        raise ResultsError(
            f"a_fig5: no run of {PROTEINA} holds rotations.parquet; set model.init_args.rotation_study and train again."
        )
    frame = pd.concat([_errors(run, study) for run, study in studies], ignore_index=True)
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
        Line2D([], [], color=c, marker=m, ms=3, lw=style.THICK, label=name)
        for kind, (name, c, m) in KINDS.items()
        if kind == "iid" or kind in study.kinds()
    ]
    handles.append(Line2D([], [], color=style.PAPER, marker="D", ms=3.5, ls="none", label="paper"))
    figure_key(figure, handles, footer(results))
    points = pd.concat([frame.drop(columns="spread"), paper_rows], ignore_index=True)[COLUMNS]
    return Drawing(figure, points, _caption(studies))


def _errors(run: Run, study: Study) -> pd.DataFrame:
    """Error, bias and spread of every kind and number of rotations."""
    estimates = [("iid", n, bootstrap(study.pool, n)) for n in COUNTS if n <= len(study.pool)]
    estimates += [(kind, size, sets.percent) for (kind, size), sets in sorted(study.sets.items())]
    rows = []
    for kind, n, percents in estimates:
        # Resamples scatter about the pool's own value, not about that of all rotations.
        centre = study.pool.pooled if kind == "iid" else study.reference
        about = {
            "source": "ours",
            "run": run.name,
            "seed": run.seed,
            "label": KINDS[kind][0],
            "series": study.series,
        }
        estimator = "bootstrap" if kind == "iid" else "random turns"
        values = {"error": ("a", root_mean_square(percents, centre)), "mean": ("b", float(percents.mean()))}
        rows += [
            {"panel": panel, "quantity": quantity, "rotations": n, "value": value, "kind": kind,
             "estimator": estimator, "spread": float(percents.std(ddof=1)), **about}
            for quantity, (panel, value) in values.items()
        ]  # fmt: skip
    return pd.DataFrame(rows)


def _error_panel(axes: Axes, frame: pd.DataFrame) -> None:
    """Every seed thin, their median thick."""
    errors = frame[frame["quantity"] == "error"]
    for kind, (_, color, marker) in KINDS.items():
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
    for shift, (kind, (_, color, marker)) in zip((1.0, 1.04, 0.96), KINDS.items(), strict=True):
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


def _caption(studies: list[tuple[Run, Study]]) -> list[str]:
    run, study = studies[0]
    printed = numbers("a")["proteina.rotation_study_percent"].value
    on = chains_phrase(run, settings_of(run, "rotation_study").get("batches"))
    own = (
        f"How the estimate of Proteína's percent at step {study.step} and t = {study.t:g} ({study.series} weights"
        f"{on and f', {on}'}) depends on the rotations. Independent ones: {RESAMPLES} resamples with replacement from "
        f"a pool of {len(study.pool)}, with the correction of Prop. 8 (paper A, B.1), about the pool's own value. "
        f"{_deterministic(study)}Thick: median over seeds, thin: seeds; bars: one standard deviation. "
        f"{_held_against(studies)}"
    )
    theirs = (
        f"Grey: the paper's standard error with ten rotations, at {printed:g}% of the loss and on its own network; "
        "its other values were not recovered. Errors scale with the percent, so compare slopes and kinds before sizes."
    )
    return [own, theirs]


def _deterministic(study: Study) -> str:
    """How often the deterministic sets were repeated, and how much of an error is then chance."""
    if not study.sets:
        return ""
    turns = len(next(iter(study.sets.values())))
    return (
        f"Deterministic sets are without a correction, {turns} repetitions a seed, each turned as a whole by a random "
        f"rotation: an error from so few is itself uncertain by about {100 / (2 * turns) ** 0.5:.0f}% (one standard "
        "deviation, were they normal), and holds their bias, which b shows. "
    )


def _held_against(studies: list[tuple[Run, Study]]) -> str:
    """What the dotted line is, which errors of deterministic sets are about."""
    kind, sets = studies[0][1].most
    values = ", ".join(f"{study.reference:.3g}" for _, study in studies)
    if kind == "iid":
        return f"Dotted: an estimate, too, without bias and from the whole pool; by seed {values}."
    return (
        f"Dotted, what their errors are about: an estimate, too, without bias and from all {len(sets)} sets of "
        f"{sets.size} of the {KINDS[kind][0]}, so that the errors of these are about their own mean; by seed {values}."
    )
