"""The two kinds of panel in the training-dynamics figures, and the record of what was drawn in them.

A percent panel always has a slim companion below it with L_mean, L_equiv and the loss of the constant-zero
predictor: a model that answers zero is perfectly equivariant, so a low percent means little while L_mean is
still at that level (claims A11 and X4 of the project).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D

from analysis.captions import Caption
from analysis.curves import Curve, thinned
from analysis.draw import style
from analysis.draw.smoothing import variable_span_ema
from analysis.reference.paper_curves import PaperCurve, PaperCurves
from analysis.results import Results, Run
from models.training.series import EMA, RAW, ZERO, Series

SOLID, DASHED, DOTTED = "-", (0, (3.2, 1.4)), (0, (1, 1.4))
LOSS_DASHES = {"L_total": (0, (5, 1, 1, 1)), "L_mean": SOLID, "L_equiv": DASHED}
LOSS_NAMES = {"L_total": r"$L$", "L_mean": r"$L_\mathrm{mean}$", "L_equiv": r"$L_\mathrm{equiv}$"}
UNIT = "normalised"
COLUMNS = ["panel", "source", "run", "seed", "label", "series", "quantity", "estimator", "step", "value"]


@dataclass(frozen=True)
class Ours:
    """One run of ours in a panel."""

    run: Run
    label: str
    color: str


@dataclass(frozen=True)
class Paper:
    """One run of the paper in a panel: name of the run of ours that repeats it, label, curves by quantity."""

    name: str
    label: str
    curves: dict[str, PaperCurve]


def paper_runs(paper: PaperCurves, name: str) -> list[Paper]:
    """The paper's replicates of run `name`, the first with its losses."""
    losses = paper.losses_of(name)
    return [
        Paper(name, f"replicate {i + 1}", {"percent": percent, **(losses if i == 0 else {})})
        for i, percent in enumerate(paper.percent_of(name))
    ]


@dataclass
class Drawn:
    """Every curve drawn in a figure, for its CSV twin."""

    frames: list[pd.DataFrame] = field(default_factory=list)

    def add(self, curve: Curve, **about: object) -> Curve:
        """Record `curve`, thinned to what the eye can see, and return what is to be drawn."""
        curve = thinned(curve)
        frame = pd.DataFrame({"step": curve.step.astype(np.int64), "value": curve.value})
        if isinstance(series := about.get("series"), Series):
            about["series"] = str(series)
        self.frames.append(frame.assign(**about).reindex(columns=COLUMNS))
        return curve

    def table(self) -> pd.DataFrame:
        """All points in one tidy frame."""
        return pd.concat(self.frames, ignore_index=True) if self.frames else pd.DataFrame(columns=COLUMNS)


@dataclass(frozen=True)
class Drawing:
    """What a figure module returns: the figure, the points in it, and its caption.

    shown: the runs that are drawn, where they are fewer than were given.
    """

    figure: Figure
    points: pd.DataFrame
    caption: Caption
    shown: Results | None = None


def percent_panel(
    figure: Figure,
    place: SubplotSpec,
    ours: Sequence[Ours],
    paper: Sequence[Paper],
    drawn: Drawn,
    panel: str,
    *,
    share: tuple[float, float] = (2.3, 1.0),
    shadow: bool = True,
) -> tuple[Axes, Axes]:
    """Percent over losses, sharing the step axis; scales and limits are the caller's. shadow: see `draw_paper`."""
    grid = place.subgridspec(2, 1, height_ratios=share, hspace=0.09)
    top = figure.add_subplot(grid[0])
    low = figure.add_subplot(grid[1], sharex=top)
    top.tick_params(labelbottom=False)
    for theirs in paper:
        draw_paper(top, theirs, ["percent"], drawn, panel, shadow=shadow)
        draw_paper(low, theirs, ["L_mean", "L_equiv"], drawn, panel)
    for our in ours:
        draw_ours(top, our, "percent", drawn, panel)
        for quantity in ("L_mean", "L_equiv"):
            draw_ours(low, our, quantity, drawn, panel, dashes=LOSS_DASHES[quantity], raw=False, width=1.0)
    zero_level(low, ours, drawn, panel)
    low.set_xlabel("training step")
    top.set_ylabel("equivariance error\n[% of validation loss]")
    low.set_ylabel(f"loss\n[{UNIT}]")
    return top, low


