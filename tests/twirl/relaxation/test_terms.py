"""Unconstrained terms: their bounds, noise, and their settled copies."""

import pytest
import torch
from torch import nn

from tests.twirl.relaxation.toy import F8, generator, randn
from twirl.relaxation.places import Place
from twirl.relaxation.terms import BOUNDS, Terms
from twirl.representations import Scalars

PLACE = Place("p", Scalars(), Scalars(), 12, 9)
LIKE = torch.zeros((), dtype=F8)


def terms(names=("W", "b"), scale=5.0, **options):
    torch.manual_seed(0)
    made = Terms(PLACE, names, like=LIKE, **options)
    with torch.no_grad():
        if made.W is not None:
            made.W.mul_(scale)
        if made.b is not None:
            made.b.copy_(randn(9, seed=1) * scale)
    for _ in range(100):
        made.after_step()
    return made


@pytest.mark.parametrize("B", [1.0, 0.3])
@pytest.mark.parametrize("bound", [b for b in BOUNDS if b != "none"])
def test_bounded_terms_never_stretch_more_than_their_bound(bound, B):
    f = terms(bound=bound, B=B)
    z = randn(500, 12, seed=2)
    z = torch.cat([z, torch.linalg.svd(f.W.detach()).Vh])  # the direction that is stretched most
    stretched = (f(z) - f(torch.zeros_like(z))).norm(dim=-1) / z.norm(dim=-1)
    assert stretched.max() <= B * (1 + 1e-4)
    assert stretched.max() > 0.3 * B


def test_without_a_bound_terms_stretch_freely():
    f = terms(bound="none")
    assert torch.equal(f.weight(), f.W)
    assert torch.linalg.matrix_norm(f.weight(), 2) > 3


def test_caps_leave_small_terms_as_they_are_and_bound_the_constant():
    small = terms(scale=0.01)
    assert torch.equal(small.weight(), small.W)
    assert torch.equal(small.bias(), small.b)
    assert terms().bias().detach().norm() == pytest.approx(1)


def test_power_iteration_follows_a_weight_that_started_at_zero():
    f = terms(init="zero")
    with torch.no_grad():
        f.W.copy_(3 * randn(9, 12))
    for _ in range(200):
        f.after_step()
    assert torch.linalg.matrix_norm(f.weight().detach(), 2) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("bound", ["spectral_unit", "frobenius_unit"])
def test_normalisations_refuse_zero_weights(bound):
    with pytest.raises(ValueError, match="cannot start from zero"):
        terms(init="zero", bound=bound)
    with pytest.raises(ValueError, match=r"one of spectral_cap, .* not 'weak'"):
        terms(bound="weak")


def test_noise_is_seeded_has_its_sigma_and_is_capped_at_one():
    f = terms(("W", "noise"))
    y = torch.zeros(400, 9, dtype=F8)
    assert torch.equal(f.with_noise(y, 1.0, generator(3)), f.with_noise(y, 1.0, generator(3)))
    assert f.with_noise(y, 1.0, generator(3)).detach().std() == pytest.approx(1, abs=0.05)
    with torch.no_grad():
        f.log_sigma.fill_(2.0)
    f.after_step()
    assert f.log_sigma == 0


def test_initial_values_are_as_asked():
    torch.manual_seed(0)
    make = lambda **options: Terms(PLACE, ("W", "b"), like=LIKE, **options).W.detach()  # noqa: E731
    assert make().abs().max() < 12**-0.5
    assert make(init_scale=1e-3).abs().max() < 1e-3 * 12**-0.5
    assert make(init=1e-4).std() == pytest.approx(1e-4, rel=0.3)
    assert not make(init="zero").any()


def test_a_place_without_bias_gets_none():
    place = Place("p", Scalars(), Scalars(), 12, 9, bias=False)
    assert Terms(place, ("W", "b", "noise")).names == ("W", "noise")


