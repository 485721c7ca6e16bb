"""Names at the ends of curves."""

from itertools import pairwise

import pytest

from analysis.draw.panels import spread


def test_labels_are_moved_apart_and_no_further():
    assert spread([0.1, 0.5, 0.9], 0.1) == [0.1, 0.5, 0.9]
    apart = spread([0.5, 0.5, 0.52, 0.9], 0.1)
    assert all(b - a >= 0.1 - 1e-9 for a, b in pairwise(apart))
    assert sum(apart[:3]) / 3 == pytest.approx((0.5 + 0.5 + 0.52) / 3)
