"""VoxMol: sizes, the plain formulas, official weights, the optimiser, what is twirled, latents, curvature."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from analysis.measure.latents import COLUMNS, cosines, pooled
from models.datasets.geom_drugs import AtomBatch
from models.official import CheckpointError, official_name
from models.training.optimizer import optimizer as made_optimizer
from models.training.series import parse_key
from models.voxmol import textbook
from models.voxmol.curvature import last_layer_hessians
from models.voxmol.network import VoxMol
from models.voxmol.official import RULES, load_checkpoint, load_state
from models.voxmol.sampling import Walk, walk_jump
from models.voxmol.settings import PUBLISHED, VoxMolConfig, VoxMolTaskSettings
from models.voxmol.task import overlap
from tests.models.voxmol.densities import NETWORK, molecules, task
from twirl.decomposition import decompose_predictions
from twirl.groups import Octahedral
from twirl.representations import Voxels
from twirl.rotations import enumerate_group, rotation_set


def network(**change) -> VoxMol:
    torch.manual_seed(0)
    return VoxMol(VoxMolConfig(**NETWORK | change)).double().eval()


@pytest.mark.parametrize(
    ("change", "official", "dead"),
    [
        (PUBLISHED["111M"], 111_520_424, 6_528),
        (PUBLISHED["28M"], 27_896_408, 3_264),
        (PUBLISHED["7M"], 6_982_256, 1_632),
        ({"elements": 5}, 111_515_237, 6_528),
    ],
)
def test_parameter_counts_are_upstreams_less_what_nothing_reads(change, official, dead):
    with torch.device("meta"):
        built = VoxMol(VoxMolConfig(**change))
    assert sum(p.numel() for p in built.parameters()) == official - dead


@pytest.mark.parametrize("change", [{}, {"groups": 0}, {"recompute": True}, {"channels_last": False}])
def test_the_network_is_the_plain_formulas(change):
    own = network(dropout=0.0, **change)
    y = torch.randn(2, 3, 8, 8, 8, dtype=torch.float64)
    found, gradients = [], []
    for predict in (own, lambda y: textbook.predict(own, y)):
        out = predict(y)
        gradients.append(torch.autograd.grad(out.square().sum(), list(own.parameters())))
        found.append(out)
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-12)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"groups": 4}, "groups 4 does not divide the width 2"),
        ({"attention": [True]}, "attention has 1 levels, multipliers has 2"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        VoxMolConfig(**NETWORK | change)


def test_a_grid_that_cannot_be_halved_is_refused():
    with pytest.raises(ValueError, match=r"grid of 7 .* multiple of 2"):
        network()(torch.zeros(1, 3, 7, 7, 7, dtype=torch.float64))


# ---- official weights


def official(built: VoxMol) -> dict:
    state = {official_name(name, RULES): value.clone() for name, value in built.state_dict().items()}
    dead = {
        name.replace("output.weight", "norm.weight"): value[0]
        for name, value in state.items()
        if "attn.output.weight" in name
    }
    return state | dead | {name.replace("norm.weight", "norm.bias"): value for name, value in dead.items()}


def test_official_weights_come_back_and_files_of_them_too(tmp_path):
    source, target = network(), VoxMol(VoxMolConfig(**NETWORK)).double()
    state = {f"module.{name}": value for name, value in official(source).items()}
    assert {
        "module.down.0.res.conv1.weight",
        "module.middle.attn.norm.bias",
        "module.up.2.conv.weight",
    } <= set(state)
    torch.save({"epoch": 3, "config": {}, "state_dict_ema": state, "optimizer": {}}, tmp_path / "x.pth.tar")
    load_checkpoint(target, tmp_path / "x.pth.tar")
    for name, value in source.state_dict().items():
        assert torch.equal(value, target.state_dict()[name]), name


def test_official_weights_that_do_not_fit_are_refused(tmp_path):
    state = official(network())
    without = {name: value for name, value in state.items() if "attn.norm" not in name}
    with pytest.raises(CheckpointError, match=r"is missing '.*attn\.norm"):
        load_state(network(), without)
    with pytest.raises(CheckpointError, match="unexpected"):
        load_state(network(groups=0), state)
    torch.save({"state_dict": state}, tmp_path / "x.pth.tar")
    with pytest.raises(CheckpointError, match="no 'state_dict_ema'"):
        load_checkpoint(network(), tmp_path / "x.pth.tar")


# ---- optimiser

PUBLISHED_OPTIMIZER = VoxMolTaskSettings().optimizer


def test_steps_do_not_depend_on_the_scale_of_the_loss_and_zero_gradients_only_decay():
    finals = []
    for scale in (1.0, 1e6):
        p = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
        optimizer = made_optimizer(replace(PUBLISHED_OPTIMIZER, lr=0.1), [p])
        for k in range(5):
            p.grad = scale * torch.tensor([np.sin(k + 1.0), 0.3, 0.0]).float()
            optimizer.step()
        finals.append(p.detach().clone())
    torch.testing.assert_close(*finals, rtol=1e-6, atol=1e-7)
    assert finals[0][2].item() == pytest.approx(3 * (1 - 0.001) ** 5)


def test_the_plain_update_is_the_same():
    own, plain = network(), network()
    optimizer = made_optimizer(PUBLISHED_OPTIMIZER, own.parameters())
    update = textbook.PlainTraining(plain, network())
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        for p, q in zip(own.parameters(), plain.parameters(), strict=True):
            p.grad = torch.empty_like(p).normal_(generator=generator)
            q.grad = p.grad.clone()
        optimizer.step()
        update.update()
    for p, q in zip(own.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-10, atol=1e-12)


# ---- what is random


def test_draws_belong_to_conformers_not_to_batches():
    model, both = task(), molecules(3)
    alone = AtomBatch(*(getattr(both, name)[1:2] for name in both.__dataclass_fields__))
    first, one = model.draw(both, 3, "view", 5), model.draw(alone, 3, "view", 5)
    assert torch.equal(first.noise[1:2], one.noise)
    assert torch.equal(first.pose.rotation[1:2], one.pose.rotation)
    assert torch.equal(first.pose.shift[1:2], one.pose.shift)
    assert not torch.equal(first.noise, model.draw(both, 3, "view", 6).noise)
    assert first.noise.std().item() == pytest.approx(1, abs=0.05)


def test_poses_and_noise_are_independent():
    """Over 600 molecules every number of a pose against the first voxels of its noise: none beyond 5 sigma."""
    count, model = 600, task()
    batch = AtomBatch(torch.zeros(count, 1, 3), torch.zeros(count, 1).long(), torch.arange(count))
    draw = model.draw(batch, 0, "view", 3)
    pose = torch.cat([draw.pose.rotation.flatten(1), draw.pose.shift], dim=1)
    voxels = draw.noise.flatten(1)[:, :64]
    standard = [(x - x.mean(0)) / x.std(0) for x in (pose, voxels)]
    correlations = standard[0].T @ standard[1] / count
    assert correlations.abs().max() < 5 / count**0.5


def test_overlap_counts_voxels_above_a_half():
    a, b = torch.tensor([0.9, 0.8, 0.1, 0.2]), torch.tensor([0.7, 0.0, 0.6, 0.1])
    assert overlap(a, b) == pytest.approx(1 / 3)
    assert overlap(torch.zeros(3), torch.zeros(3)) == 1


# ---- what is twirled


class Symmetric(nn.Module):
    """Commutes with all rotations of the grid."""

    def forward(self, y):
        return y * y.mean((2, 3, 4), keepdim=True) + nn.functional.avg_pool3d(y, 3, 1, 1)


@torch.no_grad()
def test_an_equivariant_network_has_no_equivariance_error():
    model, batch = task(torch.float64), molecules(4)
    model.network = model.ema.module = Symmetric()
    model.network.config = VoxMolConfig(**NETWORK)
    for problem in model.twirl_problems(batch).values():
        rotations = problem.rotations or rotation_set("iid", 4, group=problem.group)
        result = problem.decompose(rotations)
        assert result.naive.L_equiv < 1e-12 * result.naive.L_total
        assert result.naive.L_total == pytest.approx(result.naive.L_mean)


@torch.no_grad()
def test_problems_turn_noised_densities_by_a_rotation_per_molecule_or_by_all_24():
    model, batch = task().eval(), molecules(4)
    problems = model.twirl_problems(batch)
    assert list(problems) == ["raw", "ema", "ema/group=octahedral"]
    assert parse_key("val/ema/group=octahedral/percent")["group"] == "octahedral"
    rotations = rotation_set("iid", 4, torch.Generator().manual_seed(0), group=problems["raw"].group)
    assert rotations.elements.shape == (4, 4, 3, 3)
    clean, noised = model.posed(batch)
    Z = problems["raw"].twist(rotations)
    g = rotations.elements[1, 2][None]
    alone = Voxels().act(g.mT, model.network(Voxels().act(g, noised[None, 2:3])[0])[None])[0]
    torch.testing.assert_close(Z[1, 2:3], alone)
    whole = problems["ema/group=octahedral"]
    assert len(whole.rotations) == 24
    assert len(whole.y) == 2
    expected = decompose_predictions(whole.twist(whole.rotations), clean[:2], enumerate_group(Octahedral()))
    assert whole.decompose(whole.rotations).percent == pytest.approx(expected.percent)


def test_the_monitor_sees_the_same_poses_and_noise_at_every_step():
    model, batch = task(), molecules(3)
    first, again = model.posed(batch), model.posed(batch)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


# ---- latents, curvature, walks


@torch.no_grad()
def test_latents_of_a_full_turn_are_the_same_and_all_kinds_are_there():
    own, y = network(), torch.randn(5, 3, 8, 8, 8, dtype=torch.float64)
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in cosines(own, y)]
    assert len(rows) == 5 * 3 * 5 * 2 + 2 * 2
    turns = [row for row in rows if row["angle"] in (0, 360) and row["axis"]]
    assert all(row["cosine"] == pytest.approx(1) for row in turns)
    assert all(row["cosine"] < 1 - 1e-6 for row in rows if row["angle"] == 90)
    others = [row for row in rows if row["kind"] == "other molecule"]
    assert [row["sample"] for row in others] == [0, 2]  # the fifth has no partner
    mean = pooled(own.latents(y))
    expected = nn.functional.cosine_similarity(mean[[0, 2]], mean[[1, 3]])
    assert [row["cosine"] for row in others] == pytest.approx(expected.tolist())
    fresh = [row[-1] for row in cosines(own, y, (y, 0.5)) if row[2] == 0 and row[1]]
    assert max(fresh) < 1


def test_last_layer_hessians_are_those_of_autograd():
    own, y = network(), torch.randn(1, 3, 4, 4, 4, dtype=torch.float64)
    R = Octahedral().elements()[[0, 5, 11]]
    weight, bias = own.last.weight.detach(), own.last.bias.detach()

    def losses(w: torch.Tensor, b: torch.Tensor, which: int) -> torch.Tensor:
        features = own.features(Voxels().act(R, y[None]).flatten(0, 1)).detach()
        full_w = torch.cat([w[None], weight[1:]])
        full_b = torch.cat([b[None], bias[1:]])
        out = nn.functional.conv3d(features, full_w, full_b, padding=1)
        Z = Voxels().act(R.mT, out[:, None])
        mu = Z.mean(0)
        return mu.square().mean() if which == 0 else (Z - mu).square().mean()

    found = last_layer_hessians(own, y, R)
    for which, block in enumerate(found):
        (ww, wb), (_, bb) = torch.autograd.functional.hessian(
            lambda w, b, which=which: losses(w, b, which), (weight[0], bias[0])
        )
        n = weight[0].numel()
        expected = torch.cat([ww.reshape(n, n), wb.reshape(n, 1)], dim=1)
        torch.testing.assert_close(block[:n], expected, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(block[n, n], bb, rtol=1e-9, atol=1e-12)


def test_walks_among_gaussian_densities_find_their_spread():
    """Clean densities are 0 here, so noised ones are normal: the score is exact, and so is the walk's distribution."""
    walk, generator = Walk(sigma=0.5, delta=0.2), torch.Generator().manual_seed(0)
    places = []

    def denoise(y):
        places.append(y)
        return torch.zeros_like(y)

    jumps = list(walk_jump(denoise, (4, 1, 6, 6, 6), walk, 60, 20, generator))
    assert len(jumps) == 3
    assert all((jump == 0).all() for jump in jumps)
    late = torch.stack(places[30:])
    assert late.mean().abs() < 0.05
    assert late.std().item() == pytest.approx(0.5, rel=0.1)