@pytest.mark.parametrize("bound", BOUNDS)
def test_settled_terms_give_the_same_numbers_to_the_bit(bound):
    f = terms(("W", "b", "noise"), bound=bound)
    alpha = {"W": torch.tensor(0.37, dtype=F8), "b": torch.tensor(-0.2, dtype=F8)}
    z = randn(5, 12)
    assert torch.equal(f.settled(("W", "b"))(z, alpha), f(z, alpha))
    assert [name for name, _ in f.settled(("b",)).named_parameters()] == ["b"]


def test_a_general_map_can_take_the_place_of_the_linear_one():
    g = nn.Sequential(nn.Linear(12, 5), nn.GELU(), nn.Linear(5, 9))
    f = Terms(PLACE, ("g",), g=g, like=LIKE)
    z = randn(5, 12)
    assert torch.equal(f(z, {"g": 2.0}), 2.0 * g(z))
    assert f.size("g") == 12 * 5 + 5 + 5 * 9 + 9


LAYOUTS = [
    ((5, 12), ((4, 3), (3, 3)), None, "natural"),
    ((3, 5, 2, 4), ((4, 3), (3, 3)), (-1, 0), "planes"),
    ((5, 4, 3, 2), ((4, 3), (3, 3)), (1, 2), "between rows"),
    ((5, 12), (12, 9), None, "flat"),
]


@pytest.mark.parametrize("bound", ["spectral_cap", "spectral_unit", "frobenius_unit", "none"])
@pytest.mark.parametrize(("shape", "features", "axes", "what"), LAYOUTS, ids=lambda x: str(x))
def test_the_merged_product_is_that_of_its_formula_with_its_gradients_and_theirs(
    bound, shape, features, axes, what
):
    place = Place("p", Scalars(), Scalars(), *features, axes=axes)
    f = Terms(place, ("W", "b", "noise"), bound=bound, like=LIKE)
    with torch.no_grad():
        f.W.mul_(3), f.b.copy_(randn(9, seed=3)), f.log_sigma.fill_(-0.4)
    for _ in range(30):
        f.after_step()
    channels = what in ("planes", "between rows")
    E = randn(3, 4, seed=4).requires_grad_() if channels else randn(9, 12, seed=4).requires_grad_()
    scalars = [torch.tensor(x, dtype=F8, requires_grad=True) for x in (0.7, -0.3, 0.2, 1.1)]
    shape = (5, 4, 3) if what == "natural" else shape
    parts = (randn(*shape, seed=5).requires_grad_(),)
    if what == "planes":
        parts = parts[0][..., :3].detach().requires_grad_(), randn(3, 5, 1, 1, seed=6).requires_grad_()
    z = parts if len(parts) > 1 else parts[0]
    alpha = dict(zip(("W", "b", "noise"), scalars, strict=False))

    def merged():
        return f.merged(z, E, scalars[3], alpha, generator(1))

    def by_formula():
        M, b = f.linear(alpha)
        full = torch.kron(E, torch.eye(3, dtype=F8)) if channels else E
        y = place.linear(place.joined(z), M + scalars[3] * full, b)
        return f.with_noise(y, alpha["noise"], generator(1))

    inputs = [E, f.W, f.b, f.log_sigma, *scalars, *parts]
    assert torch.allclose(merged(), by_formula(), atol=1e-12)
    weights = randn(*merged().shape, seed=7)

    def gradients(y, twice):
        return torch.autograd.grad((weights * y.sin()).sum(), inputs, create_graph=twice)

    for twice in (False, True):
        first, second = gradients(merged(), twice), gradients(by_formula(), twice)
        for a, b in zip(first, second, strict=True):
            assert torch.allclose(a, b, atol=1e-10)
    curvature = [
        torch.autograd.grad(sum(g.square().sum() for g in found), inputs) for found in (first, second)
    ]
    for a, b in zip(*curvature, strict=True):
        assert torch.allclose(a, b, rtol=1e-8, atol=1e-8)
