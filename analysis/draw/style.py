"""How every figure looks: sizes, fonts, colours, line weights; rendering twice gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib

from analysis.words import count

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

COLUMN = 3.4
"""Width of one text column [inch]."""
PAGE = 7.0
"""Width of the whole text block [inch]."""

INK = "#222222"
PAPER, SHADOW = "#8c8c8c", "#dadada"
"""The greys of the paper's own curves and of their noise, everywhere; no curve of ours is grey."""

# Okabe and Ito's colours without yellow, which is too light for thin lines on white.
BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)

THICK, THIN, FAINT = 1.3, 0.5, 0.6
"""Line widths: ours; ours of the raw weights; the paper's."""

RC = {
    "font.family": "DejaVu Sans",
    "mathtext.fontset": "dejavusans",
    "font.size": 6.5,
    "axes.labelsize": 6.5,
    "axes.titlesize": 7.0,
    "xtick.labelsize": 6.0,
    "ytick.labelsize": 6.0,
    "legend.fontsize": 5.8,
    "axes.linewidth": 0.5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "axes.titlepad": 4.0,
    "axes.labelpad": 2.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": matplotlib.cycler(color=CYCLE),
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.minor.width": 0.35,
    "ytick.minor.width": 0.35,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.4,
    "ytick.minor.size": 1.4,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0,
    "lines.linewidth": THICK,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.handlelength": 1.5,
    "legend.handletextpad": 0.5,
    "legend.labelspacing": 0.25,
    "legend.columnspacing": 1.4,
    "legend.borderaxespad": 0.2,
    "pdf.fonttype": 42,
    "figure.dpi": 100,
    "savefig.dpi": 220,
    "savefig.facecolor": "white",
    "path.simplify": True,
}


@contextmanager
def applied() -> Iterator[None]:
    """Draw in the house style, whatever the user's matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield
        plt.close("all")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size [inch]."""
    return plt.figure(figsize=(width, height))


def title(axes: Axes, letter: str, text: str, pad: float | None = None) -> None:
    """Panel letter in bold, then what the panel shows; `pad` is the distance from the panel [pt]."""
    axes.set_title(rf"$\mathbf{{{letter}}}$  {text}" if letter else text, y=1.0, pad=pad)


def grey(axes: Axes, side: str) -> None:
    """An axis that belongs to the paper's curves."""
    axes.spines[side].set_color(PAPER)
    axes.tick_params(color=PAPER, labelcolor="#777777")
    axes.xaxis.label.set_color("#777777")


def log_steps(axes: Axes) -> None:
    """Logarithmic step axis with a tick per decade, written 1, 10, ..., 1k, 10k, 100k."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=12))
    axes.xaxis.set_minor_locator(LogLocator(subs=tuple(range(2, 10)), numticks=12))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: count(x)))


def linear_steps(axes: Axes) -> None:
    """Linear step axis, written 0, 100, ..., 50k."""
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: count(x)))


def log_percent(axes: Axes) -> None:
    """Logarithmic percent axis, written 0.01%, 0.1%, 1%, ..."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=12))
    axes.yaxis.set_minor_locator(LogLocator(subs=tuple(range(2, 10)), numticks=12))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}%"))


def linear_percent(axes: Axes) -> None:
    """Linear percent axis."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}%"))


def depth_colors(n: int) -> list[str]:
    """`n` colours from a network's first layer (dark) to its last (light), none too light for white paper."""
    shades = matplotlib.colormaps["plasma"]([0.82 * i / max(n - 1, 1) for i in range(n)])
    return [matplotlib.colors.to_hex(shade) for shade in shades]


def alpha_scale(axis: Axis, threshold: float, largest: float, *, sparse: bool = False) -> None:
    """Linear between -threshold and threshold, logarithmic beyond, with a tick per decade up to `largest`.

    sparse: on a short axis, where the threshold's own ticks would touch that of zero, those have no label.
    """
    set_scale = axis.axes.set_yscale if axis.axis_name == "y" else axis.axes.set_xscale
    set_scale("symlog", linthresh=threshold, linscale=0.4)
    decades = [threshold * 10.0**i for i in range(8) if threshold * 10.0**i <= 10 * largest]
    ticks = [*(-d for d in reversed(decades)), 0.0, *decades]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(FixedLocator([k * tick for tick in ticks for k in range(2, 10)]))
    hidden = (-threshold, threshold) if sparse else ()
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: "" if value in hidden else f"{value:g}".replace("-", "−"))
    )
    axis.set_minor_formatter(NullFormatter())


def log_loss(axes: Axes) -> None:
    """Logarithmic loss axis with labels on every second decade at most four times."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=5))
    axes.yaxis.set_minor_locator(LogLocator(numticks=14))
    axes.yaxis.set_minor_formatter(NullFormatter())


def save(figure: Figure, path: Path, kind: str, about: dict[str, str]) -> None:
    """Write `figure` as "pdf" or "png" with `about` in its metadata and without the time of writing."""
    silent = (
        {"CreationDate": None, "ModDate": None, "Producer": None} if kind == "pdf" else {"Software": None}
    )
    figure.savefig(path, format=kind, metadata={**about, **silent})
