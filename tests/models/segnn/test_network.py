"""SEGNN: sizes, its symmetries, agreement with e3nn's products, official weights."""

from functools import partial

import pytest
import torch
from torch.autograd import gradcheck

from models.official import CheckpointError
from models.segnn.bench import CASES
from models.segnn.network import SEGNN, CompleteGraph
from models.segnn.official import features, load_checkpoint, load_state, official_features
from models.segnn.products import SIGMOID, SILU, Inner, Irreps, Spread, gated
from models.segnn.settings import SEGNNConfig, SEGNNTaskSettings
from models.segnn.steerable import SteerableSEGNN
from models.segnn.task import build
from tests.models.segnn.networks import SMALL, assert_same, orthogonal, pair, particles, small
from twirl.relaxation import ACE, ES, RECM, Method, Targets, relax
from twirl.relaxation.ace import published_mlp
from twirl.representations import Vectors


@pytest.mark.parametrize(
    ("features_", "channels", "parameters"), [(64, 32, 147_424), (16, 8, 9_592), (8, 4, 2_524)]
)
def test_the_published_networks_have_the_published_sizes(features_, channels, parameters):
    config = SEGNNConfig(hidden_features=features_)
    assert config.channels == channels
    for kind in (SEGNN, SteerableSEGNN):
        assert sum(p.numel() for p in kind(config).parameters()) == parameters


def test_degree_two_has_the_published_size_and_is_equivariant():
    config = SEGNNConfig(lmax=2)
    assert config.channels == 20
    model = SteerableSEGNN(config)
    assert sum(p.numel() for p in model.parameters()) == 162_380
    model, (x, v, q) = small(SteerableSEGNN, lmax=2), particles()
    found = model(x, v, q)
    for R in orthogonal(3):
        assert (model(x @ R.T, v @ R.T, q) - found @ R.T).abs().max() < 1e-10 * found.abs().max()
    with pytest.raises(ValueError, match=r"attributes of degrees up to 2: see models\.segnn\.steerable"):
        SEGNN(config)


@pytest.mark.parametrize("center", ["none", "graph_mean"])
def test_positions_turn_and_reflect_with_the_particles(center):
    model, (x, v, q) = small(center=center), particles()
    found = model(x, v, q)
    for R in orthogonal(6):
        assert (model(x @ R.T, v @ R.T, q) - found @ R.T).abs().max() < 1e-10 * found.abs().max()


def test_positions_move_with_the_particles_if_features_are_centred_in_their_graph():
    x, v, q = particles()
    shift = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    centred, uncentred = small(center="graph_mean"), small()
    assert (centred(x + shift, v, q) - centred(x, v, q) - shift).abs().max() < 1e-10
    assert (uncentred(x + shift, v, q) - uncentred(x, v, q) - shift).abs().max() > 1e-3


def test_the_published_centring_breaks_the_symmetry():
    model, (x, v, q) = small(center="coordinate_mean"), particles()
    (R,) = orthogonal(1)
    error = (model(x @ R.T, v @ R.T, q) - model(x, v, q) @ R.T).abs().max()
    assert error > 1e-4


def test_the_order_of_particles_and_of_graphs_does_not_matter():
    model, (x, v, q) = small(), particles()
    found, order = model(x, v, q), torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(
        model(x[:, order], v[:, order], q[:, order]), found[:, order], rtol=0, atol=1e-12
    )
    torch.testing.assert_close(model(x[[2, 0]], v[[2, 0]], q[[2, 0]]), found[[2, 0]], rtol=0, atol=1e-12)


@pytest.mark.parametrize("center", ["none", "graph_mean", "coordinate_mean"])
@pytest.mark.parametrize("particles_", [2, 5])
def test_the_fast_formulation_is_that_of_e3nn(center, particles_):
    assert_same(*pair(center=center, particles=particles_), particles(n=particles_))


def test_gradients_reach_positions_as_with_e3nn():
    ours, theirs = pair()
    gradients = []
    for model in (ours, theirs):
        x, v, q = (a.requires_grad_() for a in particles())
        gradients.append(torch.autograd.grad(model(x, v, q).square().sum(), [x, v, q]))
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (Inner.apply, [(2, 3, 5), (3, 5)]),
        (Spread.apply, [(2, 3, 5), (2, 5), (3, 5)]),
        (gated, [(4, 5), (2, 3, 5)]),
    ],
)
def test_derivatives_written_out_are_right(function, shapes):
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes]
    assert gradcheck(function, inputs)


