"""Bins, thinning and interpolation of curves."""

import numpy as np
import pytest

from analysis.curves import Curve, binned, thinned


def test_bins_leave_sparse_curves_alone_and_take_medians_of_dense_ones():
    sparse = Curve([0, 1, 2, 4, 7, 10], [5, 4, 3, 2, 1, 0.5])
    assert np.array_equal(binned(sparse).value, sparse.value)
    assert np.allclose(binned(sparse).step, sparse.step)
    dense = Curve(np.arange(1000, 1100), np.r_[np.ones(99), 1e6])
    assert len(binned(dense)) == 1
    assert binned(dense).value[0] == 1


def test_thinning_keeps_first_last_lowest_and_highest():
    steps = np.arange(1, 50_001)
    values = np.sin(steps / 7.0) + 2
    values[31_234], values[41_235] = -5, 9
    thin = thinned(Curve(steps, values), 500)
    assert len(thin) <= 504
    assert {thin.step[0], thin.step[-1], 31_235, 41_236} <= set(thin.step)
    assert thin.value.min() == -5
    assert thin.value.max() == 9


def test_interpolation_goes_through_logged_points_and_is_straight_in_log_log():
    curve = Curve([1, 100], [1, 0.01])
    assert curve.at(10.0) == pytest.approx(0.1)
    assert curve.at(1.0) == pytest.approx(1)
    assert curve.at(1e6) == pytest.approx(0.01)
