"""Medians over seeds."""

from analysis.curves import Curve
from analysis.draw.methods import seed_median


def test_the_median_over_seeds_is_taken_where_all_were_logged():
    middle = seed_median([Curve([0, 1, 2], [1, 2, 3]), Curve([0, 2], [5, 5]), Curve([0, 2, 4], [3, 9, 9])])
    assert (list(middle.step), list(middle.value)) == ([0, 2], [3, 5])