def test_activations_have_the_second_moment_of_their_input():
    z = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / (2 * torch.pi) ** 0.5
    for constant, f in ((SILU, torch.nn.functional.silu), (SIGMOID, torch.sigmoid)):
        # e3nn's constants come from a million random numbers.
        assert constant**-2 == pytest.approx(torch.trapezoid(f(z).square() * density, z).item(), rel=4e-3)


@pytest.mark.parametrize("sizes", [{}, {"multiplicities": (6, 3)}], ids=["4x0e+4x1o", "6x0e+3x1o"])
def test_stacked_networks_train_as_separate_ones_do(sizes):
    models, steps = [small(seed=k, **sizes) for k in range(3)], 5
    batches = [[particles(seed=10 * step + k) for k in range(len(models))] for step in range(steps)]
    start = [{name: p.detach().clone() for name, p in model.named_parameters()} for model in models]
    stacked, buffers = torch.func.stack_module_state(models)
    shell = small(**sizes).to("meta")

    def loss(parameters, buffers, x, v, q):
        return (torch.func.functional_call(shell, (parameters, buffers), (x, v, q)) - 2 * x).square().mean()

    optimizer = torch.optim.Adam(stacked.values(), lr=1e-2)
    for batch in batches:
        optimizer.zero_grad()
        inputs = [torch.stack(parts) for parts in zip(*batch, strict=True)]
        torch.func.vmap(loss)(stacked, buffers, *inputs).sum().backward()
        optimizer.step()
    for k, model in enumerate(models):
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for batch in batches:
            optimizer.zero_grad()
            (model(*batch[k]) - 2 * batch[k][0]).square().mean().backward()
            optimizer.step()
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(stacked[name][k], parameter, rtol=0, atol=1e-10)
            assert not torch.allclose(parameter, start[k][name], rtol=0, atol=1e-3)


def test_edges_are_all_pairs_by_destination():
    graph = CompleteGraph(4)
    pairs = list(zip(graph.target.tolist(), graph.source.tolist(), strict=True))
    assert pairs == [(i, j) for i in range(4) for j in range(4) if i != j]
    nodes = torch.arange(8.0).view(1, 8)
    gathered = graph.gather(100 * nodes, nodes).view(2, 12)
    assert gathered[1].tolist() == [100 * (4 + i) + 4 + j for i, j in pairs]
    assert graph.total(torch.ones(3, 24)).tolist() == [[3.0] * 8] * 3


def test_particles_at_one_point_have_no_direction_and_finite_derivatives():
    model, (x, v, q) = small(), particles()
    x[:, 1] = x[:, 0]
    found = model(x, v, q)
    found.sum().backward()
    assert found.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_other_numbers_of_particles_are_refused():
    with pytest.raises(ValueError, match=r"positions must be \(graphs, 5, 3\), not \(3, 4, 3\)"):
        small()(*particles(n=4))


# ---- relaxation


@pytest.mark.parametrize("kind", [SEGNN, SteerableSEGNN])
def test_places_are_the_updates_and_stay_plain_without_a_method(kind):
    model, inputs = small(kind), particles()
    names = [place.name for place in model.places()]
    assert names == [f"layers.{i}.update_layer_{k}" for i in range(2) for k in (1, 2)]
    net = relax(model, Method(), model.places())
    assert torch.equal(net(*inputs), model(*inputs))


@pytest.mark.parametrize(("method", "parameters"), [("es", 344_032), ("ace", 937_960)])
def test_the_added_maps_have_the_published_size(method, parameters):
    model = SEGNN(SEGNNConfig())
    method = ES(epochs=10, bias=False) if method == "es" else ACE(g=published_mlp)
    net = relax(model, method, model.places())
    assert sum(p.numel() for p in net.parameters()) == parameters


@pytest.mark.parametrize("kind", [SEGNN, SteerableSEGNN])
def test_relaxed_terms_break_the_symmetry_and_projecting_restores_it(kind):
    model, (x, v, q) = small(kind), particles()
    y = x.clone()
    net = relax(model, RECM(a=0.1, targets=Targets(Vectors(), 3)), model.places()).double()
    optimizer = torch.optim.Adam(net.parameter_groups(lr=1e-3))
    for _ in range(3):
        net.observe(y)
        loss = (net(x, v, q) - y).square().mean() + net.extra_loss()
        optimizer.zero_grad()
        loss.backward()
        net.after_backward()
        optimizer.step()
        net.after_step()
    (R,) = orthogonal(1)
    errors = {}
    for readout in ("kept", "projected"):
        with net.reading(readout):
            errors[readout] = (net(x @ R.T, v @ R.T, q) - net(x, v, q) @ R.T).abs().max()
    assert errors["kept"] > 1e-3
    assert errors["projected"] < 1e-10


