"""Panels that tell a network's relaxed places apart by depth: dark colours near the input, light near the output.

Places whose output turns with the data by itself (the direction branch of a layer, what moves a node) are dashed
where the others' would hide them. The panel of last values doubles as the key: a row per place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.curves import Curve
from analysis.draw import style
from analysis.draw.panels import SOLID, Drawn
from analysis.quantities.relaxation import PRUNE_BELOW, alpha, places
from analysis.results import Results, Run

DIRECTION = (0, (2.6, 1.2))
BAND = "#f0f0f0"
SYMBOLS = {"W": r"\alpha_W", "b": r"\alpha_b", "noise": r"\alpha_\mathrm{noise}"}


def colors_of(names: Sequence[str]) -> dict[str, str]:
    """Colour of each place, in the order given: from the first layer to the last."""
    return dict(zip(names, style.depth_colors(len(names)), strict=True))


def dashes_of(place: str) -> object:
    """Solid for feature maps, dashed for the directions of the non-linearities and for what moves nodes."""
    return DIRECTION if place.endswith((".direction", ".displacement")) else SOLID


def alpha_panel(
    axes: Axes, run: Run, term: str, drawn: Drawn, panel: str, colors: Mapping[str, str] | None = None
) -> None:
    """alpha of every place that has this term, over the training steps of one run.

    colors: of all places of the network, where not all have the term; else they are spread over those that do.
    """
    names = places(run, term)
    colors = colors or colors_of(names)
    prune_band(axes, "y")
    if not names:
        axes.text(0.5, 0.85, "no place has this term", transform=axes.transAxes, ha="center", fontsize=5.5)
    for place in names:
        curve = drawn.add(alpha(run, place, term), **_about(run, place, term, panel))
        axes.plot(curve.step, curve.value, color=colors[place], lw=0.8, ls=dashes_of(place), zorder=3)
    style.linear_steps(axes)
    axes.set_xlim(0, run.metrics["step"].max())
    axes.set_xlabel("training step")
    axes.set_ylabel(f"${SYMBOLS[term]}$", labelpad=1.0)


def ends_panel(
    axes: Axes, runs: Mapping[str, Sequence[Run]], term: str, drawn: Drawn, panel: str, shift: float = 0.17
) -> None:
    """The last alpha of every place and seed: open circles for the first of `runs`, filled for the second.

    shift: of the first below the name's height and of the second above, in lines.
    """
    names = list(
        dict.fromkeys(place for seeds in runs.values() for run in seeds for place in places(run, term))
    )
    colors = colors_of(names)
    prune_band(axes, "x")
    for filled, seeds in zip((False, True), runs.values(), strict=False):
        offset = -shift if filled else shift
        for run in seeds:
            for place in places(run, term):
                last = alpha(run, place, term)
                end = drawn.add(Curve(last.step[-1:], last.value[-1:]), **_about(run, place, term, panel))
                color = colors[place]
                axes.plot(
                    end.value, names.index(place) + offset, "o", ms=2.2, mec=color, mew=0.5, zorder=4,
                    mfc=color if filled else "white",
                )  # fmt: skip
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0, pad=2.0, labelsize=4.9)
    for label, place in zip(axes.get_yticklabels(), names, strict=True):
        label.set_color(colors[place])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"${SYMBOLS[term]}$ at the end")


def common_alpha_scale(panels: Sequence[Axes], ends: Sequence[Axes], drawn: Drawn, *terms: str) -> None:
    """One scale of these terms' alpha for curves (y) and last values (x): linear where pruned, else logarithmic."""
    points = drawn.table()
    values = points.loc[points["quantity"].isin([f"alpha_{term}" for term in terms]), "value"]
    top, bottom = max([2 * PRUNE_BELOW, *values]), min([-1.6 * PRUNE_BELOW, *values])
    for axes in panels:
        style.alpha_scale(axes.yaxis, PRUNE_BELOW, max(top, -bottom))
        axes.set_ylim(1.25 * bottom, 1.3 * top)
    for axes in ends:
        style.alpha_scale(axes.xaxis, PRUNE_BELOW, max(top, -bottom), sparse=True)
        axes.set_xlim(1.25 * bottom, 1.3 * top)


