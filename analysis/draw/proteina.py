"""Proteína's runs in panels: a curve per time t of the path, in the same colours everywhere."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.draw import style
from analysis.draw.panels import Ours, Paper
from analysis.reference.paper_curves import TIMES, PaperCurves
from analysis.results import Run

VELOCITY = r"nm$^2$ of velocity"
"""Unit of a loss of the clean points over (1 - t)^2."""


def label(t: float) -> str:
    """As in legends and CSV twins: t = 0.9."""
    return f"t = {t:g}"


def color(t: float) -> str:
    """Dark for noise, light for data; times between the paper's have the colour of the nearest."""
    nearest = min(range(len(TIMES)), key=lambda i: abs(TIMES[i] - t))
    return style.depth_colors(len(TIMES))[nearest]


def ours_by_time(run: Run | None, velocity: bool = False) -> list[Ours]:
    """A curve of a run for every time at which it was measured; none of an absent run. velocity: see `Run.at`."""
    return [Ours(run.at(t, velocity), label(t), color(t)) for t in (run.times if run else ())]


def paper_by_time(paper: PaperCurves, name: str, velocity: bool = False) -> list[Paper]:
    """The same of the paper's run that `name` repeats, at the paper's times, over optimiser steps."""
    found = []
    for t in TIMES:
        scale = (1 - t) ** -2 if velocity else 1.0
        curves = {
            quantity: curve if quantity == "percent" else curve.scaled(scale)
            for quantity, curve in paper.timed(name, t).items()
        }
        found.append(Paper(name, f"{t:g}", curves))
    return found


def time_legend(axes: Axes, times: tuple[float, ...], **where: object) -> None:
    """Names of the times, by colour."""
    handles = [Line2D([], [], color=color(t), lw=style.THICK, label=label(t)) for t in times]
    axes.legend(handles=handles, labelspacing=0.2, borderaxespad=0.0, **where)
