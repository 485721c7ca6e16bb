"""ACE: one step by hand, convergence of the dual dynamics, and its three constraints."""

import pytest
import torch

from tests.twirl.relaxation.toy import F8, batch, network, places, randn, train
from twirl.relaxation import ACE, relax
from twirl.relaxation.ace import adam_ascent, dual_ascent, lagrangian, mlp, slack, slack_descent


def test_slacks_are_those_of_the_three_problems():
    gamma, u = torch.tensor([-0.5, 0.2]), torch.tensor([0.1, 0.1])
    assert slack(gamma, "equality").tolist() == pytest.approx([-0.5, 0.2])
    assert slack(gamma, "equality", epsilon=0.3).tolist() == pytest.approx([0.2, -0.1])
    assert slack(gamma, "resilient", u).tolist() == pytest.approx([0.4, 0.1])
    assert slack(gamma, "one_sided").tolist() == pytest.approx([-0.5, 0.2])


def test_one_step_is_the_algorithm_box():
    """gamma <- gamma - eta_p (dJ + lambda), lambda <- lambda + eta_d gamma, with gamma from before."""
    net = relax(network(), ACE(dual_optimizer="sgd", dual_lr=0.3), places())
    method = net.method
    with torch.no_grad():
        method.gamma.copy_(torch.tensor([0.8, -0.35, 0.1]))
        method.multipliers.copy_(torch.tensor([0.3, -0.2, 0.05]))
    gamma, multipliers = method.gamma.detach().clone(), method.multipliers.clone()
    x, y = batch()
    task = (net(x) - y).square().mean()
    slope = torch.autograd.grad(task, method.gamma)[0]
    train(net, torch.optim.SGD(net.parameters(), 0.1), 1)
    assert torch.allclose(method.gamma, gamma - 0.1 * (slope + multipliers), atol=1e-14)
    assert torch.allclose(method.multipliers, multipliers + 0.3 * gamma, atol=1e-14)


def test_the_equality_dynamics_of_a_quadratic_converge_to_the_constrained_optimum():
    """min (gamma - 1)^2 subject to gamma = 0: gamma = 0, lambda = 2."""
    gamma, multipliers = torch.ones(1, dtype=F8), torch.zeros(1, dtype=F8)
    for _ in range(1200):
        before = gamma.clone().requires_grad_()
        s = slack(before, "equality")
        ((before - 1).square().sum() + lagrangian(s, multipliers)).backward()
        multipliers = dual_ascent(multipliers, s.detach(), 0.05, nonnegative=False)
        gamma = gamma - 0.05 * before.grad
    assert gamma.item() == pytest.approx(0, abs=1e-8)
    assert multipliers.item() == pytest.approx(2, abs=1e-8)


def test_the_resilient_dynamics_trade_the_violation_for_its_cost():
    """min (gamma - 1)^2 + rho/2 u^2 subject to |gamma| <= u: gamma = u = 2 / (2 + rho)."""
    rho, lr = 1.0, 0.05
    gamma, u, multipliers = torch.ones(1, dtype=F8), torch.zeros(1, dtype=F8), torch.zeros(1, dtype=F8)
    for _ in range(1200):
        before = gamma.clone().requires_grad_()
        s = slack(before, "resilient", u)
        ((before - 1).square().sum() + lagrangian(s, multipliers)).backward()
        u, multipliers = (
            slack_descent(u, multipliers, lr, rho),
            dual_ascent(multipliers, s.detach(), lr, True),
        )
        gamma = gamma - lr * before.grad
    assert gamma.item() == pytest.approx(2 / 3, abs=1e-6)
    assert u.item() == pytest.approx(2 / 3, abs=1e-6)


def test_one_sided_multipliers_leave_negative_gamma_free():
    assert dual_ascent(torch.zeros(2), torch.tensor([-1.0, 1.0]), 0.1, True).tolist() == pytest.approx(
        [0, 0.1]
    )


@pytest.mark.parametrize("eps", [1e-8, 1e-4])
def test_adam_ascent_is_torchs_adam_with_the_negated_slack(eps):
    ours, moments = randn(3), torch.zeros(2, 3, dtype=F8)
    theirs = ours.clone()
    optimizer = torch.optim.Adam([theirs], lr=8e-4, eps=eps)
    for t in range(1, 30):
        s = randn(3, seed=t)
        theirs.grad = -s
        optimizer.step()
        ours, moments = adam_ascent(ours, s, moments, t, 8e-4, False, eps)
        assert torch.allclose(ours, theirs, rtol=1e-14, atol=1e-16)


def test_the_lagrangian_sums_or_averages_and_gives_multipliers_no_gradient():
    s, multipliers = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0], requires_grad=True)
    assert lagrangian(s, multipliers).item() == 11
    assert lagrangian(s, multipliers, c=0.5).item() == 13.5
    assert lagrangian(s, multipliers, mean=True).item() == 5.5
    assert not lagrangian(s, multipliers).requires_grad


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("constraint", ["equality", "resilient", "one_sided"])
def test_training_moves_gamma_and_multipliers_and_resumes_to_the_bit(constraint, optimizer):
    def fresh():
        torch.manual_seed(0)
        method = ACE(constraint, dual_lr=0.05, dual_optimizer=optimizer, slack_lr=0.01)
        net = relax(network(), method, places())
        return net, torch.optim.Adam(net.parameters(), 1e-2)

    net, adam = fresh()
    losses = train(net, adam, 8)
    assert net.method.multipliers.any()
    assert set(net.alphas()["last"]) == {"W", "b"}
    half, adam = fresh()
    first = train(half, adam, 4)
    resumed, again = fresh()
    resumed.load_state_dict(half.state_dict())
    again.load_state_dict(adam.state_dict())
    assert torch.equal(torch.cat([first, train(resumed, again, 4, start=4)]), losses)
    if constraint != "equality":
        assert (net.method.multipliers >= 0).all()


def test_gamma_is_trained_and_the_multipliers_are_no_parameters():
    names = dict(relax(network(), ACE(), places()).named_parameters())
    assert "method.gamma" in names
    assert not [name for name in names if "multipliers" in name]


def test_g_can_be_a_network_of_its_own():
    net = relax(network(), ACE(g=lambda p: mlp(p.dim_in, [2 * p.dim_in, p.dim_out], p.dim_out)), places())
    assert set(net.alphas()["last"]) == {"g"}
    g = net.backbone.last.terms.g
    assert [tuple(p.shape) for p in g.parameters()][::2] == [(24, 12), (3, 24), (3, 3)]
    x, _ = batch()
    with net.eval().reading("kept"):
        kept = net(x)
    assert not torch.equal(net(x), kept)
    assert torch.isfinite(train(net.train(), torch.optim.Adam(net.parameters(), 1e-2), 3)).all()


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="constraint must be one of equality, resilient, one_sided"):
        ACE("strict")
    with pytest.raises(ValueError, match="needs slack_lr"):
        ACE("resilient")
    with pytest.raises(ValueError, match="'sgd' or 'adam', not 'lbfgs'"):
        ACE(dual_optimizer="lbfgs")
    net = relax(network(), ACE(), places())
    with pytest.raises(ValueError, match="call after_backward\\(\\) before the optimiser's step"):
        net.after_step()
