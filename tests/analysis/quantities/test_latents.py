"""Cosines of turned molecules against those of different ones."""

import numpy as np
import pandas as pd
import pytest

from analysis.quantities.latents import compare


def latents(turned, others, kind="pooled"):
    rows = [(k, "x", 90, kind, value) for k, value in enumerate(turned)]
    rows += [(k, "x", 360, kind, 1.0) for k in range(len(turned))]
    rows += [(k, "", 0, "other molecule", value) for k, value in enumerate(others)]
    return pd.DataFrame(rows, columns=["sample", "axis", "angle", "kind", "cosine"])


def test_the_comparison_knows_the_answers_of_separate_and_of_equal_samples():
    x = np.linspace(0.4, 0.6, 50)
    apart = compare(latents(x + 0.3, x), "pooled")
    assert (apart.superiority, apart.molecules) == (1.0, 50)
    assert apart.median == pytest.approx(0.8)  # the whole turns are left out
    assert apart.other == pytest.approx(0.5)
    assert apart.p < 1e-12
    same = compare(latents(x, x), "pooled")
    assert same.superiority == pytest.approx(0.5)
    assert same.p == pytest.approx(1.0)


def test_without_different_molecules_there_is_a_median_and_no_test():
    found = compare(latents([0.5, 0.7], []), "pooled")
    assert found.median == pytest.approx(0.6)
    assert np.isnan(found.p)
