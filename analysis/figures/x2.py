"""Beyond both papers: which layer's relaxation causes the equivariance error, and what it buys (claim X2)."""

from __future__ import annotations

import pandas as pd

from analysis.captions import SINGLE_LAYERS, Caption, footer
from analysis.draw import style
from analysis.draw.panels import Drawing, Drawn, figure_key
from analysis.draw.place_bars import SYMBOLS, change_label, common_limits, mean_full, place_bars
from analysis.quantities.attribution import change_frame, is_attributed
from analysis.quantities.relaxation import places
from analysis.reference.paper_curves import PaperCurves
from analysis.results import Results, ResultsError
from analysis.run_names import DATA, METHODS, vn_run

SHOWN = ("recm", "rpp")
COLUMNS = (("rotated", "L_equiv"), ("aligned", "L_equiv"), ("aligned", "L_total"))
SMALLEST = 1e-3
"""Every scale reaches this far [nats]."""
HEIGHT = 3.05
"""Of one row of panels, with its titles and labels [inch]."""


def draw(results: Results, paper: PaperCurves) -> Drawing:
    """A row per method, a bar per layer: L_equiv gone without its terms (rotated, aligned), loss gained (aligned)."""
    if not any(is_attributed(run) for run in results.runs):
        raise ResultsError(
            "x2 needs the losses without each layer's terms, which were measured of none of the runs; "
            "ask for measure.attribution in their file."
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
            place_bars(axes, changes[-1], names, drawn, letter)
            values = f"{SYMBOLS[quantity]} = {mean_full(changes[-1])}"
            style.title(axes, letter, f"{METHODS[method]}, {data}: {values}")
            change_label(axes, quantity, "nats")
            axes.tick_params(labelleft=column == 0)
            panels.append(axes)
        common_limits(panels[:2], pd.concat(changes[:2])["change"], SMALLEST)
        common_limits(panels[2:], changes[2]["change"], SMALLEST)
    figure_key(figure, [], footer(results))
    return Drawing(figure, drawn.table(), caption())


def caption() -> Caption:
    text = (
        "What the terms of one layer do in the trained network. Bars: by how much L_equiv of the test "
        "cross-entropy falls when the terms of that layer alone are taken out, on rotated (left) and aligned "
        "(middle) shapes, and by how much the cross-entropy itself rises on aligned shapes (right). Mean over "
        "seeds; dots: seeds. The titles give the values with all terms. Layers from the input (top) to the output."
    )
    return Caption.of(
        text, SINGLE_LAYERS, "Networks are read out as their method means it: RECM pruned, RPP with all."
    )
