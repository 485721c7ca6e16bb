"""Bars of what the terms of single layers do: losses with one layer's terms left out (claim X2)."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.curves import Curve
from analysis.draw import style
from analysis.draw.depth import colors_of
from analysis.draw.panels import Drawn
from analysis.words import number
from models.training.series import Series

SYMBOLS = {"L_equiv": r"$L_\mathrm{equiv}$", "L_total": "$L$"}


def place_bars(
    axes: Axes, changes: pd.DataFrame, names: Sequence[str], drawn: Drawn, panel: str, group: str = ""
) -> None:
    """A bar per place: mean over seeds, with a dot per seed."""
    colors = colors_of(names)
    for height, place in enumerate(names):
        of_place = changes[changes["place"] == place]
        axes.barh(height, of_place["change"].mean(), height=0.72, color=colors[place], lw=0, zorder=3)
        axes.plot(
            of_place["change"], [height] * len(of_place), "o", ms=1.8, mfc="white", mec=style.INK, mew=0.4,
            zorder=4, clip_on=False,
        )  # fmt: skip
    for row in changes.itertuples():
        left_out, full = Series(group=group, without=row.place), Series(group=group)
        for series, value in ((left_out, row.without), (full, row.full)):
            drawn.add(
                Curve([row.step], [value]), panel=panel, source="ours", run=row.run, seed=row.seed, label=row.place,
                series=series, quantity=row.quantity, estimator="rotations",
            )  # fmt: skip
    axes.axvline(0.0, color=style.INK, lw=0.4, zorder=2)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0, labelsize=5.2)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.spines["left"].set_visible(False)


def change_label(axes: Axes, quantity: str, unit: str) -> None:
    """What the bars of a quantity say."""
    turn = "fall" if quantity == "L_equiv" else "rise"
    axes.set_xlabel(f"{turn} of {SYMBOLS[quantity]} without its terms [{unit}]")


def mean_full(changes: pd.DataFrame) -> str:
    """The loss with all terms, mean over seeds."""
    return number(changes.drop_duplicates("seed")["full"].mean())


def common_limits(panels: Sequence[Axes], changes: pd.Series, smallest: float) -> None:
    """One scale that holds zero and every seed, and reaches `smallest`: rounding is not to look like an effect."""
    low, high = min(0.0, changes.min()), max(smallest, changes.max())
    pad = 0.06 * (high - low)
    for axes in panels:
        axes.set_xlim(low - pad * (low < 0), high + pad)
