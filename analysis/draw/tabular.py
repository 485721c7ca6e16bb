"""Tables as lines: a line says what it is about, whose it is, and its cells; as Markdown and as HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.captions import Caption
from analysis.quantities.quantity import Quantity

ABSENT = "–"
SAME = "="
"""In a line of another readout: the same as in the method's own, to the digits printed."""


@dataclass(frozen=True)
class Table:
    """What a table module returns: long frame for machines, the same twice for people, caption."""

    frame: pd.DataFrame
    markdown: str
    html: str
    caption: Caption


@dataclass(frozen=True)
class Line:
    """One line. about: empty where it goes on with the line above. whose: ours, paper or difference, with
    what is particular after a comma. A line without cells is the heading of a block."""

    about: str
    whose: str = ""
    cells: Sequence[str] = ()


def with_deviation(quantity: Quantity, decimals: int) -> str:
    """0.68 ± 0.02, or 0.68 for one seed."""
    deviation = "" if quantity.std is None else f" ± {quantity.std:.{decimals}f}"
    return f"{quantity.value:.{decimals}f}{deviation}"


def of_row(row: pd.Series) -> Quantity:
    """Our quantity in a row of a long frame: columns ours, ours_std, ours_low, ours_high, seeds."""
    std = None if pd.isna(row["ours_std"]) else row["ours_std"]
    return Quantity(row["ours"], row["ours_low"], row["ours_high"], row["seeds"], std=std)


def signed(value: float | None, text: str) -> str:
    """`text`, the size of a difference, with the sign of `value`."""
    return ABSENT if value is None or pd.isna(value) else f"{'−' if value < 0 else '+'}{text}"


def difference(ours: float | None, paper: float | None) -> float | None:
    """ours - paper, None where either is unknown."""
    return None if ours is None or paper is None else ours - paper


def markdown(headings: Sequence[str], lines: Sequence[Line], notes: Sequence[str] = ()) -> str:
    """A pipe table, and notes below it; the first two columns are names, the others numbers."""
    rows = [list(headings), ["---", "---", *["---:"] * (len(headings) - 2)]]
    for line in lines:
        about = line.about if line.cells else f"**{line.about}**"
        rows.append([about, line.whose, *(line.cells or [""] * (len(headings) - 2))])
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return table + "".join(f"\n{note}\n" for note in notes)


def as_html(headings: Sequence[str], lines: Sequence[Line], notes: Sequence[str] = ()) -> str:
    """The same as a <table> for the gallery, whose style sheet knows `data-whose`, `first` and `block`."""
    head = "".join(f"<th>{html.escape(text)}</th>" for text in headings)
    body = []
    for line in lines:
        about = html.escape(line.about)
        if not line.cells:
            body.append(f'<tr class="block"><th colspan="{len(headings)}">{about}</th></tr>')
            continue
        kind = line.whose.split(",")[0].replace(" ", "-")
        first = ' class="first"' if line.about else ""
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in line.cells)
        names = f"<th>{about}</th><th>{html.escape(line.whose)}</th>"
        body.append(f'<tr{first} data-whose="{kind}">{names}{cells}</tr>')
    rows = "\n".join(body)
    below = "".join(f"<p>{html.escape(note)}</p>\n" for note in notes)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n{below}"
