"""A number over seeds, with its interval."""

from statistics import median, pstdev

import pytest

from analysis.draw.tabular import difference, signed, with_deviation
from analysis.quantities.quantity import Quantity


def test_a_quantity_is_mean_and_deviation_over_seeds_of_the_sample_or_of_the_population():
    assert Quantity.of([]) is None
    assert with_deviation(Quantity.of([None, 0.5]), 2) == "0.50"
    found = Quantity.of([0.5, 0.7], "%")
    assert (found.value, found.low, found.high, found.seeds) == (pytest.approx(0.6), 0.5, 0.7, 2)
    assert with_deviation(found, 2) == "0.60 ± 0.14"
    assert with_deviation(Quantity.of([0.5, 0.7], deviation=pstdev), 2) == "0.60 ± 0.10"
    assert Quantity.of([1.0, 2.0, 9.0], middle=median).value == 2.0
    assert signed(difference(0.5, 0.7), "0.2") == "−0.2"
    assert signed(difference(None, 0.7), "0.2") == "–"
