"""Beyond both papers: which layer's relaxation causes the equivariance error, and what it buys (claim X2)."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis import style
from analysis.captions import absent_sentence, footer, provenance_line
from analysis.curves import Curve
from analysis.depth import colors_of
from analysis.panels import Drawing, Drawn, figure_key
from analysis.reference.paper_curves import PaperCurves
from analysis.relaxed import DATA, METHODS, places, vn_run, vn_runs
from analysis.results import Results, ResultsError, Run

TITLE = "VN-PointNet: equivariance error by relaxed layer"
SHOWN = ("recm", "rpp")
RUNS = vn_runs(*SHOWN)
REQUIRED = vn_runs("recm")
COLUMNS = (("rotated", "L_equiv"), ("aligned", "L_equiv"), ("aligned", "L_total"))
SYMBOLS = {"L_equiv": r"$L_\mathrm{equiv}$", "L_total": "$L$"}
SMALLEST = 1e-3
"""Every scale reaches this far [nats], so that rounding does not look like an effect."""
HEIGHT = 3.05
"""Of one row of panels, with its titles and labels [inch]."""


def draw(results: Results, paper: PaperCurves | None) -> Drawing:
    """A row per method, a bar per layer: L_equiv gone without its terms (rotated, aligned), loss gained (aligned)."""
    if not any(series.startswith("without ") for run in results.runs for series in run.series("val")):
        raise ResultsError(
            "x2 needs the losses without each layer's terms, which none of the runs measured; "
            "train them again, with the monitor on at the last step."
        )
    methods = [method for method in SHOWN if all(results.of(vn_run(data, method)) for data in DATA)]
    drawn = Drawn()
    height = HEIGHT * len(methods) + 0.28
    figure = style.new_figure(style.PAGE, height)
    grid = figure.add_gridspec(
        len(methods), 3, left=0.15, right=0.985, top=1 - 0.25 / height, bottom=0.6 / height, wspace=0.13,
        hspace=0.62 / (HEIGHT - 0.62),
    )  # fmt: skip
    letters = iter("abcdef")
    for row, method in enumerate(methods):
        names = places(results.first(vn_run("aligned", method)))
        panels, changes = [], []
        for column, (data, quantity) in enumerate(COLUMNS):
            axes, letter = figure.add_subplot(grid[row, column]), next(letters)
            changes.append(change_frame(results.of(vn_run(data, method)), names, quantity))
            _bars(axes, changes[-1], names, drawn, letter)
            full = changes[-1].drop_duplicates("seed")["full"].mean()
            style.title(
                axes, letter, f"{METHODS[method]}, {data}: {SYMBOLS[quantity]} = {style.number(full)}"
            )
            turn = "fall" if quantity == "L_equiv" else "rise"
            axes.set_xlabel(f"{turn} of {SYMBOLS[quantity]} without its terms [nats]")
            axes.tick_params(labelleft=column == 0)
            panels.append(axes)
        _limits(panels[:2], pd.concat(changes[:2])["change"])
        _limits(panels[2:], changes[2]["change"])
    figure_key(figure, [], footer(results))
    return Drawing(figure, drawn.table(), caption(results))


def change_frame(runs: Sequence[Run], names: Sequence[str], quantity: str) -> pd.DataFrame:
    """A row per seed and place: the loss with all terms (`full`), without the place's (`without`), `change`.

    change: by how much L_equiv falls, or any other loss rises, when the terms are taken out. A place that was
    not taken out has none to take. Raises ResultsError where a run has no last measurement of `quantity`.
    """
    rows = []
    for run in runs:
        if (full := run.line(quantity, "raw")) is None:
            raise ResultsError(
                f"{run.folder}: no {quantity} of the validation loss; train it with the monitor on."
            )
        for place in names:
            curve = run.line(quantity, f"without {place}")
            before, after = float(full.value[-1]), float((full if curve is None else curve).value[-1])
            change = before - after if quantity == "L_equiv" else after - before
            rows.append(
                {
                    "run": run.name, "seed": run.seed, "place": place, "quantity": quantity, "step": full.step[-1],
                    "full": before, "without": after, "change": change,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _bars(axes: Axes, changes: pd.DataFrame, names: Sequence[str], drawn: Drawn, panel: str) -> None:
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
        for series, value in ((f"without {row.place}", row.without), ("raw", row.full)):
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


def _limits(panels: Sequence[Axes], changes: pd.Series) -> None:
    """One scale that holds zero and every seed."""
    low, high = min(0.0, changes.min()), max(SMALLEST, changes.max())
    pad = 0.06 * (high - low)
    for axes in panels:
        axes.set_xlim(low - pad * (low < 0), high + pad)


def caption(results: Results) -> list[str]:
    return [
        "What the terms of one layer do in the trained network, read out as its method means it (RECM pruned, RPP "
        "with every term): by how much the equivariance part of the test cross-entropy (paper A, eq. 9) falls when "
        "that layer's terms alone are taken out, on rotated (left) and aligned shapes (middle), and by how much "
        "the cross-entropy itself then rises on aligned shapes (right). Bars: mean over seeds; dots: seeds. A layer "
        "without a bar has no terms left, or they do nothing. The effects of single layers need not add up to the "
        "whole. Left and middle share their scale; the titles give the values with all terms, mean over seeds. "
        "Layers from the input (top) to the output. Neither paper has this figure.",
        " ".join([provenance_line(results), absent_sentence(results, list(RUNS))]).strip(),
    ]
