"""Coefficients of the share of the loss and the ratio of gradient norms."""

import numpy as np
import pytest

from analysis.quantities.gradients import correlations


def test_coefficients_are_those_of_logarithms_and_ranks():
    rng = np.random.default_rng(0)
    x = np.exp(rng.normal(size=50))
    y = x**2 * np.exp(0.5 * rng.normal(size=50))
    pearson, spearman = correlations(x, y)
    assert pearson == pytest.approx(np.corrcoef(np.log(x), np.log(y))[0, 1])
    ranks = [np.argsort(np.argsort(v)) for v in (x, y)]
    assert spearman == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert correlations(x, x**3) == pytest.approx((1, 1))
    assert np.isnan(correlations(x[:2], y[:2])).all()
