"""RECM's state and update rule: closed forms, paper B's lemmas and theorem, and the fast formulation."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torch import nn

from tests.twirl.relaxation.toy import F8, generator, randn
from twirl.groups import SO2, SO3, AxisPreserving, Cyclic, Permutations, about_axis
from twirl.relaxation.blocks import BlockDiagonal, matrices
from twirl.relaxation.update import (
    GELU_LIPSCHITZ,
    UpdateRule,
    constraint_set,
    modulation,
    next_state,
    step_size,
    unit_ball,
    update_rule,
)
from twirl.representations import Scalars, Vectors

LIKE = torch.zeros((), dtype=F8)


@pytest.mark.parametrize("b", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("a", [1e-3, 0.1, 10.0])
def test_the_state_is_a_fading_start_and_the_plain_mean_of_updates(a, b):
    """Lemma 4.1: h_t = lambda_t h_0 + (1 - lambda_t) mean(l_1, ..., l_t)."""
    h_0, l = randn(16), randn(1000, 16, seed=1)  # noqa: E741
    h = h_0
    for t in range(1, 1001):
        h = next_state(h, l[t - 1], t, a, b)
        lambda_t = b / (b + a * t)
        assert (h - lambda_t * h_0 - (1 - lambda_t) * l[:t].mean(0)).abs().max() < 1e-12


def test_the_papers_step_size_leaves_a_start_that_is_pruned_at_the_end_of_its_run():
    left = math.prod(1 - step_size(t, 1e-3) for t in range(1, 82_001))
    assert left == pytest.approx(0.01205, rel=1e-3)
    assert modulation(torch.ones(1, 1, dtype=F8), torch.tensor([left], dtype=F8)).item() < 0.01


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-3, 1e3))
@settings(max_examples=50, deadline=None)
def test_alpha_is_never_larger_than_the_state(seed, scale):
    w, h = scale * randn(4, 16, seed=seed), randn(16, seed=seed + 1) * scale
    assert (modulation(w, h).abs() <= h.norm() * (1 + 1e-12)).all()
    assert unit_ball(w).norm(dim=-1).max() <= 1 + 1e-12


def test_a_state_of_zero_gives_no_relaxation():
    assert not modulation(randn(3, 16), torch.zeros(16, dtype=F8)).any()


# ---- C_G


def test_the_constraint_set_is_the_papers():
    angle = torch.tensor([1.5], dtype=F8)
    assert torch.equal(constraint_set(), torch.cat([about_axis("x", angle), about_axis("z", angle)]))
    larger = constraint_set(SO3(), 16)
    assert torch.equal(larger[:2], constraint_set())
    assert torch.equal(larger[:8], constraint_set(SO3(), 8))
    traces = larger.diagonal(dim1=1, dim2=2).sum(-1)
    assert torch.allclose(traces, torch.full((16,), 1 + 2 * math.cos(1.5), dtype=F8))
    assert len(constraint_set(SO2())) == 1
    assert torch.equal(constraint_set(Permutations(4)), Permutations(4).generators())
    assert torch.equal(constraint_set(Cyclic(5)), Cyclic(5).generators())


def test_a_set_without_generators_or_too_few_rotations_are_refused():
    with pytest.raises(ValueError, match="has no generators"):
        constraint_set(AxisPreserving())
    with pytest.raises(ValueError, match="one rotation does not generate SO"):
        constraint_set(SO3(), 1)


def test_products_of_the_two_rotations_come_near_every_rotation():
    """Lemma A.1: within 0.1 rad of each of a hundred rotations."""
    x, z = constraint_set()
    words = torch.eye(3, dtype=F8).expand(4000, 3, 3)
    targets = SO3().sample(100, generator(0))
    nearest = torch.full((100,), math.pi, dtype=F8)
    for letter in torch.rand(150, 4000, generator=generator(1)) < 0.5:
        words = torch.where(letter[:, None, None], words @ x, words @ z)
        cosine = ((words.flatten(1) @ targets.flatten(1).mT).amax(0) - 1) / 2
        nearest = nearest.minimum(cosine.clamp(-1, 1).acos())
    assert nearest.max() < 0.1


# ---- the update rule


class R(nn.Module):
    """r_theta by itself."""

    def __init__(self, dim, m=16, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.first, self.second = nn.Linear(dim, 16, dtype=F8), nn.Linear(16, m, dtype=F8)

    def forward(self, x):
        return self.second(nn.functional.gelu(self.first(x)))

    def lipschitz(self):
        norms = [torch.linalg.matrix_norm(layer.weight.detach(), 2) for layer in (self.first, self.second)]
        return float(GELU_LIPSCHITZ * norms[0] * norms[1])


def invariant(n, seed=0):
    """(z, y) whose law is invariant: both turned together, uniformly."""
    z = randn(n, 1, 3, seed=seed) + torch.tensor([0, 0, 1.0], dtype=F8)
    pair = torch.cat([z, z.roll(1, -1)], dim=1)
    pair = Vectors().act_rows(SO3().sample(n, generator(seed + 1)), pair)
    return pair[:, :1], pair[:, 1:]


def aligned(n, seed=0):
    """(z, y) with a preferred direction."""
    z = randn(n, 1, 3, seed=seed) + torch.tensor([0, 0, 2.0], dtype=F8)
    return z, z.roll(1, -1)


def wasserstein(p, q):
    """W_1 of two equally large samples."""
    cost = cdist(p.flatten(1), q.flatten(1))
    return cost[linear_sum_assignment(cost)].mean()


def rotated_mixture(z, y, elements):
    """The empirical measure of C_G's rotations of the sample, as a sample of the same size (len(C_G) divides it)."""
    pair = torch.cat([z, y], dim=1)
    turned = Vectors().act(elements, pair[None])
    return pair.repeat(len(elements), 1, 1), turned.flatten(0, 1)