@pytest.mark.parametrize(("variant", "same"), [("correct", True), ("upstream", False)])
def test_only_the_published_lie_derivative_depends_on_the_order_of_features(variant, same):
    penalties, generator = [], torch.Generator().manual_seed(0)
    maps = [torch.randn(16, n, generator=generator, dtype=torch.float64) for n in (32, 16, 32, 16)]
    for model in pair():
        method = ES(epochs=4, bias=False, lie_derivative=variant)
        net = relax(model, method, model.places()).double()
        for terms, W in zip(method.all_terms, maps, strict=True):
            if isinstance(model, SEGNN):
                rows, columns = (features(torch.arange(n), Irreps(4, 4)).flatten() for n in W.shape)
                W = W[rows][:, columns]
            terms.W.data = W
        net.set_epoch(0)
        net(*particles())
        penalties.append(net.extra_loss().item())
    assert (penalties[0] == pytest.approx(penalties[1], rel=1e-5)) == same


@pytest.mark.parametrize(
    ("change", "kind"), [({}, SEGNN), ({"products": "e3nn"}, SteerableSEGNN), ({"lmax": 2}, SteerableSEGNN)]
)
def test_the_configuration_says_who_computes_the_products(change, kind):
    config = SEGNNConfig(**SMALL | change)
    assert type(build(config)) is kind
    if kind is SteerableSEGNN:
        with pytest.raises(ValueError, match="compile is for the fast products"):
            SEGNNTaskSettings(network=config, compile=True)


# ---- official weights


def test_features_go_to_the_official_order_and_back():
    flat = torch.randn(7, 24)
    ours = features(flat, Irreps(3, 3))  # two blocks "3x0e + 3x1o"
    assert torch.equal(ours[:, 4, 0], flat[:, 13])  # scalar 1 of the second block
    assert torch.equal(ours[:, 4, 1:], flat[:, 18:21])  # and its vector
    assert torch.equal(official_features(ours.permute(1, 2, 0), Irreps(3, 3)), flat)


def official_state():
    state = small(SteerableSEGNN).state_dict()
    return {"module." + key: value for key, value in state.items()}


def test_official_files_load(tmp_path):
    inputs, model = particles(), small(seed=1)
    expected = small(SteerableSEGNN)(*inputs)
    for content in (official_state(), {"model": official_state(), "optimizer": {}}):
        torch.save(content, tmp_path / "a.pt")
        assert load_checkpoint(model, tmp_path / "a.pt") == {}
        torch.testing.assert_close(model(*inputs), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pre_pool1.tp.weight": None}, "is missing 'pre_pool1.tp.weight'"),
        ({"pre_pool1.biases": None}, "is missing 'pre_pool1.biases'"),
        (
            {"pre_pool1.tp.weight": torch.zeros(5)},
            "has, of shape (5,), 'pre_pool1.tp.weight', which is needed of shape (96,)",
        ),
        ({"pre_pool3.biases": torch.zeros(5)}, "has the unexpected 'pre_pool3.biases'"),
    ],
)
def test_other_weights_are_refused(change, sentence):
    state = official_state()
    state.update({f"module.{key}": value for key, value in change.items()})
    state = {key: value for key, value in state.items() if value is not None}
    with pytest.raises(CheckpointError) as caught:
        load_state(small(), state)
    assert sentence in str(caught.value)


def test_files_with_anything_but_tensors_are_refused(tmp_path):
    torch.save({"model": print}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint of plain tensors"):
        load_checkpoint(small(), tmp_path / "a.pt")
    torch.save(torch.zeros(3), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="no state dict in the file"):
        load_checkpoint(small(), tmp_path / "a.pt")


def test_compiled_messages_are_the_same_in_training_and_leave_evaluation_alone(monkeypatch):
    # Without a C++ compiler, which not every machine has: what is traced, and its derivatives, are the same.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    plain, inputs = small(), particles()
    compiled = small()
    for layer in compiled.layers:
        layer.compile_messages()
    compiled.eval()
    torch.testing.assert_close(compiled(*inputs), plain(*inputs), rtol=0, atol=0)
    compiled.train()
    gradients = []
    for network in (plain, compiled):
        network(*inputs).square().sum().backward()
        gradients.append([p.grad for p in network.parameters()])
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_the_benchmark_times_recm_beside_the_plain_network():
    case = CASES["mini, RECM"]()
    assert list(case.beside) == ["the plain network"]
    for step in (case.step, *case.beside.values()):
        step()
