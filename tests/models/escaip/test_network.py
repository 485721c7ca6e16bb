"""EScAIP: sizes, symmetry of its latents, and the exact split of its force error."""

import math
from functools import partial

import pytest
import torch

from models.datasets.spice import MoleculeBatch
from models.escaip import textbook
from models.escaip.closed_form import exact_losses, head_variance, make_equivariant, twirled_forces
from models.escaip.network import EScAIP
from models.escaip.official import RULES, load_checkpoint, load_state
from models.escaip.settings import EScAIPConfig, EScAIPTaskSettings
from models.escaip.task import EScAIPTask, force_problem
from models.official import CheckpointError, official_name
from models.training.dropout import dropout
from models.training.optimizer import multiplier
from tests.models.escaip.runs import NETWORK
from tests.models.escaip.test_graph import molecules
from twirl.groups import SO3
from twirl.problem import Problem
from twirl.representations import BatchIndex, Count, Identity, Tree, Vectors
from twirl.rotations import product_quadrature, rotation_set


@pytest.fixture
def network():
    torch.manual_seed(0)
    return EScAIP(EScAIPConfig(**NETWORK)).double().eval()


@pytest.fixture
def batch():
    positions, graph_index = molecules([7, 5, 9], seed=3)
    generator = torch.Generator().manual_seed(4)
    return MoleculeBatch(
        positions=positions,
        atomic_numbers=torch.randint(1, 9, graph_index.shape, generator=generator),
        graph_index=graph_index,
        energy=torch.randn(3, generator=generator, dtype=torch.float64),
        forces=torch.randn(positions.shape, generator=generator, dtype=torch.float64),
        conformations=torch.arange(3),
    )


def inputs(batch):
    return batch.positions, batch.atomic_numbers, batch.graph_index, batch.num_graphs


def whole_network(network, batch):
    """The network as a thing to twirl by rotating its positions."""
    return Problem(
        model=lambda x: network(*x)[1],
        x=inputs(batch),
        y=batch.forces,
        acts_on_x=Tree((Vectors(), Identity(), BatchIndex(), Count())),
        acts_on_y=Vectors(),
        sample_index=batch.graph_index,
    )


@pytest.mark.parametrize(
    ("change", "parameters"),
    [
        ({}, 6_137_222),
        ({"hidden_size": 256, "num_heads": 16}, 15_811_718),
        ({"num_layers": 4}, 4_374_660),
        ({"edge_distance_embedding_size": 128}, 4_177_670),
        ({"ffn_multiplier": 1, "readout_multiplier": 1, "output_multiplier": 1}, 5_183_238),
        (
            {
                "hidden_size": 64,
                "atom_embedding_size": 64,
                "edge_distance_embedding_size": 128,
                "edge_distance_expansion_size": 150,
            },
            1_165_190,
        ),
    ],
)
def test_parameter_counts_are_those_measured_upstream(change, parameters):
    network = EScAIP(EScAIPConfig(**change))
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_latents_and_energies_are_invariant(network, batch):
    R = SO3().sample(1, torch.Generator().manual_seed(5))[0]
    positions, *rest = inputs(batch)
    still, turned = (network.latents(network.geometry(p, *rest)) for p in (positions, positions @ R.T))
    torch.testing.assert_close(turned.node, still.node, atol=1e-12, rtol=0)
    used = still.geometry.graph.mask
    torch.testing.assert_close(turned.edge[used], still.edge[used], atol=1e-12, rtol=0)
    torch.testing.assert_close(
        network(positions @ R.T, *rest)[0], network(positions, *rest)[0], atol=1e-12, rtol=0
    )


@pytest.mark.parametrize("change", [{}, {"edge_distance_expansion_size": 600, "max_radius": 12.0}])
def test_the_network_computes_the_formulas_of_the_specification(batch, change):
    torch.manual_seed(0)
    network = EScAIP(EScAIPConfig(**NETWORK | change)).double().eval()
    for ours, plain in zip(network(*inputs(batch)), textbook.predict(network, *inputs(batch)), strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-12, rtol=1e-12)


