"""Curves of several methods in one panel: a colour per method, thin lines for the seeds, thick for their median."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.curves import Curve
from analysis.draw import style
from analysis.draw.panels import SOLID, Drawn, spread
from analysis.results import Run
from analysis.run_names import METHODS

WIDTHS = {"plain": 2.2, "es": 1.0, "rpp": 1.0, "ace-exact": 1.6, "ace-appr": 1.0, "recm": 1.0}
"""Line widths, relative: plain and ACE-exact lie under the others and are to be seen where those coincide with them."""
COLORS = {
    "plain": style.INK,
    "es": style.GREEN,
    "rpp": style.VERMILION,
    "ace-exact": style.ORANGE,
    "ace-appr": style.PURPLE,
    "recm": style.BLUE,
}


def seed_median(curves: Sequence[Curve]) -> Curve:
    """Median over seeds at the steps that all of them logged."""
    steps = reduce(np.intersect1d, [curve.step for curve in curves])
    values = [curve.value[np.isin(curve.step, steps)] for curve in curves]
    return Curve(steps, np.median(values, axis=0))


def draw_seeds(
    axes: Axes,
    runs: Iterable[Run],
    curve_of: Callable[[Run], Curve | None],
    color: str,
    drawn: Drawn,
    *,
    floor: float = -np.inf,
    dashes: object = SOLID,
    width: float = style.THICK,
    order: float = 5,
    **about: object,
) -> Curve | None:
    """Draw and record a quantity of every seed, and its median, which is returned; None if none logged it.

    Values under `floor` are drawn there and recorded as they are. The step axis must have its scale already.
    """
    curves = []
    for run in runs:
        if (curve := curve_of(run)) is not None and len(curve):
            drawn.add(curve, source="ours", run=run.name, seed=run.seed, label=run.label, **about)
            curves.append(curve)
    if not curves:
        return None
    middle = seed_median(curves)
    if len(curves) > 1:
        for curve in curves:
            axes.plot(
                *_visible(axes, curve, floor),
                color=color,
                lw=style.THIN,
                ls=dashes,
                alpha=0.4,
                zorder=order - 1,
            )
    axes.plot(*_visible(axes, middle, floor), color=color, lw=width, ls=dashes, zorder=order)
    return middle


def _visible(axes: Axes, curve: Curve, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values as drawn: without step 0 on a logarithmic axis, which would join it to the first step by a
    line of the wrong slope."""
    keep = curve.step > (0 if axes.get_xscale() == "log" else -1)
    return curve.step[keep], np.maximum(curve.value[keep], floor)


def method_handles(methods: Iterable[str]) -> list[Line2D]:
    """Names of the methods, by colour."""
    return [Line2D([], [], color=COLORS[m], lw=style.THICK * WIDTHS[m], label=METHODS[m]) for m in methods]


def network_handles(networks: Mapping[str, str]) -> list[Line2D]:
    """Names of other networks: name -> colour."""
    return [Line2D([], [], color=color, lw=style.THICK, label=name) for name, color in networks.items()]


def name_ends(axes: Axes, ends: Sequence[tuple[float, str, str]], gap: float = 0.06) -> None:
    """Names at the right of a panel, (height in data, text, colour), moved apart. Call after limits are set."""
    to_axes = axes.transData + axes.transAxes.inverted()
    placed = sorted((float(to_axes.transform((0.0, value))[1]), text, color) for value, text, color in ends)
    for height, (_, text, color) in zip(spread([h for h, _, _ in placed], gap), placed, strict=True):
        axes.text(1.02, height, text, transform=axes.transAxes, color=color, fontsize=5.5, va="center")
