"""Panels that say what share of a loss is equivariance error, by method: percent, losses and largest |alpha|.

The share is drawn above the losses it is a share of, since a low percent of a loss that nothing has lowered
says little, and these above the largest |alpha|, from which a share of relaxed networks comes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecBase
from matplotlib.lines import Line2D

from analysis.curves import Curve
from analysis.draw import style
from analysis.draw.methods import COLORS, WIDTHS, draw_seeds
from analysis.draw.panels import DASHED, DOTTED, LOSS_DASHES, LOSS_NAMES, SOLID, Drawn, log_limits
from analysis.quantities.relaxation import PRUNE_BELOW, largest_alpha
from analysis.results import Run
from analysis.run_names import METHODS
from analysis.tasks import OWN
from models.training.series import ZERO, Series

FLOOR = 1e-4
"""Percents below are rounding of an exactly equivariant network and are drawn here [%]."""
SMALLEST = 1e-3
"""Smallest |alpha| drawn."""
KEPT_DASHES = (0, (4, 1, 1, 1))
THRESHOLD = "#b0b0b0"


@dataclass(frozen=True)
class Shown:
    """A method's runs and the series of the readout that is drawn; solid for the readout that is meant.

    method: one of METHODS, or the name of another network, which has a colour of its own.
    """

    method: str
    runs: tuple[Run, ...]
    series: Series = OWN
    dashes: object = SOLID
    other: str | None = None

    @property
    def color(self) -> str:
        return self.other or COLORS[self.method]

    @property
    def width(self) -> float:
        """Of its lines, relative."""
        return WIDTHS.get(self.method, 1.0)


@dataclass(frozen=True)
class Column:
    """The panels of one data set. zero: a run whose zero predictor is drawn."""

    letter: str
    title: str
    shown: Sequence[Shown]
    zero: Run | None = None


@dataclass(frozen=True)
class Words:
    """What the loss is called, its unit, and what the constant-zero predictor is."""

    loss: str
    unit: str
    zero: str


def error_columns(
    figure: Figure,
    grid: GridSpecBase,
    columns: Mapping[int, Column],
    words: Words,
    drawn: Drawn,
) -> list[list[Axes]]:
    """Three rows of panels in the first three rows of `grid`, by column of the grid; y is shared along a row."""
    rows: list[list[Axes]] = [[], [], []]
    for position, (place, column) in enumerate(columns.items()):
        for row, (panels, fill) in enumerate(zip(rows, (_percents, _losses, _alphas), strict=True)):
            axes = figure.add_subplot(grid[row, place], sharey=panels[0] if panels else None)
            style.log_steps(axes)
            fill(axes, column, words, drawn)
            axes.tick_params(labelbottom=row == 2, labelleft=position == 0)
            if position:
                axes.set_ylabel("")
            panels.append(axes)
        style.title(rows[0][-1], column.letter, column.title)
        rows[2][-1].set_xlabel("training step")
    _scales(rows, drawn)
    return rows


def _of(quantity: str, series: Series) -> Callable[[Run], Curve | None]:
    return lambda run: run.line(quantity, series)


def _ordered(shown: Sequence[Shown]) -> list[tuple[int, Shown]]:
    """Each with its layer: later methods lie over earlier ones."""
    methods = list(dict.fromkeys(one.method for one in shown))
    return [(4 + methods.index(one.method), one) for one in shown]


def _percents(axes: Axes, column: Column, words: Words, drawn: Drawn) -> None:
    found = False
    for order, one in _ordered(column.shown):
        middle = draw_seeds(
            axes, one.runs, _of("percent", one.series), one.color, drawn, floor=FLOOR, dashes=one.dashes,
            width=(style.THICK if one.dashes == SOLID else 0.9) * one.width, order=order,
            panel=column.letter, series=one.series, quantity="percent", estimator="rotations",
        )  # fmt: skip
        found = found or middle is not None
    if not found:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", fontsize=6.0)
    axes.set_ylabel(f"equivariance error\n[% of {words.loss}]")


def _losses(axes: Axes, column: Column, words: Words, drawn: Drawn) -> None:
    """L_mean and L_equiv of the readouts that are meant, and the loss of the constant-zero predictor."""
    for order, one in _ordered(column.shown):
        for quantity in ("L_mean", "L_equiv") if one.dashes == SOLID else ():
            draw_seeds(
                axes, one.runs, _of(quantity, one.series), one.color, drawn, floor=FLOOR / 100,
                width=0.9 * one.width, dashes=LOSS_DASHES[quantity], order=order, panel=column.letter,
                series=one.series, quantity=quantity, estimator="rotations",
            )  # fmt: skip
    if (run := column.zero) is not None and run.zero_loss:
        last = run.metrics["step"].max()
        zero = drawn.add(
            Curve(np.array([0.0, last]), np.full(2, run.zero_loss)), panel=column.letter, source="ours", run=run.name,
            seed=run.seed, label=words.zero, series=ZERO, quantity="L_total", estimator="exact",
        )  # fmt: skip
        axes.axhline(zero.value[0], color=style.INK, lw=0.7, ls=DOTTED, zorder=3)
    axes.set_ylabel(f"loss\n[{words.unit}]")


def _alphas(axes: Axes, column: Column, words: Words, drawn: Drawn) -> None:
    """Largest |alpha| of W and b over all places, of every run that has one."""
    seen: set[tuple[str, ...]] = set()
    for order, one in _ordered(column.shown):
        ids = tuple(run.id for run in one.runs)
        if ids in seen:
            continue
        seen.add(ids)
        draw_seeds(
            axes, one.runs, largest_alpha, one.color, drawn, floor=SMALLEST, order=order,
            width=style.THICK * one.width, panel=column.letter, series="relaxation",
            quantity="largest_alpha",
        )  # fmt: skip
    axes.axhline(PRUNE_BELOW, color=THRESHOLD, lw=0.5, ls=DASHED, zorder=1)
    axes.set_ylabel("largest |α|")


def _scales(rows: list[list[Axes]], drawn: Drawn) -> None:
    points = drawn.table()
    steps = points["step"].to_numpy(float)
    for axes in [axes for panels in rows for axes in panels if (steps > 0).any()]:
        axes.set_xlim(log_limits([Curve(steps, steps)]))
    for axes in rows[0]:
        percent_axis(axes.yaxis)
    losses = points[points["quantity"].isin(("L_mean", "L_equiv", "L_total"))]["value"]
    for axes in rows[1]:
        style.log_loss(axes)
        axes.set_ylim(FLOOR / 130, 2.0 * losses.max() if len(losses) else 1.0)
    sizes = points[points["quantity"] == "largest_alpha"]["value"]
    for axes in rows[2]:
        axes.set_yscale("log")
        axes.set_ylim(SMALLEST / 1.3, max([2.0, *(1.5 * sizes)]))


def percent_axis(axis: Axis) -> None:
    """Logarithmic percents from the floor, which is labelled as such, to all of the loss."""
    axes = axis.axes
    style.log_percent(axes)
    axes.set_ylim(FLOOR / 1.5, 160)
    label = axis.get_major_formatter()
    axis.set_major_formatter(lambda value, at: ("≤ " if np.isclose(value, FLOOR) else "") + label(value, at))


def ends_panel(
    axes: Axes,
    groups: Mapping[str, Sequence[Shown]],
    marks: Sequence[tuple[str, bool]],
    drawn: Drawn,
    panel: str,
    *,
    offset: float = 0.15,
) -> None:
    """Percent of every seed after the last step: a column per method, a mark (shape, filled) per group."""
    shown = dict.fromkeys(one.method for group in groups.values() for one in group if one.runs)
    methods = [method for method in (*METHODS, *shown) if method in shown]
    methods = list(dict.fromkeys(methods))
    middle = (len(groups) - 1) / 2
    for position, ((label, group), (shape, filled)) in enumerate(zip(groups.items(), marks, strict=True)):
        for one in group:
            for run in one.runs:
                if (percent := run.line("percent", one.series)) is None:
                    continue
                end = drawn.add(
                    Curve(percent.step[-1:], percent.value[-1:]), panel=panel, source="ours", run=run.name,
                    seed=run.seed, label=label, series=one.series, quantity="percent", estimator="rotations",
                )  # fmt: skip
                color = one.color
                axes.plot(
                    methods.index(one.method) + 2 * offset * (position - middle), max(float(end.value[0]), FLOOR),
                    shape, ms=3.2, mec=color, mew=0.7, mfc=color if filled else "white", zorder=4,
                )  # fmt: skip
    axes.set_xticks(range(len(methods)), [METHODS.get(method, method) for method in methods])
    axes.set_xlim(-0.5, len(methods) - 0.5)
    percent_axis(axes.yaxis)


def mark_handles(names: Sequence[str], marks: Sequence[tuple[str, bool]]) -> list[Line2D]:
    """What the marks of `ends_panel` stand for."""
    ink = style.INK
    return [
        Line2D(
            [],
            [],
            marker=shape,
            ms=3.0,
            mec=ink,
            mew=0.6,
            mfc=ink if filled else "white",
            ls="none",
            label=name,
        )
        for name, (shape, filled) in zip(names, marks, strict=True)
    ]


def line_handles(zero: str | None) -> list[Line2D]:
    """What dashes mean in the three rows of panels; zero: the name of the constant-zero predictor, if drawn."""
    ink = style.INK
    dotted = [Line2D([], [], color=ink, lw=0.7, ls=DOTTED, label=zero)] if zero else []
    return [
        Line2D([], [], color=ink, lw=0.9, ls=KEPT_DASHES, label="every term kept"),
        *(
            Line2D([], [], color=ink, lw=0.9, ls=LOSS_DASHES[q], label=LOSS_NAMES[q])
            for q in ("L_mean", "L_equiv")
        ),
        *dotted,
        Line2D([], [], color=THRESHOLD, lw=0.7, ls=DASHED, label="pruning threshold"),
    ]
