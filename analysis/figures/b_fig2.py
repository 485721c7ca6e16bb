"""Paper B, Figure 2: how much of the unconstrained linear map RECM gives each layer, over training."""

from __future__ import annotations

from analysis.captions import Caption, footer, not_recovered
from analysis.draw import style
from analysis.draw.depth import alpha_row, branch_handles, end_handles
from analysis.draw.panels import Drawing, Drawn, figure_key
from analysis.quantities.relaxation import PRUNE_BELOW
from analysis.reference.paper_curves import PaperCurves
from analysis.results import Results
from analysis.run_names import DATA, vn_run

RUN_OF = {data: vn_run(data, "recm") for data in DATA}


def draw(results: Results, paper: PaperCurves) -> Drawing:
    """a rotated, b aligned, c where every layer and seed ends."""
    drawn = Drawn()
    figure = style.new_figure(style.PAGE, 3.35)
    grid = figure.add_gridspec(1, 1, left=0.062, right=0.985, top=0.925, bottom=0.205)
    alpha_row(figure, grid[0], results, RUN_OF, "W", "abc", drawn)
    figure_key(figure, [*branch_handles(), *end_handles(DATA)], footer(results))
    return Drawing(figure, drawn.table(), caption())


def caption() -> Caption:
    text = (
        "alpha_W, the weight of the unconstrained linear map that RECM adds to each equivariant linear map of "
        "VN-PointNet, over training on rotated (a) and aligned (b) shapes, first seed. c: its value after the last "
        "step, every seed. A line per layer, dark near the input, light near the output, named in c. The scale is "
        f"linear within ±{PRUNE_BELOW:g} (shaded: pruned after training) and logarithmic beyond."
    )
    return Caption.of(text, not_recovered("Figure 2"))