def draw_ours(
    axes: Axes,
    our: Ours,
    quantity: str,
    drawn: Drawn,
    panel: str,
    *,
    dashes: object = SOLID,
    raw: bool = True,
    width: float = style.THICK,
) -> None:
    """A run's curve: thick for the weights' EMA, thin for the raw weights, points for sampled rotations.

    Where no EMA was kept the thick line is the variable-span average of the raw curve.
    """
    run, color = our.run, our.color
    about = {"panel": panel, "source": "ours", "run": run.name, "seed": run.seed, "label": our.label}
    series = run.plotted_series
    estimator = "closed form" if run.has_closed_form() else "rotations"
    line = run.line(quantity, series)
    if line is None:
        return
    if series == RAW:
        smooth = Curve(line.step, variable_span_ema(line.value, line.step))
        thick = drawn.add(smooth, series="raw, smoothed", quantity=quantity, estimator=estimator, **about)
    else:
        thick = drawn.add(line, series=series, quantity=quantity, estimator=estimator, **about)
    if raw and (thin := run.line(quantity, RAW)) is not None:
        thin = drawn.add(thin, series=RAW, quantity=quantity, estimator=estimator, **about)
        opacity = 0.55 if len(thin) <= 100 else 0.25
        axes.plot(thin.step, thin.value, color=color, lw=style.THIN, alpha=opacity, zorder=3)
    axes.plot(thick.step, thick.value, color=color, lw=width, ls=dashes, zorder=5)
    if raw and run.has_closed_form() and (points := run.curve(quantity, series)) is not None:
        points = drawn.add(
            thinned(points, 60), series=series, quantity=quantity, estimator="rotations", **about
        )
        axes.plot(
            points.step, points.value, "o", ms=1.7, mfc="white", mec=color, mew=0.45, ls="none", zorder=6
        )


def draw_paper(
    axes: Axes,
    theirs: Paper,
    quantities: Iterable[str],
    drawn: Drawn,
    panel: str,
    *,
    until: float = np.inf,
    stretch: float = 1.0,
    shadow: bool = True,
) -> None:
    """The paper's curve as always: thin and grey (medians of bins), over a shadow of what was logged where we have it.

    On an axis whose steps are not the paper's, steps up to `until` are drawn at `stretch` times themselves.
    shadow: no, where the shadows of many curves would hide each other.
    """
    for quantity in quantities:
        if (curve := theirs.curves.get(quantity)) is None:
            continue
        dashes = SOLID if quantity == "percent" else LOSS_DASHES[quantity]
        about = {
            "panel": panel,
            "source": "paper",
            "run": theirs.name,
            "label": theirs.label,
            "quantity": quantity,
        }
        median = drawn.add(curve.median.until(until), series="paper", estimator="rotations", **about)
        if quantity == "percent" and shadow and curve.logged is not None:
            logged = curve.logged.until(until)
            axes.plot(stretch * logged.step, logged.value, color=style.SHADOW, lw=0.3, zorder=1)
        axes.plot(stretch * median.step, median.value, color=style.PAPER, lw=style.FAINT, ls=dashes, zorder=2)


def zero_level(axes: Axes, ours: Sequence[Ours], drawn: Drawn, panel: str) -> None:
    """The loss of always predicting zero, once per distinct level."""
    for our in {f"{o.run.zero_loss:.3g}": o for o in ours if o.run.zero_loss}.values():
        last = max(o.run.metrics["step"].max() for o in ours)
        about = {"run": our.run.name, "seed": our.run.seed, "label": "constant-zero predictor"}
        curve = Curve(np.array([0.0, last]), np.full(2, our.run.zero_loss))
        drawn.add(
            curve, panel=panel, source="ours", series=ZERO, quantity="L_total", estimator="exact", **about
        )
        axes.axhline(our.run.zero_loss, color=style.INK, lw=0.7, ls=DOTTED, zorder=4)


