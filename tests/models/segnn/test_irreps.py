"""SEGNN with other numbers of scalars than of vectors, other degrees, and such layers relaxed."""

import pytest
import torch

from models.official import CheckpointError
from models.segnn.network import SEGNN, SEGNNConfig
from models.segnn.official import features, load_state, official_features
from models.segnn.products import Irreps, gated
from models.segnn.steerable import SteerableSEGNN
from models.segnn.task import build
from tests.models.segnn.networks import assert_same, orthogonal, pair, particles, small
from twirl.groups import SO3
from twirl.relaxation import ACE, ES, RECM, RPP, Targets, prune, relax
from twirl.relaxation.ace import published_mlp
from twirl.representations import Vectors

UNEVEN = [(6, 3), (2, 5), (1, 4)]
DEGREES = {
    "5x0e + 3x1o + 2x2e": {"lmax": 2, "multiplicities": (5, 3, 2)},
    "3x0e + 2x2e": {"lmax": 2, "multiplicities": (3, 0, 2)},
    "4x0e + 2x1o, attributes to degree 2": {"multiplicities": (4, 2), "lmax_attributes": 2},
    "scalars alone": {"lmax": 0, "lmax_attributes": 1, "multiplicities": (7,)},
    "vectors alone": {"multiplicities": (0, 4)},
}
METHODS = {
    "es": lambda: ES(epochs=4, init=0.1, bias=False),
    "rpp": lambda: RPP(init_scale=0.3, bias=False),
    "ace": lambda: ACE(g=published_mlp),
    "recm": lambda: RECM(a=0.1, targets=Targets(Vectors(), 3)),
}


def equivariance_error(model, R) -> float:
    """Relative to the largest position."""
    x, v, q = particles()
    found = model(x, v, q)
    return ((model(x @ R.T, v @ R.T, q) - found @ R.T).abs().max() / found.abs().max()).item()


@pytest.mark.parametrize("center", ["none", "graph_mean"])
@pytest.mark.parametrize("multiplicities", UNEVEN)
@pytest.mark.parametrize("kind", [SEGNN, SteerableSEGNN])
def test_positions_turn_and_reflect_with_the_particles(kind, multiplicities, center):
    model = small(kind, multiplicities=multiplicities, center=center)
    assert max(equivariance_error(model, R) for R in orthogonal(4)) < 1e-10


@pytest.mark.parametrize("sizes", DEGREES.values(), ids=DEGREES)
def test_networks_of_other_degrees_are_e3nns_and_equivariant(sizes):
    model = small(build, layers=1, **sizes)
    assert isinstance(model, SteerableSEGNN)
    assert max(equivariance_error(model, R) for R in orthogonal(4)) < 1e-10
    assert equivariance_error(model.float().double(), orthogonal(1)[0]) < 1e-10  # constants survive a cast


@pytest.mark.parametrize("multiplicities", UNEVEN)
def test_the_fast_formulation_is_that_of_e3nn(multiplicities):
    assert_same(*pair(multiplicities=multiplicities), particles())


def test_derivatives_of_an_uneven_gate_are_right():
    generator = torch.Generator().manual_seed(0)
    a, V = (
        torch.randn(s, generator=generator, dtype=torch.float64, requires_grad=True)
        for s in [(7, 4), (2, 3, 4)]
    )
    assert torch.autograd.gradcheck(gated, [a, V])


def test_numbers_given_are_the_balanced_ones_of_as_many_features():
    given, balanced = small(multiplicities=(4, 4)), small()
    assert torch.equal(given(*particles()), balanced(*particles()))
    sizes = SEGNNConfig(layers=1, multiplicities=(6, 3))
    for kind in (SEGNN, SteerableSEGNN):
        assert sum(p.numel() for p in kind(sizes).parameters()) == 837  # as the official code counts


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ({"multiplicities": (6, 3, 2)}, r"each degree 0 to 1 \(lmax\), which \[6, 3, 2\] does not"),
        ({"multiplicities": (0, 0)}, r"which \[0, 0\] does not"),
        ({"multiplicities": (6, -1)}, "greater than or equal to 0"),
        ({"lmax_attributes": 0}, "attributes up to degree 0 do not lead to features of degree 1"),
        ({"lmax": 2, "lmax_attributes": 1}, "attributes up to degree 1 do not lead to features of degree 2"),
    ],
)
def test_impossible_features_are_refused(sizes, sentence):
    with pytest.raises(ValueError, match=sentence):
        small(build, **sizes)


@pytest.mark.parametrize("irreps", [Irreps(3, 3), Irreps(5, 2)])
def test_features_go_to_the_official_order_and_back(irreps):
    s, V = torch.randn(irreps.scalars, 7), torch.randn(irreps.vectors, 3, 7)
    h = irreps.together(s, V)
    assert h.shape == (*irreps.shape, 7)
    for found, part in zip(irreps.separate(h), (s, V), strict=True):
        assert torch.equal(found, part)
    flat = torch.cat([s, V.flatten(0, 1)]).mT  # scalars, then vectors, xyz last
    twice = torch.cat([flat, -flat], dim=1)
    ours = features(twice, irreps).movedim(0, -1).unsqueeze(-1)
    assert torch.equal(ours[..., 0], torch.cat([h, -h]))
    assert torch.equal(official_features(ours, irreps), twice)


