"""Paper B, Figure 5: whether the number of rotations in RECM's update rule, |C_G|, matters."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.captions import Caption, footer, not_recovered
from analysis.curves import Curve
from analysis.draw import style
from analysis.draw.depth import alpha_panel, branch_handles, common_alpha_scale, depth_bar
from analysis.draw.panels import DOTTED, Drawing, Drawn, figure_key
from analysis.quantities.accuracies import accuracy
from analysis.quantities.relaxation import places
from analysis.reference.paper_curves import PaperCurves
from analysis.results import Results, Run
from analysis.run_names import DATA, SIZES, vn_run
from models.training.series import RAW

MEASURES = {"instance_accuracy": ("instance", True), "class_accuracy": ("class", False)}


def draw(results: Results, paper: PaperCurves) -> Drawing:
    """A row per data set: alpha_W over training for every |C_G| on one scale, then the accuracy."""
    drawn = Drawn()
    sizes = [size for size in SIZES if any(results.of(vn_run(data, "recm", size)) for data in DATA)]
    figure = style.new_figure(style.PAGE, 3.75)
    ratios = (*[1.0] * len(sizes), 0.25, 1.25)
    grid = figure.add_gridspec(
        2, len(sizes) + 2, left=0.083, right=0.985, top=0.93, bottom=0.215, wspace=0.17, hspace=0.16,
        width_ratios=ratios,
    )  # fmt: skip
    panels: list[Axes] = []
    scores: list[Axes] = []
    for row, data in enumerate(DATA):
        for column, size in enumerate(sizes):
            if (run := results.first(vn_run(data, "recm", size))) is None:
                continue
            axes = figure.add_subplot(grid[row, column])
            alpha_panel(axes, run, "W", drawn, f"{data}, {size}")
            axes.set_ylabel(f"{data}\n" r"$\alpha_W$" if column == 0 else "")
            axes.xaxis.set_major_locator(MaxNLocator(3))
            axes.tick_params(labelleft=column == 0, labelbottom=row == 1)
            if row == 0:
                axes.set_title(rf"$|C_G|$ = {size}", y=1.0)
            else:
                axes.set_xlabel("")
            panels.append(axes)
        scores.append(figure.add_subplot(grid[row, -1], sharey=scores[0] if scores else None))
        _accuracies(scores[-1], results, data, sizes, drawn)
    for axes in panels:
        if axes.get_subplotspec().rowspan.start == 0:
            axes.set_xlabel("")
        elif axes.get_subplotspec().colspan.start == 0:
            axes.set_xlabel("training step")
    scores[0].set_title("accuracy on test shapes", y=1.0)
    scores[0].tick_params(labelbottom=False)
    scores[1].set_xlabel("$|C_G|$")
    common_alpha_scale(panels, [], drawn, "W")
    names = places(results.first(vn_run(DATA[0], "recm")))
    height = figure.get_figheight()
    depth_bar(figure, names, 0.36, 0.40 / height, 0.28, 0.075 / height)
    figure_key(figure, [*branch_handles(), *_score_handles()], footer(results))
    return Drawing(figure, drawn.table(), caption())


def _accuracies(axes: Axes, results: Results, data: str, sizes: list[int], drawn: Drawn) -> None:
    """Every seed's accuracy after the last step, and the plain network's mean."""
    for i, (measure, (_, filled)) in enumerate(MEASURES.items()):
        for column, size in enumerate(sizes):
            for run in results.of(vn_run(data, "recm", size)):
                if (end := _end(run, measure, data, drawn)) is not None:
                    axes.plot(
                        column + 0.14 * (2 * i - 1), end, "o", ms=3.2, mec=style.BLUE, mew=0.7, zorder=4,
                        mfc=style.BLUE if filled else "white",
                    )  # fmt: skip
    plain = [_end(run, "instance_accuracy", data, drawn) for run in results.of(vn_run(data, "plain"))]
    if plain := [end for end in plain if end is not None]:
        axes.axhline(sum(plain) / len(plain), color=style.INK, lw=0.8, ls=DOTTED, zorder=2)
    axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    axes.set_xlim(-0.5, len(sizes) - 0.5)
    axes.margins(y=0.15)


def _end(run: Run, measure: str, data: str, drawn: Drawn) -> float | None:
    curve = accuracy(run, RAW, measure)
    if curve is None:
        return None
    about = {"source": "ours", "run": run.name, "seed": run.seed, "label": run.label, "series": RAW}
    drawn.add(Curve(curve.step[-1:], curve.value[-1:]), panel=f"{data}, accuracy", quantity=measure, **about)
    return float(curve.value[-1])


def _score_handles() -> list[Line2D]:
    handles = [
        Line2D([], [], marker="o", ms=3.2, mec=style.BLUE, mew=0.7, ls="none", label=f"{name} accuracy",
               mfc=style.BLUE if filled else "white")
        for name, filled in MEASURES.values()
    ]  # fmt: skip
    return [*handles, Line2D([], [], color=style.INK, lw=0.8, ls=DOTTED, label="plain, instance")]


def caption() -> Caption:
    text = (
        "alpha_W of every layer of VN-PointNet over training, by the number of rotations in RECM's update rule, "
        "|C_G|, on rotated (above) and aligned (below) shapes, first seed. Right: accuracy of the pruned network "
        "after the last step, every seed, and the plain network's mean (dotted). Colours and scale as in Figure 2."
    )
    ours = (
        f"The first {SIZES[0]} rotations are by 1.5 rad about x and z. Further ones are by 1.5 rad about y and "
        "about random axes; the paper does not name its own."
    )
    return Caption.of(text, ours, not_recovered("Figure 5"))
