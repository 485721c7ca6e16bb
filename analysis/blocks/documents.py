"""Blocks in documents: `<!-- block: name -->`, what is written, `<!-- end -->`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from analysis.blocks import overview, paper_a, paper_b
from analysis.blocks.published import Published

BLOCKS: Mapping[str, Callable[[Published], str]] = {
    "headlines": overview.headlines,
    "tiers": overview.tiers,
    "costs": overview.costs,
    "escaip": paper_a.escaip,
    "escaip-runs": paper_a.escaip_runs,
    "flows": paper_a.flows,
    "rotations": paper_a.rotations,
    "vn-accuracies": paper_b.vn_accuracies,
    "vn-constraint-sets": paper_b.vn_constraint_sets,
    "pruning": paper_b.pruning,
    "recm": paper_b.recm,
    "table-2": paper_b.table_2,
    "nbody-sizes": paper_b.nbody_sizes,
    "motion-symmetry": paper_b.motion_symmetry,
}
"""Block -> what fills it."""
_BLOCK = re.compile(r"^<!-- block: (?P<name>\S+) -->\n(?P<text>.*?)^<!-- end -->$", re.DOTALL | re.MULTILINE)
_MARK = re.compile(r"^<!-- (?:block:.*|end) -->$", re.MULTILINE)


class BlockError(ValueError):
    """A document whose blocks cannot be filled; the message is one sentence."""


def documents(root: Path) -> list[Path]:
    """The documents that have blocks: the README and those of docs."""
    candidates = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    return [path for path in candidates if _MARK.search(path.read_text())]


def names(text: str) -> list[str]:
    """The blocks of a document, in its order."""
    return [found["name"] for found in _BLOCK.finditer(text)]


def filled(path: Path, published: Published) -> str:
    """The text of a document with every block as the published results have it.

    Raises BlockError for a block without an end and for a name that no block has.
    """
    text = path.read_text()
    if len(_MARK.findall(text)) != 2 * len(names(text)):
        raise BlockError(
            f"{path}: a block does not end; write <!-- block: name --> and <!-- end --> on their own lines."
        )
    if unknown := [name for name in names(text) if name not in BLOCKS]:
        raise BlockError(
            f"{path}: no block is called {unknown[0]!r}; there are {', '.join(map(repr, BLOCKS))}."
        )

    def fill(found: re.Match[str]) -> str:
        name = found["name"]
        return f"<!-- block: {name} -->\n{BLOCKS[name](published)}\n<!-- end -->"

    return _BLOCK.sub(fill, text)
