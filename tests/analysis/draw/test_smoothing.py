"""The average that paper A draws."""

import numpy as np
import pytest

from analysis.draw.smoothing import variable_span_ema


def test_variable_span_ema_is_the_recursion_of_the_reference_notes():
    rows = np.arange(1, 4000, 114)
    values = np.random.default_rng(0).uniform(size=len(rows))
    smooth = variable_span_ema(values, rows)
    assert np.array_equal(smooth[rows <= 1000], values[rows <= 1000])
    y = values[0]
    for value, row, out in zip(values, rows, smooth, strict=True):
        a = 2 / (max(1, row / 1000) + 1)
        y = a * value + (1 - a) * y
        assert out == pytest.approx(y)


def test_smoothing_needs_a_position_per_value():
    with pytest.raises(ValueError, match="one position per value"):
        variable_span_ema(np.ones(3), np.ones(2))