# ---- relaxation


def relaxed(kind, method):
    """After three steps with alphas that are not 0."""
    model = small(kind, multiplicities=(6, 3))
    net = relax(model, method, model.places()).double()
    x, v, q = particles()
    optimizer = torch.optim.Adam(net.parameter_groups(lr=1e-3))
    net.set_epoch(1)
    for _ in range(3):
        net.observe(x)
        loss = (net(x, v, q) - x).square().mean() + net.extra_loss()
        optimizer.zero_grad()
        loss.backward()
        net.after_backward()
        optimizer.step()
        net.after_step()
    return net


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("kind", [SEGNN, SteerableSEGNN])
def test_projecting_a_relaxed_network_restores_the_symmetry(kind, method):
    net = relaxed(kind, method())
    (R,) = orthogonal(1)
    with net.reading("kept"):
        assert equivariance_error(net, R) > 1e-4
    with net.reading("projected"):
        assert equivariance_error(net, R) < 1e-10


@pytest.mark.parametrize("kind", [SEGNN, SteerableSEGNN])
def test_a_projected_network_is_the_plain_one_to_the_bit(kind):
    net = relaxed(kind, METHODS["es"]()).eval()
    assert torch.equal(net(*particles()), prune(net)(*particles()))
    plain = small(kind, multiplicities=(6, 3))
    assert prune(net).state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize("kind", [SEGNN, SteerableSEGNN])
def test_declared_places_turn_as_their_layers_do(kind):
    """rho_out(g) f(z) = f(rho_in(g) z) for attributes turned along."""
    model, (x, v, q) = small(kind, multiplicities=(6, 3)), particles()
    R = SO3().sample(1, torch.Generator().manual_seed(3), dtype=torch.float64)
    for place in model.places():
        seen = []
        handle = model.get_submodule(place.name).register_forward_hook(
            lambda _, given, out, seen=seen: seen.append((given[0], out))
        )
        model(x, v, q)
        model(x @ R[0].T, v @ R[0].T, q)
        handle.remove()
        (z, out), (z_turned, out_turned) = seen
        for flatten, rho, a, b in (
            (place.flatten, place.rho_in(R), z, z_turned),
            (place.flatten_out, place.rho_out(R), out, out_turned),
        ):
            turned = flatten(a).flatten(0, -2) @ rho.dense()[0].mT
            torch.testing.assert_close(flatten(b).flatten(0, -2), turned, rtol=0, atol=1e-10)


@pytest.mark.parametrize("variant", ["correct", "upstream"])
def test_relaxed_fast_and_e3nn_networks_agree(variant):
    """Uneven features have the official order in both, on which the published Lie derivative depends."""
    found, generator = [], torch.Generator().manual_seed(0)
    shapes = [(15, 30), (15, 15)] * 2
    maps = [torch.randn(shape, generator=generator, dtype=torch.float64) / 10 for shape in shapes]
    for model in pair(multiplicities=(6, 3)):
        method = ES(epochs=4, bias=False, lie_derivative=variant)
        net = relax(model, method, model.places()).double()
        for terms, W in zip(method.all_terms, maps, strict=True):
            terms.W.data.copy_(W)
        net.set_epoch(1)
        found.append((net(*particles()), net.extra_loss()))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


# ---- official weights


def test_terms_of_a_relaxed_checkpoint_keep_the_order_of_uneven_features():
    state = small(SteerableSEGNN, multiplicities=(6, 3)).state_dict()
    W = torch.randn(15, 30, dtype=torch.float64)
    relaxed_state = state | {"layers.1.linear_pass1.lin.weight": W}
    terms = load_state(small(multiplicities=(6, 3)), relaxed_state)
    assert torch.equal(terms["layers.1.update_layer_1"]["weight"], W)
    with pytest.raises(CheckpointError, match="maps 29 features to 15, where the network has 30 and 15"):
        load_state(small(multiplicities=(6, 3)), state | {"layers.1.linear_pass1.lin.weight": W[:, 1:]})
    with pytest.raises(CheckpointError, match="an added term where no product is"):
        load_state(small(multiplicities=(6, 3)), state | {"layers.2.linear_pass1.lin.weight": W})


def test_weights_of_other_numbers_of_features_are_refused():
    with pytest.raises(CheckpointError, match="build the network with the checkpoint's own configuration"):
        load_state(small(multiplicities=(3, 6)), small(SteerableSEGNN, multiplicities=(6, 3)).state_dict())


def test_e3nns_constants_in_a_checkpoint_are_no_weights():
    sizes = {"layers": 1, "lmax": 2, "multiplicities": (2, 1, 1)}
    theirs = small(SteerableSEGNN, **sizes)
    state = {key: value for key, value in theirs.state_dict().items() if "_w3j_" not in key}
    assert len(state) < len(theirs.state_dict())
    load_state(small(SteerableSEGNN, seed=1, **sizes), state)
    load_state(small(SteerableSEGNN, seed=1, **sizes), theirs.state_dict())
