"""Gradients of the two losses: finite differences, closed form, agreement of all paths."""

import math
from dataclasses import replace

import pytest
import torch

from twirl.gradients import gradient_norm, gradient_ratio, loss_gradients
from twirl.groups import Octahedral
from twirl.problem import Problem
from twirl.representations import Vectors
from twirl.rotations import enumerate_group, rotation_set

F8 = torch.float64


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=F8)


ROTATIONS = rotation_set("iid", 6, generator(0))


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)).double()


def problem(model) -> Problem:
    return Problem(model, randn(5, 4, 3), randn(5, 4, 3, seed=1), Vectors(), Vectors())


@pytest.mark.parametrize("estimator", ["naive", "unbiased"])
def test_gradients_equal_finite_differences_of_the_losses(network, estimator):
    params = list(network.parameters())
    gradients = loss_gradients(problem(network), params, ROTATIONS, estimator=estimator)
    direction = [randn(*p.shape, seed=9) for p in params]

    def losses(step):
        with torch.no_grad():
            for p, d in zip(params, direction, strict=True):
                p.add_(step * d)
            found = getattr(problem(network).decompose(ROTATIONS), estimator)
            for p, d in zip(params, direction, strict=True):
                p.sub_(step * d)
        return found.L_mean, found.L_equiv

    up, down = losses(1e-5), losses(-1e-5)
    for gradient, above, below in zip(gradients, up, down, strict=True):
        slope = sum((g * d).sum() for g, d in zip(gradient, direction, strict=True))
        assert math.isclose(slope, (above - below) / 2e-5, rel_tol=1e-7)


def test_the_gradients_of_both_terms_add_up_to_that_of_the_loss(network):
    L_mean, L_equiv = loss_gradients(problem(network), network.parameters(), ROTATIONS)
    Z = problem(network).twist(ROTATIONS)
    total = torch.autograd.grad((Z - problem(network).y).square().mean(), list(network.parameters()))
    for m, e, t in zip(L_mean, L_equiv, total, strict=True):
        torch.testing.assert_close(m + e, t)


def test_a_linear_map_has_its_closed_form():
    """L_equiv = <|v|^2>/3 (|A|^2 / 3 - (tr A / 3)^2): its gradient is 2/9 <|v|^2> times A without its trace part."""
    A = randn(3, 3, seed=4).requires_grad_()
    linear = problem(lambda v: v @ A.T)
    _, (gradient,) = loss_gradients(linear, [A], enumerate_group(Octahedral()))
    traceless = A.detach() - A.trace().item() / 3 * torch.eye(3, dtype=F8)
    torch.testing.assert_close(gradient, 2 / 9 * linear.x.square().sum(-1).mean() * traceless)


@pytest.mark.parametrize("chunk", [1, 4, 6])
def test_chunks_add_up_to_the_whole(network, chunk):
    whole = loss_gradients(problem(network), network.parameters(), ROTATIONS)
    parts = loss_gradients(problem(network), network.parameters(), ROTATIONS, chunk=chunk)
    torch.testing.assert_close(parts, whole)


def test_an_equivariant_model_has_no_gradient_of_l_equiv_and_ratio_zero():
    scale = torch.tensor(2.0, dtype=F8, requires_grad=True)
    found = gradient_ratio(problem(lambda v: scale * v), [scale], ROTATIONS)
    assert found.L_equiv_norm < 1e-14
    assert found.ratio < 1e-13
    assert found.L_mean_norm > 0


def test_the_ratio_is_that_of_the_norms(network):
    L_mean, L_equiv = loss_gradients(problem(network), network.parameters(), ROTATIONS)
    found = gradient_ratio(problem(network), network.parameters(), ROTATIONS)
    flat = torch.cat([g.flatten() for g in L_equiv])
    assert found.L_equiv_norm == pytest.approx(float(flat.norm()))
    assert found.ratio == pytest.approx(found.L_equiv_norm / gradient_norm(L_mean))


def test_nothing_about_the_parameters_changes(network):
    with torch.no_grad():
        loss_gradients(problem(network), network.parameters(), ROTATIONS)
    assert all(p.grad is None for p in network.parameters())


def test_what_has_no_gradient_is_named(network):
    with pytest.raises(ValueError, match="no parameter that requires a gradient"):
        loss_gradients(problem(network), [p.detach() for p in network.parameters()], ROTATIONS)
    with pytest.raises(ValueError, match="depends on no parameter"):
        loss_gradients(problem(lambda v: v), network.parameters(), ROTATIONS)
    with pytest.raises(ValueError, match="'naive' or 'unbiased'"):
        loss_gradients(problem(network), network.parameters(), ROTATIONS, estimator="best")
    with pytest.raises(ValueError, match="targets"):
        loss_gradients(replace(problem(network), y=randn(5, 3)), network.parameters(), ROTATIONS)