def prune_band(axes: Axes, direction: str) -> None:
    """A light band where |alpha| is below the pruning threshold."""
    span = axes.axhspan if direction == "y" else axes.axvspan
    line = axes.axhline if direction == "y" else axes.axvline
    span(-PRUNE_BELOW, PRUNE_BELOW, color=BAND, lw=0, zorder=0)
    line(0.0, color="#c8c8c8", lw=0.4, zorder=1)


def depth_bar(
    figure: Figure, names: Sequence[str], left: float, bottom: float, width: float, height: float
) -> None:
    """The colours of the places in a row, the first and the last named; all in shares of the figure."""
    axes = figure.add_axes((left, bottom, width, height))
    for i, color in enumerate(style.depth_colors(len(names))):
        axes.axvspan(i, i + 1, color=color, lw=0)
    axes.set_xlim(0, len(names))
    axes.set_axis_off()
    middle = bottom + height / 2
    for x, align, text in ((left, "right", f"{names[0]} "), (left + width, "left", f" {names[-1]}")):
        figure.text(x, middle, text, ha=align, va="center", fontsize=5.5)


def branch_handles(dashed: str = "direction of the non-linearity") -> list[Line2D]:
    """What solid, dashed and the band mean."""
    ink = style.INK
    return [
        Line2D([], [], color=ink, lw=0.9, label="feature map"),
        Line2D([], [], color=ink, lw=0.9, ls=DIRECTION, label=dashed),
        Patch(color=BAND, label=f"|α| < {PRUNE_BELOW:g}: pruned after training"),
    ]


def end_handles(names: Sequence[str]) -> list[Line2D]:
    """Open for the first data set, filled for the second, if there is one."""
    ink = style.INK
    return [
        Line2D([], [], marker="o", ms=2.6, mec=ink, mew=0.5, mfc=fill, ls="none", label=f"{name}, each seed")
        for name, fill in zip(names, ("white", ink), strict=False)
    ]


def _about(run: Run, place: str, term: str, panel: str) -> dict[str, object]:
    return {
        "panel": panel, "source": "ours", "run": run.name, "seed": run.seed, "label": place,
        "series": "relaxation", "quantity": f"alpha_{term}",
    }  # fmt: skip


def alpha_row(
    figure: Figure,
    row: SubplotSpec,
    results: Results,
    names: Mapping[str, str],
    term: str,
    letters: str,
    drawn: Drawn,
) -> None:
    """A term over training on each data set (first seed of `names[data]`), and its last values, every seed."""
    grid = row.subgridspec(1, 3, width_ratios=(1.0, 1.0, 0.86), wspace=0.0)
    panels: list[Axes] = []
    for place, letter, (data, name) in zip(grid, letters, names.items(), strict=False):
        axes = figure.add_subplot(_inset(place, len(panels)), sharey=panels[0] if panels else None)
        run = results.first(name)
        alpha_panel(axes, run, term, drawn, letter)
        style.title(axes, letter, f"{data}, seed {run.seed}")
        if panels:
            axes.tick_params(labelleft=False)
            axes.set_ylabel("")
        panels.append(axes)
    ends = figure.add_subplot(_inset(grid[2], 2))
    ends_panel(ends, {data: results.of(name) for data, name in names.items()}, term, drawn, letters[2])
    style.title(ends, letters[2], "after the last step")
    common_alpha_scale(panels, [ends], drawn, term)


def _inset(place: SubplotSpec, column: int) -> SubplotSpec:
    """The part of a cell right of the names of its rows."""
    left = (0.0, 0.09, 0.48)[column]
    return place.subgridspec(1, 2, width_ratios=(left, 1 - left), wspace=0.0)[1] if left else place
