"""Beyond both papers: which layer's relaxation causes the equivariance error, and what it buys."""

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
from analysis.relaxed import DATA, places, vn_run
from analysis.results import Results, ResultsError, Run

TITLE = "RECM on VN-PointNet: equivariance error by layer"
RUN_OF = {data: vn_run(data, "recm") for data in DATA}
RUNS = REQUIRED = tuple(RUN_OF.values())


def draw(results: Results, paper: PaperCurves | None) -> Drawing:
    """Rows: layers. Columns: L_equiv gone without the layer's terms, rotated and aligned; loss gained, aligned."""
    if not any(series.startswith("without ") for run in results.runs for series in run.series("val")):
        raise ResultsError(
            "x2 needs the losses without each layer's terms, which none of the runs measured; train them again."
        )
    names = places(results.first(RUN_OF["aligned"]))
    drawn = Drawn()
    figure = style.new_figure(style.PAGE, 3.5)
    grid = figure.add_gridspec(1, 3, left=0.15, right=0.985, top=0.925, bottom=0.15, wspace=0.13)
    shown = (("a", "rotated", "L_equiv"), ("b", "aligned", "L_equiv"), ("c", "aligned", "L_total"))
    panels: list[Axes] = []
    changes: list[pd.DataFrame] = []
    for place, (letter, data, quantity) in zip(grid, shown, strict=True):
        axes = figure.add_subplot(place)
        changes.append(change_frame(results.of(RUN_OF[data]), names, quantity))
        _bars(axes, changes[-1], names, drawn, letter)
        full = changes[-1].drop_duplicates("seed")["full"].mean()
        symbol = {"L_equiv": r"$L_\mathrm{equiv}$", "L_total": "$L$"}[quantity]
        style.title(axes, letter, f"{data}: {symbol} = {style.number(full)} nats")
        axes.set_xlabel(
            f"{'fall' if quantity == 'L_equiv' else 'rise'} of {symbol} without the layer's terms"
        )
        axes.xaxis.set_major_locator(MaxNLocator(4))
        if panels:
            axes.tick_params(labelleft=False)
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
            of_place["change"],
            [height] * len(of_place),
            "o",
            ms=1.8,
            mfc="white",
            mec=style.INK,
            mew=0.4,
            zorder=4,
            clip_on=False,
        )
    for row in changes.itertuples():
        for series, value in ((f"without {row.place}", row.without), ("raw", row.full)):
            drawn.add(
                Curve([row.step], [value]), panel=panel, source="ours", run=row.run, seed=row.seed, label=row.place,
                series=series, quantity=row.quantity, estimator="rotations",
            )  # fmt: skip
    axes.axvline(0.0, color=style.INK, lw=0.4, zorder=2)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0, labelsize=5.4)
    axes.spines["left"].set_visible(False)


def _limits(panels: Sequence[Axes], changes: pd.Series) -> None:
    """One scale that holds zero and every seed; a panel of zeros alone would choose one of its own."""
    low, high = min(0.0, changes.min()), max(0.0, changes.max())
    pad = 0.06 * ((high - low) or 1.0)
    for axes in panels:
        axes.set_xlim(low - pad * (low < 0), high + pad)


def caption(results: Results) -> list[str]:
    return [
        "What the terms of one layer do in the trained, pruned network: by how much the equivariance part of the "
        "test cross-entropy (paper A, eq. 9) falls when that layer's terms alone are taken out, on rotated (a) "
        "and aligned (b) shapes, and by how much the cross-entropy itself then rises on aligned shapes (c). "
        "Bars: mean over seeds; dots: seeds. A layer without a bar has no terms left, or they do nothing. The "
        "effects of single layers need not add up to the whole. a and b share their scale; the titles give the "
        "values with all terms. Layers from the input (top) to the output. Neither paper has this figure.",
        " ".join([provenance_line(results), absent_sentence(results, list(RUNS))]).strip(),
    ]
