"""The decomposition: closed forms, unbiasedness, Jensen gaps, standard errors, agreement of all paths."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from twirl.decomposition import concat, decompose, decompose_predictions
from twirl.groups import AxisPreserving, Cyclic, Octahedral
from twirl.representations import Scalars, Vectors, Voxels
from twirl.rotations import enumerate_group, product_quadrature, rotation_set

F8 = torch.float64
A = torch.randn(3, 3, generator=torch.Generator().manual_seed(7), dtype=F8)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=F8)


X, Y = randn(8, 3), randn(8, 3, seed=1)
SAMPLES = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])


def linear(v):
    """f(v) = A v."""
    return v @ A.T


def split(rotations, model=linear, x=X, y=Y, **options):
    return decompose(model, x, y, rotations, Vectors(), Vectors(), **options)


def linear_truth():
    """Per-row (L_mean, L_equiv) of f(v) = A v over all rotations.

    mu = tr(A)/3 v, and E|Z|^2 = E_u |A u|^2 |v|^2 = |A|_F^2 / 3 |v|^2, u uniform on the sphere.
    """
    t = A.trace() / 3
    L_mean = (t * X - Y).square().mean(1)
    L_equiv = X.square().mean(1) * (A.square().sum() / 3 - t**2)
    return L_mean, L_equiv


def iid(R, seed=0):
    return rotation_set("iid", R, generator(seed))


# closed forms


@pytest.mark.parametrize(
    "rotations", [enumerate_group(Octahedral()), product_quadrature(4)], ids=["octahedral", "quadrature"]
)
def test_a_linear_map_has_its_closed_form(rotations):
    L_mean, L_equiv = linear_truth()
    found = split(rotations)
    assert torch.allclose(found.L_mean, L_mean, rtol=1e-12)
    assert torch.allclose(found.L_equiv, L_equiv, rtol=1e-12)
    assert torch.allclose(found.mu, A.trace() / 3 * X, atol=1e-13)
    assert found.unbiased == found.naive
    assert math.isclose(found.percent, 100 * L_equiv.mean() / (L_mean + L_equiv).mean(), rel_tol=1e-12)


def test_a_constant_vector_is_all_equivariance_error_and_a_constant_scalar_none():
    c = torch.tensor([1.0, -2.0, 2.0], dtype=F8)
    found = split(enumerate_group(Octahedral()), lambda v: c.expand(len(v), 3))
    assert torch.allclose(found.L_equiv, torch.full((8,), 3.0, dtype=F8))
    assert torch.allclose(found.L_mean, Y.square().mean(1))
    scalar = decompose(lambda v: v.new_full((len(v),), 2.0), X, Y[:, 0], iid(5), Vectors(), Scalars())
    assert scalar.naive.L_equiv == 0
    assert math.isclose(scalar.naive.L_total, (2 - Y[:, 0]).square().mean())


def test_a_turn_about_the_axis_of_the_group_is_free_and_another_turn_is_not():
    about_z, about_x = Cyclic(5, "z"), Cyclic(5, "x")
    g = about_z.elements()[1]
    assert split(enumerate_group(about_z), lambda v: v @ g.T).percent < 1e-28
    assert split(enumerate_group(about_x), lambda v: v @ g.T).percent > 1


@pytest.mark.parametrize(
    ("model", "y", "acts_on_y"),
    [
        (lambda v: v * v.square().sum(-1, keepdim=True), Y, Vectors()),
        (lambda v: v.square().sum(-1), Y[:, 0], Scalars()),
    ],
)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_an_equivariant_map_has_no_equivariance_error(model, y, acts_on_y, seed):
    found = decompose(model, X, y, iid(6, seed), Vectors(), acts_on_y)
    assert (found.L_equiv < 1e-26).all()
    assert found.percent < 1e-24
    assert torch.allclose(found.L_mean, (model(X) - y).square().view(8, -1).mean(1), rtol=1e-12)


# the split


def network(seed):
    W, V = randn(3, 8, seed=seed), randn(8, 3, seed=seed + 1)
    return lambda v: torch.sin(v @ W) @ V


@given(seed=st.integers(0, 10_000), R=st.integers(2, 8))
@settings(max_examples=30, deadline=None)
def test_the_loss_is_the_sum_of_both_terms_and_percent_lies_between_0_and_100_naively(seed, R):
    found = split(iid(R, seed), network(seed))
    naive = found.naive
    Z = torch.stack([network(seed)(X @ g.T) @ g for g in iid(R, seed).elements])
    assert math.isclose(naive.L_total, (Z - Y).square().mean(), rel_tol=1e-12)
    assert math.isclose(naive.L_mean, (Z.mean(0) - Y).square().mean(), rel_tol=1e-12)
    assert math.isclose(naive.L_equiv, (Z - Z.mean(0)).square().mean(), rel_tol=1e-12)
    assert math.isclose(found.unbiased.L_total, naive.L_total, rel_tol=1e-12)
    assert 0 <= naive.percent <= 100
    assert math.isclose(found.percent, R / (R - 1) * naive.percent, rel_tol=1e-12)
    assert math.isclose(found.unbiased.L_mean, naive.L_mean - naive.L_equiv / (R - 1), abs_tol=1e-12)


def test_the_gram_matrix_carries_every_mse_estimate():
    found = split(iid(5))
    w = found.weights
    L_total = (w * found.gram.diagonal(dim1=1, dim2=2)).sum(1)
    L_mean = torch.einsum("k,skl,l->s", w, found.gram, w)
    assert torch.allclose(found.L_mean, L_mean)
    assert torch.allclose(found.L_equiv, L_total - L_mean)


def test_unequal_weights_are_respected():
    rotations = product_quadrature(3)
    Z = torch.stack([linear(X @ g.T) @ g for g in rotations.elements])
    w = rotations.weights[:, None, None]
    mu = (w * Z).sum(0)
    found = split(rotations)
    assert math.isclose(found.naive.L_equiv, (w * (Z - mu).square()).sum(0).mean(), rel_tol=1e-12)


# estimators


def test_unbiased_estimates_average_to_the_truth_over_seeds_and_naive_ones_do_not():
    seeds, R = 600, 4
    L_mean, L_equiv = (term.mean().item() for term in linear_truth())
    runs = [split(iid(R, seed)) for seed in range(seeds)]

    def deviation(values, truth):
        values = torch.tensor(values, dtype=F8)
        return float((values.mean() - truth) / (values.std() / math.sqrt(seeds)))  # in standard errors

    assert abs(deviation([r.unbiased.L_total for r in runs], L_mean + L_equiv)) < 4
    assert abs(deviation([r.unbiased.L_mean for r in runs], L_mean)) < 4
    assert abs(deviation([r.unbiased.L_equiv for r in runs], L_equiv)) < 4
    assert abs(deviation([r.naive.L_equiv for r in runs], L_equiv * (R - 1) / R)) < 4
    assert deviation([r.naive.L_equiv for r in runs], L_equiv) < -10
    assert deviation([r.naive.L_mean for r in runs], L_mean) > 10


def test_draws_from_a_set_that_is_no_group_are_corrected_in_the_same_way():
    x, y = randn(2, 1, 3, 3, 3), randn(2, 1, 3, 3, 3, seed=1)
    weight = randn(1, 1, 3, 3, 3, seed=2)

    def model(v):
        return F.conv3d(v, weight, padding=1)

    exact = decompose(model, x, y, enumerate_group(AxisPreserving()), Voxels(), Voxels()).naive
    runs = [
        decompose(
            model, x, y, rotation_set("iid", 4, generator(s), group=AxisPreserving()), Voxels(), Voxels()
        )
        for s in range(300)
    ]
    for name in ("L_total", "L_mean", "L_equiv"):
        values = torch.tensor([getattr(run.unbiased, name) for run in runs])
        assert abs(values.mean() - getattr(exact, name)) < 4 * values.std() / math.sqrt(len(values))


def test_pooling_weighs_samples_by_size_and_the_mean_of_ratios_does_not():
    found = split(iid(5), sample_index=SAMPLES)
    rows = split(iid(5))
    assert found.sizes.tolist() == [9, 6, 9]
    assert torch.allclose(found.L_equiv[0], rows.L_equiv[:3].mean())
    assert torch.allclose(found.L_mean[1], rows.L_mean[3:5].mean())
    assert math.isclose(found.naive.L_total, rows.naive.L_total)
    ratios = 5 / 4 * 100 * found.L_equiv / (found.L_equiv + found.L_mean)
    assert torch.allclose(found.per_sample.percent, ratios)
    assert math.isclose(found.percent_mean_of_ratios, ratios.mean())
    assert abs(found.percent - found.percent_mean_of_ratios) > 0.1
    assert torch.allclose(found.per_sample_naive.percent, ratios * 4 / 5)


def test_samples_may_be_numbered_in_any_order_of_rows():
    order = torch.randperm(8, generator=generator(0))
    shuffled = split(iid(5), x=X[order], y=Y[order], sample_index=SAMPLES[order])
    assert torch.allclose(shuffled.L_equiv, split(iid(5), sample_index=SAMPLES).L_equiv)


def test_a_sample_without_any_loss_is_left_out_of_the_mean_of_ratios():
    y = Y.clone()
    y[0] = 0
    found = split(iid(4), x=X * (torch.arange(8) > 0)[:, None], y=y)
    assert found.L_mean[0] == 0
    assert math.isclose(found.percent_mean_of_ratios, found.per_sample.percent[1:].mean())


def test_the_log_names_every_estimator():
    values = split(iid(5)).as_dict()
    assert list(values) == [
        "L_total", "L_mean", "L_equiv", "percent",
        "L_mean_naive", "L_equiv_naive", "percent_naive", "percent_mean_of_ratios",
    ]  # fmt: skip
    assert all(isinstance(value, float) for value in values.values())


# convex losses


def rowwise(loss):
    return lambda prediction, target: loss(prediction, target, reduction="none").flatten(1).mean(1)


@pytest.mark.parametrize("loss", [F.l1_loss, F.smooth_l1_loss, F.huber_loss])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=5, deadline=None)
def test_the_jensen_gap_of_a_convex_loss_is_not_negative_and_completes_the_loss(loss, seed):
    found = split(enumerate_group(Octahedral()), network(seed), loss=rowwise(loss))
    Z = torch.stack([network(seed)(X @ g.T) @ g for g in Octahedral().elements()])
    assert (found.L_equiv >= 0).all()
    assert math.isclose(found.naive.L_total, loss(Z, Y.expand_as(Z)), rel_tol=1e-9)
    assert math.isclose(found.naive.L_mean, loss(Z.mean(0), Y), rel_tol=1e-9)


def test_the_squared_error_as_a_convex_loss_gives_the_mse_split():
    mse, convex = split(iid(6)), split(iid(6), loss=lambda p, t: (p - t).square())
    assert torch.allclose(mse.L_mean, convex.L_mean)
    assert torch.allclose(mse.L_equiv, convex.L_equiv)
    ragged = split(iid(6), loss=rowwise(F.mse_loss), sample_index=SAMPLES)
    assert torch.allclose(ragged.L_equiv, split(iid(6), sample_index=SAMPLES).L_equiv)


def test_cross_entropy_of_invariant_logits_is_split_over_class_labels():
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    found = decompose(
        network(3),
        X,
        labels,
        iid(6),
        Vectors(),
        Scalars(),
        loss=lambda p, t: F.cross_entropy(p, t, reduction="none"),
    )
    assert found.naive.L_equiv > 0
    assert found.mu.shape == (8, 3)


def test_a_loss_that_is_not_convex_is_refused():
    with pytest.raises(ValueError, match="not convex"):
        split(iid(6), loss=lambda p, t: -(p - t).square().mean(1))
    with pytest.raises(ValueError, match="without reduction"):
        split(iid(6), loss=F.mse_loss)


def test_convex_losses_have_no_unbiased_estimate_over_random_rotations():
    found = split(iid(6), loss=rowwise(F.l1_loss))
    with pytest.raises(ValueError, match="no unbiased estimate is known"):
        _ = found.unbiased
    exact = split(enumerate_group(Octahedral()), loss=rowwise(F.l1_loss))
    assert exact.unbiased == exact.naive


# standard errors


@pytest.mark.parametrize("R", [5, 10])
@pytest.mark.parametrize("model", [linear, network(1)], ids=["linear", "network"])
def test_bootstrap_over_rotations_covers_the_spread_over_seeds_by_at_most_sqrt_3(model, R):
    runs = [split(iid(R, seed), model) for seed in range(300)]
    errors = [run.bootstrap(200, generator(i)) for i, run in enumerate(runs[:100])]
    ratios = {}
    for name in ("L_total", "L_mean", "L_equiv", "percent"):
        actual = torch.tensor([getattr(run.unbiased, name) for run in runs]).std()
        ratios[name] = (
            torch.tensor([getattr(error, name) for error in errors]).square().mean().sqrt() / actual
        )
    actual = torch.tensor([run.percent_mean_of_ratios for run in runs]).std()
    claimed = torch.tensor([error.percent_mean_of_ratios for error in errors]).square().mean().sqrt()
    ratios["percent_mean_of_ratios"] = claimed / actual
    assert 0.8 < ratios["L_total"] < 1.25
    assert all(0.85 < ratio < 1.2 * math.sqrt(3) for ratio in ratios.values()), ratios


def test_bootstrap_over_samples_predicts_the_spread_over_data():
    rotations, S = enumerate_group(Octahedral()), 40

    def run(seed):
        return split(rotations, x=randn(S, 3, seed=seed), y=randn(S, 3, seed=seed + 10_000))

    actual = torch.tensor([run(seed).percent for seed in range(200)]).std()
    claimed = torch.tensor(
        [run(seed).bootstrap(200, generator(seed), over="samples").percent for seed in range(30)]
    )
    assert 0.8 < torch.as_tensor(claimed).square().mean().sqrt() / actual < 1.25


def test_bootstrap_over_both_exceeds_either_and_is_a_function_of_its_seed():
    found = split(iid(10))
    samples, rotations, both = (
        found.bootstrap(2000, generator(0), over).L_total for over in ("samples", "rotations", "both")
    )
    assert both > max(samples, rotations)
    assert found.bootstrap(50, generator(1)) == found.bootstrap(50, generator(1))


def test_bootstraps_without_anything_to_resample_are_refused():
    with pytest.raises(ValueError, match="not a random sample"):
        split(enumerate_group(Octahedral())).bootstrap(10)
    with pytest.raises(ValueError, match="needs the Gram matrix"):
        split(iid(4), keep_gram=False).bootstrap(10)
    with pytest.raises(ValueError, match="at least 2 samples"):
        split(iid(4), x=X[:1], y=Y[:1]).bootstrap(10, over="samples")
    with pytest.raises(ValueError, match="over must be"):
        split(iid(4)).bootstrap(10, over="atoms")
    with pytest.raises(ValueError, match="at least 3 of them, not 2"):
        split(iid(2)).bootstrap(10)


# agreement of all paths


def same(a, b, tolerance=1e-12):
    for name in ("L_mean", "L_equiv", "sizes", "gram", "mu", "weights"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=tolerance, atol=tolerance)


def test_chunks_and_predictions_give_the_same_as_one_call():
    at_once = split(iid(7), network(0), sample_index=SAMPLES)
    same(split(iid(7), network(0), sample_index=SAMPLES, chunk=3), at_once)
    Z = torch.stack([network(0)(X @ g.T) @ g for g in iid(7).elements])
    same(decompose_predictions(Z, Y, sample_index=SAMPLES), at_once)
    same(decompose_predictions(Z, Y, iid(7), sample_index=SAMPLES), at_once)


def test_batches_concatenate_to_the_whole():
    parts = [split(iid(6), x=X[rows], y=Y[rows]) for rows in (slice(0, 3), slice(3, 8))]
    same(concat(parts), split(iid(6)))
    assert concat(parts).as_dict() == pytest.approx(split(iid(6)).as_dict())


def test_row_blocks_do_not_change_the_result(monkeypatch):
    whole = split(iid(6), sample_index=SAMPLES)
    monkeypatch.setattr("twirl.decomposition._BLOCK", 40)
    same(split(iid(6), sample_index=SAMPLES), whole)
    assert split(iid(6)).bootstrap(20, generator(0)).percent > 0


def test_single_precision_predictions_resolve_small_equivariance_errors():
    tiny = 1e-5 * randn(3, 3, seed=5)

    def model(v):
        return v @ (torch.eye(3, dtype=F8) + tiny).to(v.dtype).T

    exact = split(iid(10), model)
    single = decompose(model, X.float(), Y.float(), iid(10), Vectors(), Vectors())
    assert exact.percent < 1e-7
    assert single.percent == pytest.approx(exact.percent, rel=0.05)


def test_targets_of_one_number_per_row_are_one_component():
    y = Y[:, 0]
    found = decompose(lambda v: v[:, 0], X, y, iid(5), Vectors(), Scalars())
    column = decompose(lambda v: v[:, :1], X, y[:, None], iid(5), Vectors(), Scalars())
    same(concat([found]), decompose(lambda v: v[:, 0], X, y, iid(5), Vectors(), Scalars()))
    assert torch.allclose(found.L_equiv, column.L_equiv)
    assert found.sizes.tolist() == [1] * 8


# bad input


def test_shapes_and_numbers_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"predictions have shape \(8, 3\) per rotation, targets \(7, 3\)"):
        split(iid(3), y=Y[:7])
    with pytest.raises(ValueError, match=r"predictions have shape \(4, 3\) per rotation, targets \(8, 3\)"):
        split(iid(4), lambda v: v[: len(v) // 2])
    with pytest.raises(ValueError, match="one number per row"):
        split(iid(3), sample_index=SAMPLES[:5])
    with pytest.raises(ValueError, match="a sample without rows has no loss"):
        split(iid(3), sample_index=2 * SAMPLES)
    with pytest.raises(ValueError, match="3 twisted predictions were given for a set of 4"):
        decompose_predictions(Y.expand(3, 8, 3), Y, iid(4))
    with pytest.raises(ValueError, match="targets are not finite"):
        split(iid(3), y=Y / 0)
    with pytest.raises(ValueError, match="select a field"):
        decompose_predictions({"force": Y}, Y)
    with pytest.raises(ValueError, match="both need the same, not 0"):
        decompose_predictions(Y[None, :0], Y[:0])


def test_a_prediction_that_is_not_finite_is_located():
    Z = Y.expand(3, 8, 3).clone()
    Z[2, 5, 1] = torch.nan
    with pytest.raises(ValueError, match="not finite: first for rotation 2, row 5"):
        decompose_predictions(Z, Y)
    with pytest.raises(ValueError, match="not finite: first for rotation 2, row 5"):
        decompose_predictions(Z[..., 1], Y[:, 1])


def test_one_random_rotation_has_no_unbiased_estimate():
    found = split(iid(1))
    assert found.naive.L_equiv == 0
    with pytest.raises(ValueError, match=r"at least 2 i\.i\.d\. rotations"):
        _ = found.unbiased


def test_different_rotation_sets_are_not_pooled():
    with pytest.raises(ValueError, match="cannot be pooled"):
        concat([split(iid(3)), split(iid(4))])
    with pytest.raises(ValueError, match="no decomposition"):
        concat([])