def end_labels(axes: Axes, paper: Sequence[Paper], gap: float = 0.075) -> None:
    """Small grey names at the right ends of the paper's percent curves, moved apart so that none overlap.

    `gap` is the smallest distance between two names, in heights of the panel. Call after limits are set.
    """
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = []
    for theirs in paper:
        last = theirs.curves["percent"].median
        height = to_axes.transform((last.step[-1], last.value[-1]))[1]
        ends.append((float(height), float(last.step[-1]), theirs.label))
    ends.sort()
    heights = spread([height for height, _, _ in ends], gap)
    right = max((step for _, step, _ in ends), default=1.0)
    x = float(to_axes.transform((right, axes.get_ylim()[0]))[0]) + 0.015
    for (_, _, text), height in zip(ends, heights, strict=True):
        axes.text(
            x, height, text, transform=axes.transAxes, color="#777777", fontsize=5.0, va="center", ha="left"
        )


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Positions near sorted `heights`, `gap` apart or more: what would touch is centred together."""
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _overlap(groups[-2], groups[-1], gap):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [
        sum(group) / len(group) + (i - (len(group) - 1) / 2) * gap
        for group in groups
        for i in range(len(group))
    ]


def _overlap(lower: list[float], upper: list[float], gap: float) -> bool:
    top = sum(lower) / len(lower) + (len(lower) - 1) / 2 * gap
    bottom = sum(upper) / len(upper) - (len(upper) - 1) / 2 * gap
    return bottom - top < gap


def run_legend(axes: Axes, ours: Sequence[Ours], **where: object) -> None:
    """Names of our runs in a panel, by colour."""
    handles = [Line2D([], [], color=our.color, lw=style.THICK, label=our.label) for our in ours]
    axes.legend(handles=handles, labelspacing=0.2, borderaxespad=0.0, **where)


def loss_legend(axes: Axes, colors: dict[str, str], **where: object) -> None:
    """Names of the losses in a panel, by colour and dashes."""
    handles = [
        Line2D([], [], color=c, lw=1.0, ls=LOSS_DASHES[q], label=LOSS_NAMES[q]) for q, c in colors.items()
    ]
    axes.legend(handles=handles, handlelength=2.2, **where)


def key_handles(ours: Sequence[Ours], losses: Sequence[str] = ("L_mean", "L_equiv")) -> list[Line2D]:
    """What thick, thin, points, grey, solid, dashed and dotted mean: one key for the whole figure."""
    ink = style.INK
    ema = any(our.run.plotted_series == EMA for our in ours)
    exact = any(our.run.has_closed_form() for our in ours)
    handles = [Line2D([], [], color=ink, lw=style.THICK, label="EMA weights" if ema else "smoothed")]
    handles.append(Line2D([], [], color=ink, lw=style.THIN, alpha=0.7, label="raw weights"))
    if exact:
        handles[0].set_label(handles[0].get_label() + ", closed form")
        rotations = Line2D(
            [], [], marker="o", ms=2.4, mfc="white", mec=ink, mew=0.5, ls="none", label="rotations sampled"
        )
        handles.append(rotations)
    handles.append(Line2D([], [], color=style.PAPER, lw=0.8, label="paper"))
    handles += [Line2D([], [], color=ink, lw=1.0, ls=LOSS_DASHES[q], label=LOSS_NAMES[q]) for q in losses]
    handles.append(Line2D([], [], color=ink, lw=0.7, ls=DOTTED, label="constant-zero predictor"))
    return handles


SMALL_PRINT = 24  # letters of it to an inch, about


def figure_key(
    figure: Figure, handles: list[Line2D], words: list[str], *, columns: int | None = None
) -> None:
    """The key at the bottom, and below it in small print what the figure was drawn from.

    `columns` sets the key in several rows; the small print takes as many lines as it needs.
    """
    height = figure.get_figheight()
    lines = _lines_of(words, int(SMALL_PRINT * figure.get_figwidth()))
    text = "\n".join(lines)
    figure.legend(
        handles=handles,
        loc="lower center",
        ncols=columns or len(handles),
        bbox_to_anchor=(0.5, (0.08 + 0.09 * len(lines)) / height),
        handlelength=2.0,
    )
    figure.text(0.5, 0.05 / height, text, ha="center", va="bottom", fontsize=5.0, color="#777777")


def _lines_of(words: list[str], width: int) -> list[str]:
    """Phrases set in lines of at most `width` letters, where one phrase does not need more."""
    lines: list[str] = []
    for phrase in words:
        joined = f"{lines[-1]}  ·  {phrase}" if lines else ""
        if lines and len(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(phrase)
    return lines


def log_limits(curves: Iterable[Curve], pad: float = 1.25) -> tuple[float, float]:
    """Limits of a logarithmic step axis that hold every positive step."""
    steps = np.concatenate([curve.step[curve.step > 0] for curve in curves])
    return steps.min() / pad, steps.max() * pad
