"""Paper B, section 5.1: how many parameters each method leaves in the network, over training."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from analysis.captions import SEEDS, Caption, footer
from analysis.curves import Curve
from analysis.draw import style
from analysis.draw.methods import COLORS, WIDTHS, draw_seeds, name_ends
from analysis.draw.panels import Drawing, Drawn, figure_key
from analysis.quantities.relaxation import PRUNE_BELOW, active_ratio
from analysis.reference.paper_curves import PaperCurves
from analysis.reference.printed import numbers
from analysis.results import Results
from analysis.run_names import DATA, METHODS, VN_METHODS, vn_run


def draw(results: Results, paper: PaperCurves) -> Drawing:
    """a rotated, b aligned: a line per method, and the paper's count of RECM's in grey."""
    drawn = Drawn()
    figure = style.new_figure(5.6, 2.5)
    grid = figure.add_gridspec(1, 2, left=0.075, right=0.845, top=0.91, bottom=0.205, wspace=0.72)
    last = max(float(run.metrics["step"].max()) for run in results.runs)
    ends = {}
    for place, letter, data in zip(grid, "ab", DATA, strict=True):
        axes = figure.add_subplot(place)
        ends[axes] = [*_ours(axes, results, data, drawn, letter), _paper(axes, data, last, drawn, letter)]
        style.title(axes, letter, f"{data} shapes")
        style.linear_steps(axes)
        axes.set_xlim(0, last)
        axes.set_xlabel("training step")
    top = 1.08 * drawn.table()["value"].max()
    for axes, names in ends.items():
        axes.set_ylim(0, top)
        name_ends(axes, names)
    next(iter(ends)).set_ylabel("active parameters / plain network's")
    figure_key(figure, [], footer(results))
    return Drawing(figure, drawn.table(), caption())


def _ours(axes: Axes, results: Results, data: str, drawn: Drawn, panel: str) -> list[tuple[float, str, str]]:
    """A line per method; the names for their ends, one for methods that end at the same count."""
    ends: dict[float, list[str]] = {}
    for order, method in enumerate(VN_METHODS):
        runs, color = results.of(vn_run(data, method)), COLORS[method]
        about = {"panel": panel, "series": method, "quantity": "active_ratio"}
        line = {"width": style.THICK * WIDTHS[method], "order": 4 + order}
        middle = draw_seeds(axes, runs, active_ratio, color, drawn, **line, **about)
        if middle is not None:
            ends.setdefault(round(float(middle.value[-1]), 2), []).append(method)
    return [
        (end, f"{', '.join(METHODS[m] for m in methods)} {end:.2f}", COLORS[methods[-1]])
        for end, methods in ends.items()
    ]


def _paper(axes: Axes, data: str, last: float, drawn: Drawn, panel: str) -> tuple[float, str, str]:
    level = paper_ratio(data)
    about = {"source": "paper", "run": vn_run(data, "recm"), "label": "RECM", "series": "paper"}
    line = drawn.add(
        Curve(np.array([0.0, last]), np.full(2, level)), panel=panel, quantity="active_ratio", **about
    )
    axes.plot(line.step, line.value, color=style.PAPER, lw=style.FAINT, zorder=2)
    return level, f"paper, RECM {level:.2f}", "#777777"


def paper_ratio(data: str) -> float:
    """The paper's count of RECM's active parameters over that on rotated data, where the plain network is left."""
    count = {name: numbers("b")[f"modelnet40.active_parameters_{name}"].value for name in DATA}
    return count[data] / count["rotated"]


def caption() -> Caption:
    theirs = {data: numbers("b")[f"modelnet40.active_parameters_{data}"] for data in DATA}
    said = " and ".join(f"{number.value / 1e6:.1f} M ({data})" for data, number in theirs.items())
    text = (
        "Parameters of the network as each method reads it out, over the plain network's, on rotated (a) and "
        f"aligned (b) shapes. RECM: the parameters that pruning of terms with |alpha| below {PRUNE_BELOW:g} would "
        f"leave at that step. RPP: all. ES, which projects: those of the plain network. {SEEDS} Grey: the paper's "
        "count for RECM."
    )
    counted = "Parameters of a method's own, such as RECM's update rule, are not counted: training alone needs them."
    paper = (
        f"The paper counts {said} at the end of training ({theirs['rotated'].source}). The grey line is over the "
        "first of these, which is the plain network's size to the digits printed."
    )
    return Caption.of(text, counted, paper)
