"""Blocks of README and docs: numbers that are filled from the published results."""

from pathlib import Path

import pytest

from analysis.blocks.documents import BLOCKS, BlockError, documents, filled, names
from analysis.blocks.paper_b import percent
from analysis.blocks.published import Published, number, with_range, with_seeds
from analysis.quantities.quantity import Quantity
from tests.workflow.checkout import ROOT


@pytest.fixture(scope="module")
def published() -> Published:
    return Published(ROOT)


@pytest.mark.parametrize("document", documents(ROOT), ids=lambda path: path.name)
def test_every_block_is_what_the_published_results_say(document, published):
    """Otherwise run `python -m analysis.blocks`."""
    assert filled(document, published) == document.read_text()


def test_every_block_stands_in_some_document():
    written = [name for document in documents(ROOT) for name in names(document.read_text())]
    assert sorted(written) == sorted(BLOCKS)


def test_what_is_typed_into_a_block_is_replaced_and_what_stands_around_it_stays(tmp_path, published):
    document = tmp_path / "page.md"
    document.write_text("before\n<!-- block: tiers -->\ntyped: 0.99\n<!-- end -->\nafter\n")
    text = filled(document, published)
    assert text.startswith("before\n<!-- block: tiers -->\n| published |")
    assert text.endswith("|\n<!-- end -->\nafter\n")
    assert "typed" not in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!-- block: guess -->\n<!-- end -->\n", "no block is called 'guess'"),
        ("<!-- block: tiers -->\n", "a block does not end"),
        (
            "<!-- block: tiers -->\n<!-- block: costs -->\n<!-- end -->\n",
            "a block does not end",
        ),
    ],
)
def test_a_block_that_cannot_be_filled_is_refused_in_a_sentence(tmp_path: Path, published, text, said):
    document = tmp_path / "page.md"
    document.write_text(text)
    with pytest.raises(BlockError, match=said):
        filled(document, published)


def test_numbers_have_three_digits_and_their_deviation_the_same_decimals():
    assert [number(value) for value in (5.3456, 28.04, 1765.2, 0.0)] == ["5.35", "28.0", "1765", "0"]
    assert with_seeds(Quantity.of([5.0, 5.5, 6.0])) == "5.50 ± 0.50 (3)"
    assert with_seeds(Quantity.of([306.2])) == "306 (1)"
    assert with_range(Quantity.of([1.0, 3.0]), number) == "2.00 [1.00–3.00]"
    assert with_range(Quantity.of([2.0]), number) == "2.00"


def test_percents_of_rounding_are_said_to_be_small():
    assert percent(3e-7) == "< 0.0001"
    assert percent(0.5) == "0.50"
