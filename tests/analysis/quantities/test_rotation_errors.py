"""The record of a rotation study, and the errors of estimates made from parts of it."""

import numpy as np
import pytest

from analysis.quantities.rotation_errors import Sets, bootstrap, read_study, root_mean_square
from analysis.results import load_runs


def test_a_study_is_read_back_as_sets(chain_folders):
    run = next(run for run in load_runs(chain_folders, "mini").runs if run.name == "proteina-60m")
    study = read_study(run)
    assert (study.step, study.weights, study.t) == (60, "ema", 0.5)
    assert len(study.pool) == 40
    assert {key: len(sets) for key, sets in study.sets.items()} == {
        ("super_fibonacci", 5): 8,
        ("super_fibonacci", 20): 8,
        ("product_quadrature", 18): 8,
    }
    assert np.allclose(np.diag(study.pool.G), study.pool.T)  # a set of one rotation is its own mean
    assert study.reference == study.sets["super_fibonacci", 20].pooled


def independent(K: int, error: float, seed: int = 0) -> Sets:
    """Single rotations whose predictions err by `error` about a mean one."""
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=400) + error * rng.normal(size=(K, 400))
    return Sets(1, Z @ Z.T / 400, (Z**2).mean(1))


def test_resamples_are_unbiased_for_their_pool_and_err_as_the_root_of_their_number():
    pool = independent(100, 0.3)
    for n in (2, 5, 20):
        assert bootstrap(pool, n, 4000).mean() == pytest.approx(pool.pooled, rel=0.03)
    errors = {n: root_mean_square(bootstrap(pool, n, 4000), pool.pooled) for n in (5, 80)}
    assert errors[5] / errors[80] == pytest.approx(4, rel=0.35)


def test_the_pooled_estimate_is_prop_8_of_the_whole_pool():
    pool = independent(12, 0.5)
    c = np.full(12, 1 / 12)
    total, mean = c @ pool.T, c @ pool.G @ c
    assert pool.pooled == pytest.approx(100 * 12 / 11 * (total - mean) / total)
