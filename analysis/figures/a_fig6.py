"""Paper A, Figure 6: how EScAIP's losses depend on the number of training examples."""

from __future__ import annotations

from analysis.captions import LINES, ZERO, Caption, footer, other_batch, paper_note, train_size
from analysis.curves import Curve
from analysis.draw import style
from analysis.draw.panels import (
    LOSS_DASHES,
    Drawing,
    Drawn,
    Ours,
    draw_ours,
    draw_paper,
    figure_key,
    key_handles,
    log_limits,
    loss_legend,
    paper_runs,
    zero_level,
)
from analysis.reference.paper_curves import PaperCurves
from analysis.results import Results
from analysis.run_names import ESCAIP, ESCAIP_TRAIN_SIZES

PAPER_SIZES = dict(zip((*reversed(ESCAIP_TRAIN_SIZES), ESCAIP), ("500", "5k", "50k", "950k"), strict=True))
COLORS = {"L_total": style.GREEN, "L_mean": style.BLUE, "L_equiv": style.VERMILION}


def draw(results: Results, paper: PaperCurves) -> Drawing:
    """A panel per training set, smallest first, on common axes; first seed of each run."""
    drawn = Drawn()
    shown = [name for name in PAPER_SIZES if results.of(name)]
    figure = style.new_figure(style.PAGE, 2.6)
    grid = figure.add_gridspec(1, len(shown), left=0.075, right=0.99, top=0.915, bottom=0.265, wspace=0.1)
    usual, first = results.first(ESCAIP), None
    ours: list[Ours] = []
    for place, letter, name in zip(grid, "abcd", shown, strict=False):
        axes = first = figure.add_subplot(place, sharex=first, sharey=first)
        run, theirs = results.first(name), paper_runs(paper, name)
        for replicate in theirs[:1]:
            draw_paper(axes, replicate, COLORS, drawn, letter)
        ours = [Ours(run, train_size(run), color) for color in COLORS.values()]
        for our, quantity in zip(ours, COLORS, strict=True):
            draw_ours(axes, our, quantity, drawn, letter, dashes=LOSS_DASHES[quantity], width=1.1)
        zero_level(axes, ours[:1], drawn, letter)
        style.title(axes, letter, f"n = {train_size(run)}{other_batch(run, usual)}")
        if theirs:
            axes.set_title(f"paper: {PAPER_SIZES[name]}", loc="right", y=1.0, color="#777777", fontsize=5.5)
        axes.set_xlabel("training step")
        if name == shown[0]:
            axes.set_ylabel("mean squared force error\n[normalised]")
            loss_legend(axes, COLORS, loc="lower left")
        else:
            axes.tick_params(labelleft=False)
    points = drawn.table()
    points = points[(points["step"] > 0) & (points["value"] > 0)]
    style.log_steps(first)
    first.set_xlim(log_limits([Curve(points["step"].to_numpy(), points["value"].to_numpy())]))
    style.log_loss(first)
    first.set_ylim(points["value"].min() / 1.5, points["value"].max() * 1.5)
    handles = key_handles(ours, losses=())
    figure_key(figure, handles, footer(results))
    return Drawing(figure, drawn.table(), _caption(paper))


def _caption(paper: PaperCurves) -> Caption:
    text = (
        "Validation losses of EScAIP over training, for training sets of n conformations: L, L_mean and L_equiv, first "
        f"seed of each run, and {ZERO} (dotted). Grey: the paper's run of the size named at the upper right."
    )
    return Caption.of(text, LINES, paper_note(paper, "The step axis is the same; the paper trains longer."))
