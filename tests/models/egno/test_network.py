"""EGNO: sizes, exact symmetries, and that every short cut gives what the formulas give."""

import pytest
import torch

from data.mocap.skeleton import edges as skeleton_edges
from models.egno import textbook
from models.egno.bench import CASES
from models.egno.layers import Displacement, Frequencies, NodeMap, TimeConv
from models.egno.messages import FrameByFrame, Graph, messages
from models.egno.network import EGNO, time_embedding
from models.egno.official import load_checkpoint, load_state, official_state
from models.egno.settings import EGNOConfig
from models.official import CheckpointError
from twirl.groups import SO3
from twirl.relaxation import RECM, Method, Targets, relax
from twirl.representations import Vectors

SMALL = {"layers": 3, "hidden": 12, "time_features": 7, "frames": 5, "modes": 2}
SKELETON = torch.from_numpy(skeleton_edges()[0])


def small(seed=0, **change):
    torch.manual_seed(seed)
    return EGNO(EGNOConfig(**SMALL | change)).double()


def inputs(B=3, N=31, edges=SKELETON, node_features=2, seed=1):
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x, v = random(B, N, 3), random(B, N, 3) / 3
    return [x, v, random(B, N, node_features), edges, random(B, edges.shape[1], 2)]


def complete(N=5):
    pairs = torch.cartesian_prod(torch.arange(N), torch.arange(N)).mT
    return pairs[:, pairs[0] != pairs[1]]


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (EGNOConfig(), 1_192_684),
        (EGNOConfig(layers=4, hidden=64, node_features=1), 201_672),
        (EGNOConfig(layers=3, hidden=32), 39_094),
    ],
)
def test_the_published_networks_have_the_published_sizes(config, parameters):
    assert sum(p.numel() for p in EGNO(config).parameters()) == parameters


@pytest.mark.parametrize("change", [{}, {"flat": True}, {"norm": True}, {"time_conv": False}, {"frames": 4}])
def test_positions_turn_mirror_and_move_with_the_input(change):
    network, (x, v, *rest) = small(**change), inputs()
    y = network(x, v, *rest)
    assert y.shape == (3, network.config.frames, 31, 3)
    turns = SO3().sample(3, torch.Generator().manual_seed(0), dtype=torch.float64)
    for R in [*turns, -turns[0]]:
        error = (network(x @ R.T, v @ R.T, *rest) - y @ R.T).abs().max()
        assert error < 1e-10 * y.abs().max()
    shift = torch.tensor([3.0, -2.0, 7.0], dtype=torch.float64)
    torch.testing.assert_close(network(x + shift, v, *rest), y + shift, rtol=0, atol=1e-10)


def test_permuting_nodes_edges_and_graphs_changes_nothing():
    network, (x, v, h, edges, edge_attr) = small(), inputs(N=5, edges=complete())
    y = network(x, v, h, edges, edge_attr)
    order = torch.tensor([2, 0, 4, 1, 3])
    renumbered = order.argsort()[edges]
    moved = network(x[:, order], v[:, order], h[:, order], renumbered, edge_attr)
    torch.testing.assert_close(moved, y[:, :, order], rtol=0, atol=1e-11)
    shuffled = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    again = network(x, v, h, edges[:, shuffled], edge_attr[:, shuffled])
    torch.testing.assert_close(again, y, rtol=0, atol=1e-11)
    alone = network(x[1:2], v[1:2], h[1:2], edges, edge_attr[1:2])
    torch.testing.assert_close(alone, y[1:2], rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"frames": 8, "modes": 3},
        {"frames": 4, "modes": 3},
        {"frames": 1},
        {"flat": True},
        {"norm": True},
        {"velocity": False},
        {"time_conv": False},
        {"node_features": 1, "hidden": 6},
    ],
)
def test_the_network_computes_the_formulas(change):
    network = small(**change)
    points = inputs(node_features=network.config.node_features)
    results = []
    for positions in (network, lambda *i: textbook.positions(network, *i)):
        x = points[0].clone().requires_grad_()
        y = positions(x, *points[1:])
        gradients = torch.autograd.grad(y.sin().sum(), [x, *network.parameters()], allow_unused=True)
        zeros = [torch.zeros_like(p) for p in [x, *network.parameters()]]
        results.append([y, *(z if g is None else g for g, z in zip(gradients, zeros, strict=True))])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)