@pytest.mark.parametrize("data", [aligned, invariant])
def test_the_mean_update_is_at_most_the_lipschitz_constant_times_the_distance(data):
    """Theorem 4.2 in its sharp form, exact for samples: |mean l| <= B W_1(p^, p^_CG)."""
    z, y = data(150)
    elements, rule = constraint_set(), R(6)
    l = update_rule(rule, z, y, elements, Vectors(), Vectors())  # noqa: E741
    assert l.norm() <= rule.lipschitz() * wasserstein(*rotated_mixture(z, y, elements))


@pytest.mark.parametrize("data", [aligned, invariant])
def test_the_mean_update_is_at_most_twice_the_distance_to_the_symmetrised_data(data):
    """Theorem 4.2: |E l| <= 2 B W_1(p, p_G)."""
    z, y = data(400)
    rule = R(6)
    l = update_rule(rule, z, y, constraint_set(), Vectors(), Vectors())  # noqa: E741
    pair = torch.cat([z, y], dim=1)
    symmetrised = Vectors().act_rows(SO3().sample(400, generator(5)), pair.roll(7, 0))
    assert l.norm() <= 2 * rule.lipschitz() * wasserstein(pair, symmetrised)


def test_the_mean_update_of_invariant_data_falls_with_the_root_of_their_number():
    rule = R(6)

    def size(n):
        norms = [
            update_rule(rule, *invariant(n, 10 * k), constraint_set(), Vectors(), Vectors()).norm()
            for k in range(20)
        ]
        return float(torch.stack(norms).detach().square().mean().sqrt())

    small, large = size(100), size(6400)
    assert small / large == pytest.approx(8, rel=0.35)
    assert large < 0.02


def test_training_the_rule_finds_a_preferred_direction_and_only_that():
    """Theorem 4.2, lower bound: the largest E l is positive unless p is invariant under C_G."""
    z, y = aligned(2000)
    rule, elements = R(6, m=1), constraint_set()
    optimizer = torch.optim.Adam(rule.parameters(), 0.02)
    for _ in range(60):
        for layer in (rule.first, rule.second):
            with torch.no_grad():
                layer.weight /= torch.linalg.matrix_norm(layer.weight, 2).clamp_min(1)
        loss = -update_rule(rule, z, y, elements, Vectors(), Vectors()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        assert update_rule(rule, *aligned(8000, 7), elements, Vectors(), Vectors()) > 0.5
        assert update_rule(rule, *invariant(8000, 7), elements, Vectors(), Vectors()).abs() < 0.05


# ---- the fast formulation


@pytest.mark.parametrize("targets", [None, Vectors(), Scalars()], ids=["none", "vectors", "labels"])
@pytest.mark.parametrize("size", [2, 5])
@pytest.mark.parametrize("bound", [None, 0.4])
def test_all_places_at_once_give_the_definition(targets, size, bound):
    """Two stored inputs of different lengths, one of them read by two places."""
    elements = constraint_set(SO3(), size)
    shapes, readers = [(2, 3), (5, 3)], [2, 1]
    parts = [[matrices(Vectors(), elements, shape)] for shape in shapes]
    if targets is not None:
        parts = [[rho, matrices(targets, elements, (1, 3))] for (rho,) in parts]
    torch.manual_seed(0)
    rule = UpdateRule(list(zip(parts, readers, strict=True)), 16, 16, bound, LIKE)
    z = [randn(rows, *shape) for rows, shape in zip((7, 4), shapes, strict=True)]
    y = [None if targets is None else randn(len(v), 1, 3, seed=5) for v in z]
    joined = [
        v.flatten(1) if t is None else torch.cat([v.flatten(1), t.flatten(1)], 1)
        for v, t in zip(z, y, strict=True)
    ]
    found = rule(joined)
    for place, (s, k) in enumerate([(0, 0), (0, 1), (1, 0)]):
        W1, b1, W2 = rule.W1[s][k], rule.b1[s][k], rule.W2[place]
        if bound is not None:
            W1, W2 = (W / (torch.linalg.matrix_norm(W, 2) / bound).clamp_min(1) for W in (W1, W2))

        def r(x, W1=W1, b1=b1, W2=W2):
            return nn.functional.gelu(x @ W1.mT + b1) @ W2.mT

        assert torch.allclose(
            found[place], update_rule(r, z[s], y[s], elements, Vectors(), targets), atol=1e-13
        )
        B = GELU_LIPSCHITZ * torch.linalg.matrix_norm(W1, 2) * torch.linalg.matrix_norm(W2, 2)
        assert rule.lipschitz()[place].item() == pytest.approx(B.item(), rel=1e-9)


def test_rows_of_zeros_give_no_update():
    rule = UpdateRule([([BlockDiagonal(constraint_set()[:, None], 3)], 1)], 16, 16, None, LIKE)
    assert rule([torch.zeros(1, 3, dtype=F8)]).abs().max() < 1e-16


def test_equivariant_pairs_are_what_the_rule_compares():
    """A rule that sees an invariant of (z, y) alone gives exactly 0."""

    def r(x):
        z, y = x[..., :3], x[..., 3:]
        return (z * y).sum(-1, keepdim=True)

    assert update_rule(r, *aligned(50), constraint_set(), Vectors(), Vectors()).abs() < 1e-13
