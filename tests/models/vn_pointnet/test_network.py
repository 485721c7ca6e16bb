"""VN-PointNet: sizes, exact invariance, and that every short cut gives what the formulas give."""

import math

import pytest
import torch

from models.official import CheckpointError, official_name
from models.vn_pointnet import textbook
from models.vn_pointnet.edges import edge_features, nearest
from models.vn_pointnet.layers import (
    VNBatchNorm,
    VNLeakyReLU,
    VNLinear,
    VNLinearLeakyReLU,
    VNMaxPool,
    VNMeanPool,
    VNStdFeature,
)
from models.vn_pointnet.network import VNPointNet
from models.vn_pointnet.official import RULES, load_checkpoint, load_state
from models.vn_pointnet.settings import VNPointNetConfig
from twirl.groups import SO3

SMALL = {"classes": 5, "neighbours": 6, "c1": 6, "c2": 10, "c3": 15, "f1": 12, "f2": 7, "h1": 20, "h2": 14}


def scramble(module, seed=0):
    """Random batch-norm parameters and statistics, of either sign, as after training."""
    generator = torch.Generator().manual_seed(seed)
    for child in module.modules():
        if isinstance(child, torch.nn.modules.batchnorm._BatchNorm):
            for tensor in (child.weight.data, child.bias.data, child.running_mean, child.running_var):
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
            child.running_var.abs_().add_(0.1)
    return module


def small(seed=0, **change):
    torch.manual_seed(seed)
    return scramble(VNPointNet(VNPointNetConfig(**SMALL | change)).double(), seed)