def test_frames_together_and_one_by_one_are_the_same(monkeypatch):
    network, points = small(), inputs()
    together = network(*points)
    monkeypatch.setattr("models.egno.network.CACHED", 0)
    torch.testing.assert_close(network(*points), together, rtol=0, atol=1e-11)


def test_time_convolution_is_a_filter_of_the_first_frequencies():
    torch.manual_seed(0)
    for T, modes in ((5, 2), (8, 5), (6, 4), (1, 2), (2, 2)):
        layer = TimeConv(3, T, modes, 1.0).double()
        z = torch.randn(T, 4, 3, dtype=torch.float64)
        expected = textbook._fourier(z, layer.weights, None)
        torch.testing.assert_close(layer(z), expected, rtol=0, atol=1e-13)
        frequencies = Frequencies(T, T)
        identity = frequencies.synthesis @ frequencies.analysis
        torch.testing.assert_close(identity, torch.eye(T).double(), rtol=0, atol=1e-13)


def test_double_precision_is_double_also_after_single():
    layer = TimeConv(2, 5, 2, 1.0).float().double()
    torch.testing.assert_close(layer.analysis, Frequencies(5, 2).analysis, rtol=0, atol=0)


@pytest.mark.parametrize("receive", [True, False])
def test_messages_frame_by_frame_are_the_messages(receive):
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    graph = Graph(complete(4), 4, torch.zeros((), dtype=torch.float64))
    T, B, E, H = 3, 2, 12, 5
    tensors = [random(T, B, 8, H), random(T, B, E, 4), random(H, 4)]
    tensors += [random(H, H), random(H), random(H, H), random(H), random(H)]
    plain = messages(*tensors, graph, receive, torch.nn.functional.silu)
    framed = FrameByFrame.apply(*tensors, graph.bags(B), receive)
    for ours, theirs in zip(framed, plain, strict=True):
        assert (ours is None) == (theirs is None) == (ours is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    outputs = [[out for out in found if out is not None] for found in (framed, plain)]
    gradients = [torch.autograd.grad(sum(o.sin().sum() for o in out), tensors) for out in outputs]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)
    assert torch.autograd.gradcheck(lambda *t: FrameByFrame.apply(*t, graph.bags(B), receive)[1], tensors)


def test_the_last_layer_skips_what_positions_do_not_depend_on():
    network, points = small(), inputs()
    y, _, h = network.trajectory(*points)
    y_all, _, h_all = network.trajectory(*points, features=True)
    assert h is None
    assert h_all.shape == (5, 3, 31, 12)
    assert torch.equal(y, y_all)
    network(*points).sum().backward()
    silent = {name for name, p in network.named_parameters() if p.grad is None}
    assert silent == {f"layers.2.{m}.{k}" for m in ("update", "readout") for k in ("weight", "bias")}


def test_frames_are_numbered_by_sines_and_cosines():
    e = time_embedding(3, 5)
    assert e.shape == (3, 5)
    assert e[:, 4].tolist() == [0, 0, 0]
    expected = [torch.sin(torch.tensor(2.0)), torch.sin(torch.tensor(2e-4))]
    torch.testing.assert_close(e[2, :2], torch.stack(expected))
    torch.testing.assert_close(e[0], torch.tensor([0.0, 0.0, 1.0, 1.0, 0.0]))


def test_spectral_weights_start_small_and_positive():
    network = EGNO(EGNOConfig())
    assert all(c.weights.min() >= 0 and c.weights.max() <= 128**-2 for c in network.time_convs)
    assert all(0.05 < c.weights.max() <= 0.1 for c in network.time_convs_x)
    bound = 259**-0.5
    assert 0.9 * bound < network.layers[0].message.weight.abs().max() <= bound
    assert network.layers[0].edge.weight.abs().max() <= bound


# ---- relaxation


def test_places_are_what_reads_or_moves_nodes():
    network = EGNO(EGNOConfig())
    places = network.places()
    names = {place.name for place in places}
    assert len(places) == 29
    assert {"embedding", "layers.0.message", "layers.5.drift", "layers.5.displacement"} <= names
    assert not {"layers.5.update", "layers.5.readout"} & names
    biased = {place.name for place in places if place.bias}
    assert biased == {f"layers.{k}.displacement" for k in range(6)}
    for place in places:
        layer = network.get_submodule(place.name)
        assert isinstance(layer, NodeMap | Displacement)
        if isinstance(layer, NodeMap):
            z = torch.randn(4, place.dim_in)
            bias = 0 if layer.bias is None else layer.bias
            torch.testing.assert_close(z @ layer.matrix().T + bias, layer(z), rtol=1e-4, atol=1e-5)