def test_forces_do_not_depend_on_the_rest_of_the_batch(network, batch):
    alone = network(batch.positions[:7], batch.atomic_numbers[:7], batch.graph_index[:7], 1)
    together = network(*inputs(batch))
    torch.testing.assert_close(alone[1], together[1][:7], atol=1e-12, rtol=0)
    torch.testing.assert_close(alone[0], together[0][:1], atol=1e-12, rtol=0)


def test_the_head_twisted_alone_equals_rotating_the_positions(network, batch):
    rotations = rotation_set("iid", 6, torch.Generator().manual_seed(6))
    head = force_problem(network, network.geometry(*inputs(batch)), batch).twist(rotations)
    torch.testing.assert_close(head, whole_network(network, batch).twist(rotations), atol=1e-12, rtol=0)


def test_the_closed_form_is_the_average_over_all_rotations(network, batch):
    """Twisted predictions are polynomials of degree 2 in the rotation, so a quadrature of degree 4 is exact."""
    result = whole_network(network, batch).decompose(product_quadrature(4))
    terms = network.force_terms(network.latents(network.geometry(*inputs(batch))))
    torch.testing.assert_close(result.mu, twirled_forces(terms), atol=1e-12, rtol=0)
    L_mean, L_equiv, sizes = exact_losses(terms, batch.forces, batch.graph_index, batch.num_graphs)
    torch.testing.assert_close(result.per_sample.L_mean, L_mean, atol=1e-12, rtol=0)
    torch.testing.assert_close(result.per_sample.L_equiv, L_equiv, atol=1e-12, rtol=0)
    assert sizes.tolist() == [21, 15, 27]


def test_equal_rows_of_the_force_head_make_the_network_equivariant(network, batch):
    rotations = rotation_set("iid", 5, torch.Generator().manual_seed(7))
    assert whole_network(network, batch).decompose(rotations).naive.L_equiv > 1e-4
    assert head_variance(network) > 0
    make_equivariant(network)
    assert whole_network(network, batch).decompose(rotations).naive.L_equiv < 1e-25
    assert head_variance(network) < 1e-30


def test_an_isolated_atom_gets_finite_forces_and_gradients(network):
    positions = torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [90.0, 0, 0]], dtype=torch.float64)
    energy, forces = network(positions, torch.tensor([1, 6, 8]), torch.zeros(3, dtype=torch.long), 1)
    (energy.sum() + forces.square().sum()).backward()
    assert forces.isfinite().all()
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_initialisation_has_the_published_scale():
    torch.manual_seed(0)
    network = EScAIP(EScAIPConfig())
    W = network.force_direction.final.weight
    assert W.var().item() == pytest.approx(2 / (128 + 3), rel=0.15)
    assert 0.0085 < head_variance(network).item() < 0.0125
    assert network.energy_head.final.weight.abs().max() <= 0.01 * math.sqrt(6 / 129)
    assert network.input_block.edge_features.sender_atom_embedding.weight.abs().max() <= 0.001


def test_heads_must_divide_the_channels():
    with pytest.raises(ValueError, match="hidden_size 10 is not a multiple of num_heads 4"):
        EScAIPConfig(hidden_size=10, num_heads=4)


def official_state(network):
    return {official_name(key, RULES): value.clone() for key, value in network.state_dict().items()}


def test_official_keys_have_the_documented_names(network):
    names = official_state(network)
    assert "backbone.transformer_blocks.0.graph_attention.multi_head_attention.in_proj_weight" in names
    assert "backbone.output_projection.readout_norm.edge_norm.weight" in names
    assert "output_heads.forces.force_direction_layer.final_output.0.weight" in names
    assert all(name.startswith(("backbone.", "output_heads.")) for name in names)


