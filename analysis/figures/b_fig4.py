"""Paper B, Figure 4: the same as Figure 2 for the bias and the noise that RECM adds."""

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
    """a-c bias, d-f noise; rotated, aligned, and where every layer and seed ends."""
    drawn = Drawn()
    figure = style.new_figure(style.PAGE, 5.95)
    grid = figure.add_gridspec(2, 1, left=0.062, right=0.985, top=0.958, bottom=0.115, hspace=0.27)
    alpha_row(figure, grid[0], results, RUN_OF, "b", "abc", drawn)
    alpha_row(figure, grid[1], results, RUN_OF, "noise", "def", drawn)
    figure_key(figure, [*branch_handles(), *end_handles(DATA)], footer(results))
    return Drawing(figure, drawn.table(), caption())


def caption() -> Caption:
    text = (
        "alpha_b (a to c) and alpha_noise (d to f), the weights of the bias and of the noise that RECM adds to each "
        "equivariant linear map of VN-PointNet, over training on rotated (a, d) and aligned (b, e) shapes, first seed. "
        "c, f: their values after the last step, every seed. A line per layer, dark near the input. The scale is "
        f"linear within ±{PRUNE_BELOW:g} (shaded: pruned after training) and logarithmic beyond."
    )
    return Caption.of(text, "Noise is added in training only.", not_recovered("Figure 4"))