def test_a_network_relaxed_by_nothing_changes_no_bit():
    network, points = small().eval(), inputs()
    relaxed = relax(network, Method(), network.places())
    assert torch.equal(relaxed(*points), network(*points))
    assert torch.equal(relaxed.eval()(*points), network(*points))


def test_relaxed_terms_break_rotations_but_no_translation_and_projecting_restores_all():
    network, (x, v, *rest) = small(), inputs()
    relaxed = relax(network, RECM(a=0.1, targets=Targets(Vectors(), 3)), network.places()).train()
    target = torch.randn(5, 3, 31, 3, dtype=torch.float64)
    relaxed.observe(target)
    (relaxed(x, v, *rest) - target.transpose(0, 1)).square().mean().backward()
    used = [t for t in relaxed.method.all_terms if t.W is not None]
    assert all(terms.W.grad.abs().max() > 0 for terms in used)
    relaxed.after_step()
    R = SO3().sample(1, torch.Generator().manual_seed(0), dtype=torch.float64)[0]
    shift = torch.tensor([3.0, -2.0, 7.0], dtype=torch.float64)
    with torch.no_grad():
        for readout, equivariant in (("kept", False), ("projected", True)):
            with relaxed.reading(readout):
                y = relaxed(x, v, *rest)
                turned = (relaxed(x @ R.T, v @ R.T, *rest) - y @ R.T).abs().max() / y.abs().max()
                moved = (relaxed(x + shift, v, *rest) - y - shift).abs().max()
            assert (turned < 1e-10) == equivariant
            assert moved < 1e-10


# ---- official weights


def test_official_weights_load_strictly(tmp_path):
    source, target, points = small(seed=0), small(seed=1), inputs()
    state = official_state(source)
    assert {
        "embedding.weight",
        "layers.2.edge_message_net.scalar_net.mlp.0.weight",
        "layers.0.node_v_net.mlp.2.bias",
        "time_conv_modules.1.t_conv.weights1",
        "time_conv_x_modules.0.t_conv.weights1",
    } <= state.keys()
    assert state["layers.0.edge_message_net.scalar_net.mlp.0.weight"].shape == (12, 1 + 24 + 2)
    load_state(target, {f"module.{key}": value for key, value in state.items()})
    assert torch.equal(target(*points), source(*points))
    missing = {k: v for k, v in state.items() if k != "layers.1.coord_net.mlp.2.bias"}
    with pytest.raises(CheckpointError, match=r"missing 'layers\.1\.coord_net\.mlp\.2\.bias'"):
        load_state(target, missing)
    with pytest.raises(CheckpointError, match=r"unexpected 'gammas_h\.0'"):
        load_state(target, state | {"gammas_h.0": torch.zeros(())})
    with pytest.raises(CheckpointError, match=r"'embedding.bias' of shape \(7,\) where \(12,\)"):
        load_state(target, state | {"embedding.bias": torch.zeros(7)})
    torch.save(state, tmp_path / "saved.pth")
    load_checkpoint(target, tmp_path / "saved.pth")
    torch.save({"state": state}, tmp_path / "wrapped.pth")
    with pytest.raises(CheckpointError, match="not a state dict"):
        load_checkpoint(target, tmp_path / "wrapped.pth")
    (tmp_path / "text.pth").write_text("no checkpoint")
    with pytest.raises(CheckpointError, match="not a checkpoint of plain tensors"):
        load_checkpoint(target, tmp_path / "text.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: torch.zeros(3, 31)}, r"x and v must be \(graphs, nodes, 3\) alike"),
        ({1: torch.zeros(3, 30, 3)}, r"x and v must be"),
        ({2: torch.zeros(3, 31, 1)}, r"h must be \(3, 31, 2\), not \(3, 31, 1\)"),
        ({4: torch.zeros(3, 129, 2)}, r"edge_attr must be \(3, 130, 2\), not"),
    ],
)
def test_inputs_of_other_shapes_are_refused(change, message):
    points = inputs()
    for place, tensor in change.items():
        points[place] = tensor.double()
    with pytest.raises(ValueError, match=message):
        small()(*points)


def test_the_benchmark_times_recm_beside_the_plain_network():
    case = CASES["motion capture, subset, RECM"]()
    assert list(case.beside) == ["the plain network"]
    for step in (case.step, *case.beside.values()):
        step()