def test_an_official_checkpoint_loads_with_or_without_the_ddp_prefix(network, tmp_path):
    other = EScAIP(EScAIPConfig(**NETWORK)).double()
    state = {f"module.{key}": value for key, value in official_state(network).items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "official.pt")
    load_checkpoint(other, tmp_path / "official.pt")
    for ours, theirs in zip(other.parameters(), network.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda s: s.pop("output_heads.energy.energy_layer.final_output.0.weight"),
            "is missing 'output_heads.energy",
        ),
        (lambda s: s.update(surplus=torch.zeros(1)), "has the unexpected 'surplus'"),
        (
            lambda s: s.update({"backbone.input_block.norm.node_norm.weight": torch.zeros(3)}),
            r"node_norm.weight' of shape \(3,\) where \(8,\) is needed",
        ),
    ],
)
def test_an_official_checkpoint_with_other_keys_or_shapes_is_refused_whole(network, spoil, words):
    other = EScAIP(EScAIPConfig(**NETWORK)).double()
    before = [p.clone() for p in other.parameters()]
    state = official_state(network)
    spoil(state)
    with pytest.raises(CheckpointError, match=words):
        load_state(other, state, "official.pt")
    assert all(torch.equal(a, b) for a, b in zip(before, other.parameters(), strict=True))


class Malicious:
    """Would run code when unpickled."""

    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("content", [b"not a checkpoint", Malicious(), {"weights": torch.zeros(1)}])
def test_a_file_that_is_no_plain_checkpoint_is_refused_unexecuted(network, tmp_path, content, capsys):
    path = tmp_path / "official.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"official.pt: (not a checkpoint|no 'state_dict')"):
        load_checkpoint(network, path)
    assert "executed" not in capsys.readouterr().out


def test_the_schedule_warms_up_and_falls_to_half():
    schedule = partial(multiplier, EScAIPTaskSettings().schedule)
    assert schedule(0) == pytest.approx(0.2)
    assert schedule(742) == pytest.approx(0.6)
    assert schedule(1484) == pytest.approx(1.0)
    assert schedule(222735) == pytest.approx(0.75)
    assert schedule(445470) == pytest.approx(0.5)


def test_weight_decay_spares_embeddings_and_biases_by_name():
    task = EScAIPTask(EScAIPTaskSettings(network=EScAIPConfig(**NETWORK)))
    decayed, exempt = task.configure_optimizers()["optimizer"].param_groups
    names = {id(p): name for name, p in task.network.named_parameters()}
    exempt_names = {names[id(p)] for p in exempt["params"]}
    assert (decayed["weight_decay"], exempt["weight_decay"]) == (0.01, 0.0)
    assert "input_block.edge_features.distance_embedding.linear.weight" in exempt_names
    assert "input_block.norm.weight" not in exempt_names
    assert len(decayed["params"]) + len(exempt["params"]) == len(names)


def test_averaged_weights_start_at_the_initial_ones_and_decay_geometrically():
    task = EScAIPTask(EScAIPTaskSettings(network=EScAIPConfig(**NETWORK), ema_decay=0.9))
    weight, average = task.network.force_direction.final.weight, task.ema.module.force_direction.final.weight
    start = weight.detach().clone()
    with torch.no_grad():
        weight += 1.0
    for step in range(1, 4):
        task.ema.update_parameters(task.network)
        torch.testing.assert_close(average, start + 1 - 0.9**step)


@pytest.mark.parametrize("probability", [0.05, 0.1, 0.5])
def test_dropout_keeps_the_mean_and_drops_the_given_share(probability):
    torch.manual_seed(0)
    x = torch.ones(1_000_003)
    dropped = dropout(x, probability, training=True)
    share = (dropped == 0).float().mean().item()
    error = math.sqrt(probability * (1 - probability) / len(x))
    assert abs(share - probability) < 4 * error + 1 / 65536
    assert dropped[dropped > 0].unique().item() == pytest.approx(1 / (1 - probability), rel=1e-4)
    assert torch.equal(dropout(x, probability, training=False), x)


def test_dropout_of_neighbouring_entries_is_independent():
    torch.manual_seed(0)
    kept = (dropout(torch.ones(400_000), 0.5, training=True) > 0).float() * 2 - 1
    for lag in range(1, 6):
        assert abs((kept[lag:] * kept[:-lag]).mean().item()) < 4 / math.sqrt(len(kept))