def clouds(B=4, N=24, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(B, N, 3, generator=generator, dtype=torch.float64) / 2


def turned(R, V):
    """R on the first axis of V (3, ...)."""
    return torch.tensordot(R, V, 1)


def rotations(n, seed=2):
    return SO3().sample(n, torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("pooling", "parameters"), [("mean", 1_972_745), ("max", 2_089_467)])
def test_the_published_network_has_the_published_size(pooling, parameters):
    network = VNPointNet(VNPointNetConfig(pooling=pooling))
    assert sum(p.numel() for p in network.parameters()) == parameters
    head = [network.fc1, network.bn1, network.fc2, network.bn2, network.fc3]
    assert sum(p.numel() for module in head for p in module.parameters()) == 1_191_208


@pytest.mark.parametrize("pooling", ["mean", "max"])
@pytest.mark.parametrize("training", [False, True])
def test_scores_are_unchanged_by_rotations_and_changed_by_reflections(pooling, training):
    network, points = small(pooling=pooling, dropout=0.0).train(training), clouds()
    scores = network(points)
    for R in rotations(5):
        assert (network(points @ R.T) - scores).abs().max() < 1e-10 * scores.abs().max()
    assert (network(-points) - scores).abs().max() > 1e-3 * scores.abs().max()


def test_scores_do_not_depend_on_the_order_of_points():
    network, points = small().eval(), clouds()
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(points[:, order]), network(points), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "layer",
    [
        VNLinear(5, 4),
        VNLeakyReLU(5),
        VNLeakyReLU(5, share_direction=True),
        VNLinearLeakyReLU(5, 4),
        VNLinearLeakyReLU(5, 4, share_direction=True, slope=0.2),
        VNBatchNorm(5),
    ],
    ids=lambda layer: type(layer).__name__,
)
@pytest.mark.parametrize("rows", [(7,), (4, 6), (2, 6, 3)])
def test_layers_turn_with_their_input(layer, rows):
    layer = scramble(layer.double()).eval()
    V = torch.randn(3, *rows, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for R in rotations(3):
        torch.testing.assert_close(layer(turned(R, V)), turned(R, layer(V)), rtol=0, atol=1e-11)


@pytest.mark.parametrize("pool", [VNMeanPool(), VNMaxPool(5)], ids=["mean", "max"])
def test_pooling_turns_with_its_input(pool):
    V = torch.randn(3, 4, 9, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for R in rotations(3):
        torch.testing.assert_close(pool.double()(turned(R, V)), turned(R, pool(V)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("orthonormal", [False, True])
def test_frames_turn_and_coordinates_stay(orthonormal):
    torch.manual_seed(0)
    layer = scramble(VNStdFeature(9, orthonormal=orthonormal).double()).eval()
    V = torch.randn(3, 3, 7, 9, dtype=torch.float64)  # three clouds: a cross product must not take that axis
    x, z0 = layer(V)
    for R in rotations(3):
        x_turned, z0_turned = layer(turned(R, V))
        torch.testing.assert_close(x_turned, x, rtol=0, atol=1e-10)
        torch.testing.assert_close(z0_turned, turned(R, z0), rtol=0, atol=1e-10)
    if orthonormal:
        products = torch.einsum("i...k,i...l->...kl", z0, z0)
        torch.testing.assert_close(products, torch.eye(3).double().expand_as(products), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("training", "global_branch"), [(False, True), (True, True), (True, False)])
def test_the_network_computes_the_formulas(training, global_branch):
    network = small(dropout=0.0, global_branch=global_branch).train(training)
    points = clouds().requires_grad_()
    buffers = {name: b.clone() for name, b in network.named_buffers()}
    results = []
    for scores in (network, lambda x: textbook.logits(network, x)):
        network.load_state_dict(buffers, strict=False)
        out = scores(points)
        gradients = torch.autograd.grad(out.sin().sum(), [points, *network.parameters()])
        results.append([out, *gradients, *(b.clone() for b in network.buffers())])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-9)


def test_edges_are_averaged_without_forming_them():
    layer, points = small().conv_pos, clouds()
    points[:, 5] = points[:, 0]  # duplicates, as point dropout makes them
    points[1, 7] = 0.0
    index = nearest(points, 6)
    torch.testing.assert_close(
        layer.mean(points, index), layer(edge_features(points, index)).mean(-2), rtol=0, atol=1e-12
    )


def test_a_replaced_map_is_called_and_changes_nothing_if_it_maps_alike():
    class Same(torch.nn.Module):
        def __init__(self, plain):
            super().__init__()
            self.plain, self.calls = plain, 0

        def forward(self, V):
            self.calls += 1
            return self.plain(V)

    network, points = small().eval(), clouds()
    scores = network(points)
    replaced = [name for name, m in network.named_modules() if type(m) is VNLinear]
    for name in replaced:
        network.set_submodule(name, Same(network.get_submodule(name)))
    torch.testing.assert_close(network(points), scores, rtol=0, atol=1e-11)
    assert [network.get_submodule(name).calls for name in replaced] == [1] * 23


def test_a_replaced_map_that_acts_as_the_plain_one_changes_no_bit():
    class Idle(torch.nn.Module):
        def __init__(self, plain):
            super().__init__()
            self.acts_as = plain

        def forward(self, V):
            return self.acts_as(V)

    network, points = small().eval(), clouds()
    scores = network(points)
    for place in [name for name, m in network.named_modules() if isinstance(m, VNLinearLeakyReLU)]:
        for name in (f"{place}.feature", f"{place}.direction"):
            network.set_submodule(name, Idle(network.get_submodule(name)))
    assert torch.equal(network(points), scores)


def test_every_point_is_its_own_first_neighbour():
    points = clouds(N=30)
    index = nearest(points, 4)
    assert torch.equal(index[..., 0], torch.arange(30).expand(4, 30))
    distances = torch.cdist(points, points).gather(2, index)
    assert (distances.diff(dim=-1) >= 0).all()


def test_max_pooling_takes_whole_vectors_and_trains_no_direction():
    network, points = small(pooling="max"), clouds()
    network(points).sum().backward()
    assert network.pool.direction.weight.grad is None
    V = torch.randn(3, 2, 9, 6, dtype=torch.float64)
    chosen = network.pool(V)
    assert ((chosen.unsqueeze(2) == V).all(0).sum(1) == 1).all()


def test_vectors_of_length_zero_have_finite_gradients():
    network = small(dropout=0.0)
    points = torch.zeros(4, 24, 3, dtype=torch.float64)
    points[:2] = clouds(2)
    network(points.requires_grad_()).square().sum().backward()
    assert all(p.grad.isfinite().all() for p in [points, *network.parameters()])


def test_single_precision_is_close_to_double():
    network, points = small().eval(), clouds()
    scores = network(points)
    error = (network.float()(points.float()) - scores).abs().max() / scores.abs().max()
    assert error < 1e-3


def test_dense_form_of_a_map_is_its_action_on_flat_features():
    mapped = VNLinear(4, 5)
    V = torch.randn(3, 6, 4)
    flat = V.permute(1, 2, 0).flatten(1) @ mapped.matrix().T
    torch.testing.assert_close(flat.unflatten(1, (5, 3)).permute(2, 0, 1), mapped(V))
    torch.testing.assert_close(mapped.matrix(), torch.kron(mapped.weight, torch.eye(3)))


def test_places_are_the_22_maps_that_turn_vectors_into_vectors():
    pytest.importorskip("twirl.relaxation.places")
    network = VNPointNet(VNPointNetConfig())
    places = network.places()
    unconstrained = sum(math.prod(p.features_in) * math.prod(p.features_out) for p in places)
    assert (len(places), unconstrained) == (22, 7_000_533)
    assert len({p.reads for p in places} - {None}) == 10
    R = rotations(1).float()[0]
    for place in places:
        C, components = place.features_in
        V = torch.randn(components, 2, C)
        layer = network.get_submodule(place.name)
        torch.testing.assert_close(layer(turned(R, V)), turned(R, layer(V)), rtol=1e-4, atol=1e-5)
        flat = place.flatten(V) @ layer.matrix().T
        torch.testing.assert_close(place.unflatten(flat), layer(V), rtol=1e-4, atol=1e-5)


def official_state(network, prefix=""):
    return {prefix + official_name(key, RULES): value for key, value in network.state_dict().items()}


def test_official_weights_load_strictly(tmp_path):
    source, target = small(seed=0), small(seed=1)
    assert load_state(target, official_state(source, "module.")) == {}
    torch.testing.assert_close(target.eval()(clouds()), source.eval()(clouds()), rtol=0, atol=0)
    state = official_state(source)
    assert {"feat.conv_pos.map_to_dir.weight", "feat.fstn.fc3.map_to_feat.weight", "fc3.bias"} <= state.keys()
    missing = {k: v for k, v in state.items() if k != "feat.bn3.bn.running_var"}
    with pytest.raises(CheckpointError, match=r"missing 'feat\.bn3\.bn\.running_var'"):
        load_state(target, missing)
    with pytest.raises(CheckpointError, match=r"unexpected 'feat\.extra'"):
        load_state(target, state | {"feat.extra": torch.zeros(())})
    with pytest.raises(CheckpointError, match=r"'fc3.bias' of shape \(7,\) where \(5,\)"):
        load_state(target, state | {"fc3.bias": torch.zeros(7)})
    torch.save({"model_state_dict": state, "epoch": 3}, tmp_path / "best_model.pth")
    assert load_checkpoint(target, tmp_path / "best_model.pth") == {}
    torch.save(state, tmp_path / "state.pth")
    with pytest.raises(CheckpointError, match="no 'model_state_dict'"):
        load_checkpoint(target, tmp_path / "state.pth")


def test_dense_terms_of_a_relaxed_checkpoint_are_handed_back():
    network = small()
    W, W_dir, b = torch.randn(30, 36), torch.randn(30, 36), torch.randn(30)
    relaxed = official_state(network) | {
        "feat.conv2.dense_lin.weight": W,
        "feat.conv2.dense_lin.bias": b,
        "feat.conv2.dense_map_to_dir.weight": W_dir,
    }
    terms = load_state(network, relaxed)
    assert set(terms) == {"conv2.feature", "conv2.direction"}
    assert torch.equal(terms["conv2.feature"].weight, W)
    assert torch.equal(terms["conv2.feature"].bias, b)
    assert terms["conv2.direction"].bias is None
    with pytest.raises(CheckpointError, match="no map to relax there"):
        load_state(network, relaxed | {"feat.bn3.dense_lin.weight": W})
    with pytest.raises(CheckpointError, match=r"conv2.feature: a dense weight of shape \(30, 30\)"):
        load_state(network, relaxed | {"feat.conv2.dense_lin.weight": W[:, :30]})


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (torch.zeros(4, 3, 24), "points must be"),
        (torch.zeros(4, 5, 3), "5 points cannot give every point 6 neighbours"),
        (torch.zeros(1, 24, 3), "at least 2 clouds"),
    ],
)
def test_clouds_that_cannot_be_classified_are_refused(points, message):
    with pytest.raises(ValueError, match=message):
        small().train()(points.double())
