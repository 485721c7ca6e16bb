"""Paper A, Figure 4: VoxMol's equivariance error over training, by training-set size and by network size."""

from __future__ import annotations

from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.captions import ZERO, Caption, footer, network_size
from analysis.curves import Curve
from analysis.draw import style
from analysis.draw.panels import (
    LOSS_DASHES,
    LOSS_NAMES,
    Drawing,
    Drawn,
    Ours,
    Paper,
    draw_ours,
    draw_paper,
    end_labels,
    figure_key,
    key_handles,
    log_limits,
    paper_runs,
    run_legend,
    zero_level,
)
from analysis.draw.voxmol import UNIT, all_rotations, crossing, fraction, largest, paper_zero, papers_name
from analysis.notes import density_note, density_paper_note
from analysis.reference.paper_curves import DENSITY_CURVES, PaperCurves
from analysis.reference.printed import numbers
from analysis.results import Results, ResultsError
from analysis.run_names import VOXMOL_NETWORKS, VOXMOL_TRAIN_SIZES
from analysis.words import scientific

QUANTITIES = ("percent", "L_mean", "L_equiv")
ROWS = {"training-set size": VOXMOL_TRAIN_SIZES, "network size": VOXMOL_NETWORKS}
TOP = 600.0
"""Above 100 percent is room for the names of the runs."""
LATE = numbers("a")["voxmol.late_L_equiv"].value
"""The level below which the paper says L_equiv ends."""


def draw(results: Results, paper: PaperCurves) -> Drawing:
    """Rows: training sets, networks. Columns: percent, L_mean, L_equiv. First seeds."""
    if largest(results) is None:
        raise ResultsError(
            f"a_fig4: no network was trained on all of it in tier {results.tier}; train {VOXMOL_NETWORKS[-1]}."
        )
    drawn = Drawn()
    rows = {
        text: names
        for text, names in ROWS.items()
        if text == "network size" or any(map(results.of, names[1:]))
    }
    height = 0.55 + 2.25 * len(rows)
    figure = style.new_figure(style.PAGE, height)
    grid = figure.add_gridspec(
        len(rows),
        3,
        left=0.085,
        right=0.985,
        top=1 - 0.22 / height,
        bottom=0.72 / height,
        wspace=0.33,
        hspace=0.3,
    )
    letters, columns, named = iter("abcdef"), ([], [], []), []
    for i, (text, names) in enumerate(rows.items()):
        ours = _ours(results, names)
        theirs = [
            replace(each, label=papers_name(name) if names is VOXMOL_TRAIN_SIZES else DENSITY_CURVES[name][2])
            for name in names
            for each in paper_runs(paper, name)
        ]
        for j, quantity in enumerate(QUANTITIES):
            axes, letter = figure.add_subplot(grid[i, j]), next(letters)
            _panel(axes, ours, theirs, quantity, drawn, letter)
            if quantity != "percent":
                zero_level(axes, ours, drawn, letter)
                paper_zero(axes, drawn, letter, max(our.run.metrics["step"].max() for our in ours))
            columns[j].append(axes)
            what = "percent" if quantity == "percent" else LOSS_NAMES[quantity]
            style.title(axes, letter, f"{what} by {text}")
        named.append((columns[0][-1], theirs, ours))
    _scales(columns, drawn)
    for axes, theirs, ours in named:
        end_labels(axes, theirs)
        run_legend(axes, ours, loc="upper right")
    figure_key(figure, _handles(named[0][2]), footer(results))
    return Drawing(figure, drawn.table(), _caption(results, paper))


def _ours(results: Results, names: tuple[str, ...]) -> list[Ours]:
    label = fraction if names is VOXMOL_TRAIN_SIZES else network_size
    return [
        Ours(run, label(run), color)
        for name, color in zip(names, style.CYCLE, strict=False)
        if (run := results.first(name)) is not None
    ]


def _panel(
    axes: Axes, ours: list[Ours], theirs: list[Paper], quantity: str, drawn: Drawn, letter: str
) -> None:
    """One quantity of every run over steps."""
    for each in theirs:
        draw_paper(axes, each, [quantity], drawn, letter)
    for our in ours:
        dashes = LOSS_DASHES.get(quantity, "-")
        draw_ours(axes, our, quantity, drawn, letter, dashes=dashes, width=1.1, raw=quantity == "percent")
        if quantity == "percent":
            all_rotations(axes, our, drawn, letter)
            crossing(axes, our, drawn, letter)
    axes.set_xlabel("training step")
    loss = f"loss [{UNIT}]"
    axes.set_ylabel("equivariance error\n[% of validation loss]" if quantity == "percent" else loss)


def _scales(columns: tuple[list[Axes], ...], drawn: Drawn) -> None:
    """One step axis for all, one value axis per column."""
    points = drawn.table()
    points = points[(points["step"] > 0) & (points["value"] > 0)]
    low, high = log_limits([Curve(points["step"].to_numpy(), points["value"].to_numpy())])
    for quantity, column in zip(QUANTITIES, columns, strict=True):
        values = points.loc[points["quantity"] == quantity, "value"]
        zeros = points.loc[(points["series"] == "zero") & (quantity != "percent"), "value"]
        for axes in column:
            style.log_steps(axes)
            axes.set_xlim(low, high * (3 if quantity == "percent" else 1))
            (style.log_percent if quantity == "percent" else style.log_loss)(axes)
            top = TOP if quantity == "percent" else 1.5 * max(values.max(), zeros.max())
            axes.set_ylim(min(values.min(), zeros.min() if len(zeros) else values.min()) / 1.5, top)
            if quantity == "L_equiv":
                axes.axhline(LATE, color=style.PAPER, lw=0.4, ls=(0, (6, 2)), zorder=1)


def _handles(ours: list[Ours]) -> list[Line2D]:
    handles = key_handles(ours)
    circles = Line2D(
        [], [], marker="o", ms=2.4, mfc="white", mec=style.INK, mew=0.5, ls="none", label="24 rotations"
    )
    passes = Line2D(
        [], [], marker="D", ms=3.2, mfc=style.INK, mec="white", mew=0.5, ls="none", label="passes zero's loss"
    )
    return [*handles[:2], circles, passes, *handles[2:]]


def _caption(results: Results, paper: PaperCurves) -> Caption:
    text = (
        "Equivariance error of VoxMol in percent of the validation loss (left), L_mean (middle) and L_equiv "
        "(right), by training-set size of the largest network (number of conformers in brackets) and by network "
        f"size; first seeds. Circles: all 24 rotations of the grid. Diamonds: where L_mean falls below {ZERO} "
        f"(dotted). Faint dashes: the level below which the paper says L_equiv ends, {scientific(LATE)} on its "
        "grid. Grey: the paper."
    )
    names = (*VOXMOL_NETWORKS, *VOXMOL_TRAIN_SIZES[1:])
    shown = [run for name in names if (run := results.first(name)) is not None]
    theirs = (
        "The paper's Figure 4 has both percents and the losses by training set. Its losses by network are from its "
        "published tables."
    )
    circles = "Circles take the same or fewer molecules."
    return Caption.of(text, f"{density_note(shown)} {circles}", f"{density_paper_note(paper)} {theirs}")
