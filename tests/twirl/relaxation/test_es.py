"""ES: schedule, penalty and its upstream variant, and that nothing reaches the backbone."""

import pytest
import torch
from torch import nn

from tests.twirl.relaxation.toy import F8, batch, network, places, randn, train
from twirl.groups import about_axis
from twirl.relaxation import ES, relax
from twirl.relaxation.blocks import matrices, rotation_generators
from twirl.relaxation.es import lie_derivative, lie_norm, lie_norm_of, penalty, schedule, scrambled
from twirl.representations import IrrepsRep, Vectors

IN, OUT = IrrepsRep("2x0e + 2x1o"), IrrepsRep("1x0e + 1x1o")
A_IN, A_OUT = rotation_generators(IN, (8,)), rotation_generators(OUT, (4,))
Z = randn(5, 8)


def equivariant():
    """2x0e + 2x1o -> 1x0e + 1x1o."""
    W = torch.zeros(4, 8, dtype=F8)
    W[0, :2] = randn(2)
    W[1:, 2:] = torch.kron(randn(1, 2, seed=1), torch.eye(3, dtype=F8))
    return W


@pytest.mark.parametrize("E", [200, 1000, 8])
def test_alpha_rises_to_one_in_the_middle_and_falls_back(E):
    expected = {0: 0.0, E // 4: 0.5, E // 2: 1.0, 3 * E // 4: 0.5, E - 1: 2 / E}
    assert {e: schedule(e, E) for e in expected} == pytest.approx(expected)
    assert schedule(E + 5, E) == 0


def test_the_lie_derivative_vanishes_exactly_for_equivariant_maps():
    LD2, N2 = lie_norm(equivariant(), None, A_IN, A_OUT, Z)
    assert LD2 < 1e-24
    assert pytest.approx(float((Z @ equivariant().mT).square().sum())) == N2
    assert lie_norm(randn(4, 8), None, A_IN, A_OUT, Z)[0] > 1


def test_upstreams_lie_derivative_does_not_vanish_for_equivariant_maps():
    LD2, _ = lie_norm(equivariant(), None, scrambled(A_IN.dense()), scrambled(A_OUT.dense()), Z)
    assert LD2 > 1


def test_scrambling_is_upstreams_reshape():
    A = A_IN.dense()
    joined = torch.cat([Z @ a.mT for a in A], dim=-1)
    assert torch.equal((Z @ scrambled(A).mT).permute(1, 2, 0), joined.view(5, 8, 3))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("variant", ["correct", "upstream"])
def test_the_penalty_from_second_moments_is_the_sum_over_rows(bias, variant):
    W, b = randn(4, 8), randn(4, seed=1) if bias else None
    A = (A_IN, A_OUT) if variant == "correct" else (scrambled(A_IN.dense()), scrambled(A_OUT.dense()))
    found = lie_norm(W, b, *A, Z)
    expected = lie_norm_of(lambda z: nn.functional.linear(z, W, b), *A, Z)
    assert [float(x) for x in found] == pytest.approx([float(x) for x in expected], rel=1e-12)


def test_the_lie_derivative_is_the_derivative_of_the_conjugated_map():
    """d/dt exp(-t A_out) g(exp(t A_in) z) at 0 = g(A_in z) - A_out g(z)."""
    W, h = randn(4, 8), 1e-3

    def conjugated(t):
        turns = torch.cat([about_axis(a, torch.tensor([t], dtype=F8)) for a in "xyz"])
        return matrices(OUT, turns.mT, (4,)).dense() @ W @ matrices(IN, turns, (8,)).dense()

    slope = (8 * (conjugated(h) - conjugated(-h)) - (conjugated(2 * h) - conjugated(-2 * h))) / (12 * h)
    assert torch.allclose(lie_derivative(W, A_IN, A_OUT), slope, atol=1e-10)


def test_one_root_is_taken_over_all_places_and_is_finite_at_zero():
    sums = [(torch.tensor(9.0), torch.tensor(1.0)), (torch.tensor(16.0), torch.tensor(3.0))]
    assert float(penalty(sums, 0.01)) == pytest.approx(0.01 * (5 + 2))
    W = torch.zeros(4, 8, dtype=F8, requires_grad=True)
    penalty([lie_norm(W, None, A_IN, A_OUT, Z)]).backward()
    assert not W.grad.any()


def test_the_penalty_sends_no_gradient_into_the_backbone():
    net = relax(network(), ES(10), places())
    net.set_epoch(5)
    net(batch()[0])
    net.extra_loss().backward()
    for name, p in net.named_parameters():
        assert (p.grad is not None) == (".terms." in name), name


def test_the_penalty_is_that_of_all_places():
    net = relax(network(), ES(10, reg=0.3, init=0.5), places())
    x = batch()[0]
    net(x)
    found = net.extra_loss()
    inner = net.backbone.first(x).mean(1)
    total = torch.zeros(2, dtype=F8)
    for place, z in zip(places(), (x, x, inner), strict=True):
        terms = net.backbone.get_submodule(place.name).terms
        A = [rotation_generators(Vectors(), shape) for shape in (place.features_in, place.features_out)]
        total += torch.stack(lie_norm_of(terms, *A, place.flatten(z).flatten(0, -2)))
    assert found.item() == pytest.approx(0.3 * total.sqrt().sum().item(), rel=1e-9)


def test_upstream_counts_the_map_that_shares_its_input_twice():
    found = {}
    for share in (True, False):
        net = relax(network(), ES(10, init=0.5, bias=False, lie_derivative="upstream"), places(share=share))
        torch.manual_seed(0)
        for terms in net.method.all_terms:
            torch.nn.init.normal_(terms.W)
        net(batch()[0])
        found[share] = net.method.sums()
    assert found[True][1] == found[True][0] == found[False][0]
    assert found[False][1] != found[False][0]
    assert found[True][2] == found[False][2]


@pytest.mark.parametrize("init", [1e-4, "zero"])
@pytest.mark.parametrize("variant", ["correct", "upstream"])
def test_training_runs_through_the_schedule_and_evaluates_the_projection(init, variant):
    net = relax(network(), ES(4, init=init, lie_derivative=variant), places())
    optimizer = torch.optim.Adam(net.parameter_groups(1e-2))
    for epoch in range(4):
        net.set_epoch(epoch)
        assert net.alphas()["last"]["W"] == schedule(epoch, 4)
        assert train(net, optimizer, 3).isfinite().all()
    x, _ = batch()
    plain = network()
    state = {
        k.replace(".equivariant", ""): v for k, v in net.backbone.state_dict().items() if ".terms." not in k
    }
    plain.load_state_dict(state)
    assert torch.equal(net.eval()(x), plain(x))
    with net.reading("kept"):
        assert not torch.equal(net(x), plain(x))


def test_a_schedule_resumes_within_an_epoch():
    net = relax(network(), ES(10), places())
    net.set_epoch(4)
    other = relax(network(), ES(10), places())
    other.load_state_dict(net.state_dict())
    assert other.alphas() == net.alphas()


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="at least 1, not 0"):
        ES(0)
    with pytest.raises(ValueError, match="'correct' or 'upstream', not 'wrong'"):
        ES(10, lie_derivative="wrong")
    with pytest.raises(ValueError, match="needs a forward pass in training mode"):
        relax(network(), ES(10), places()).extra_loss()
