"""Proteína: sizes, padding, the plain formulas, conditioning, official weights, losses and what is twirled."""

import os
import pickle
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch

from models.official import CheckpointError, official_name
from models.proteina import textbook
from models.proteina.distogram import distogram_loss
from models.proteina.network import Proteina
from models.proteina.official import RULES, fold_classes, load_checkpoint, load_state
from models.proteina.settings import PUBLISHED, FlowConfig, ProteinaConfig, ProteinaTaskSettings
from models.proteina.task import ProteinaTask
from models.training.flow import Noise, centred, sampling_times, squared_error
from models.training.series import parse_key
from tests.models.proteina.chains import NETWORK, TRIANGLES, chains
from twirl.rotations import rotation_set
from workflow import plan as runs

VARIANTS = {"plain": {}, "triangles": TRIANGLES, "outer sums": {"update_every": 2, "buckets": 6}}


def network(**change):
    """With every parameter random: several start as zero."""
    torch.manual_seed(0)
    built = Proteina(ProteinaConfig(**NETWORK | change)).double()
    with torch.no_grad():
        for p in built.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return built


def batch(*lengths, **options):
    return chains(*(lengths or (9, 6)), **options).to(torch.float64)


def inputs(found):
    """A batch's arguments of the network, t among them; `to` made floats of all fields."""
    t = torch.tensor([0.3, 0.8], dtype=torch.float64)[: len(found.chains)]
    return found.coordinates, t, found.mask.bool(), found.residue_index.long(), found.chain_breaks.bool()


def task(seed=0, dtype=torch.float64, flow=None, **change):
    torch.manual_seed(seed)
    network, flow = ProteinaConfig(**NETWORK | change), flow or FlowConfig()
    settings = ProteinaTaskSettings(network=network, flow=flow, monitor_times=(0.0, 0.8))
    return ProteinaTask(settings).to(dtype)


def real(found):
    x, _, mask, index, breaks = inputs(found)
    return type(found)(x, mask, index, breaks, found.chains.long())


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("60M", 64_640_512),
        ("60M-tri", 70_476_592),
        ("200M", 190_713_088),
        ("200M-tri", 207_613_744),
        ("400M-tri", 397_190_400),
    ],
)
def test_published_sizes(name, parameters):
    with torch.device("meta"):
        built = Proteina(ProteinaConfig(**PUBLISHED[name]))
    fold = sum(p.numel() for p in built.fold.parameters())
    assert sum(p.numel() for p in built.parameters()) - fold == parameters


@pytest.mark.parametrize(("run", "size"), [("proteina-60m", "60M"), ("proteina-400m", "400M-tri")])
def test_the_papers_runs_have_the_published_sizes(run, size):
    plan = runs.load({"tier": "paper"}).runs
    settings = next(each for each in plan if each.name == run).resolved()["model"]["init_args"]["network"]
    assert ProteinaConfig(**settings | {"recompute": "nothing"}) == ProteinaConfig(**PUBLISHED[size])


def test_the_velocity_starts_with_a_variance_of_a_third():
    torch.manual_seed(0)
    built = Proteina(ProteinaConfig(**NETWORK | {"width": 128}))
    velocity, _ = built(*(v.float() if v.is_floating_point() else v for v in inputs(batch(30, 30))))
    assert velocity.square().mean().item() == pytest.approx(1 / 3, rel=0.4)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("guess", [False, True])
def test_values_and_gradients_are_those_of_the_plain_formulas(variant, guess):
    built = network(**VARIANTS[variant])
    arguments = inputs(batch())
    x_sc = arguments[0] / 2 if guess else None
    found = []
    for forward in (built, lambda *given: textbook.predict(built, *given)):
        built.zero_grad()
        velocity, logits = forward(*arguments, x_sc)
        pairs = arguments[2][:, :, None] & arguments[2][:, None]
        loss = velocity.square().sum() + (0 if logits is None else logits[pairs].square().sum())
        loss.backward()
        gradients = {name: p.grad for name, p in built.named_parameters() if p.grad is not None}
        found.append((velocity.detach(), loss.detach(), gradients))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-10, atol=1e-10)
    assert found[0][2].keys() == found[1][2].keys()
    for name, gradient in found[0][2].items():
        torch.testing.assert_close(gradient, found[1][2][name], rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_changes_nothing(variant):
    built = network(**VARIANTS[variant])
    with torch.no_grad():
        short, wide = (built(*inputs(batch(6, 6, length=n)))[0] for n in (6, 11))
    torch.testing.assert_close(short, wide[:, :6], rtol=1e-11, atol=1e-11)
    assert (wide[:, 6:] == 0).all()


def test_residues_are_numbered_from_one_where_no_numbers_are_given():
    built = network()
    x, t, mask, _, breaks = inputs(batch(7, 7))
    with torch.no_grad():
        given = built(x, t, mask, torch.arange(1, 8).expand(2, 7), breaks)[0]
        absent = built(x, t, mask, None, breaks)[0]
    torch.testing.assert_close(given, absent)


@pytest.mark.parametrize("recompute", ["pairs", "everything"])
def test_recomputing_changes_neither_loss_nor_gradients(recompute):
    found, losses = [], []
    for mode in ("nothing", recompute):
        built = network(**TRIANGLES | {"recompute": mode})
        velocity, logits = built(*inputs(batch()))
        loss = velocity.square().sum() + logits.square().sum()
        loss.backward()
        losses.append(loss.item())
        found.append([p.grad for p in built.parameters()])
    assert losses[0] == pytest.approx(losses[1], rel=1e-13)
    for plain, again in zip(*found, strict=True):
        assert (plain is None) == (again is None)
        if plain is not None:
            torch.testing.assert_close(plain, again, rtol=1e-12, atol=1e-12)


def test_fold_labels_matter_where_given_and_are_off_by_default():
    assert ProteinaConfig().fold_classes == (0, 0, 0)
    built = network(fold_classes=(2, 3, 4))
    arguments = inputs(batch())
    with torch.no_grad():
        none, unknown, known = (
            built(*arguments, fold=fold)[0]
            for fold in (None, torch.full((2, 3), -1), torch.tensor([[0, 1, 2], [1, 2, 3]]))
        )
    assert torch.equal(none, unknown)
    assert (none - known).abs().max() > 1e-6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"heads": 3}, "width 16 is not a multiple of heads 3"),
        ({"sequence_features": ("index", "index", "x_sc")}, "in some order"),
        ({"triangles": True}, "give update_every"),
        ({"time": 3}, "time"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        ProteinaConfig(**NETWORK | change)


# ---- official weights


def official(built):
    return {official_name(name, RULES): value.clone() for name, value in built.state_dict().items()}


@pytest.mark.parametrize("prefix", ["", "nn."])
def test_official_weights_come_back(prefix):
    source, target = network(**TRIANGLES), Proteina(ProteinaConfig(**NETWORK | TRIANGLES)).double()
    load_state(target, {prefix + name: value for name, value in official(source).items()})
    for name, value in source.state_dict().items():
        assert torch.equal(value, target.state_dict()[name]), name


def test_a_checkpoint_of_another_variant_is_refused_in_a_sentence():
    with pytest.raises(CheckpointError, match="has triangle layers, but the network was built without"):
        load_state(network(), official(network(**TRIANGLES)))
    with pytest.raises(CheckpointError, match="lacks triangle layers, but the network was built with"):
        load_state(network(**TRIANGLES), official(network()))
    with pytest.raises(CheckpointError, match=r"has 'registers' of shape \(3, 16\)"):
        load_state(network(), official(network(registers=3)))


def test_a_checkpoint_file_that_does_not_fit_is_named(tmp_path):
    path = tmp_path / "X-EMA.ckpt"
    torch.save({"state_dict": official(network(**TRIANGLES))}, path)
    with pytest.raises(CheckpointError, match=r"X-EMA\.ckpt: the checkpoint has triangle layers"):
        load_checkpoint(network(), path)


def test_fold_classes_are_read_off_a_state():
    assert fold_classes(official(network(fold_classes=(2, 3, 4)))) == (2, 3, 4)
    with pytest.raises(CheckpointError, match=r"X-EMA\.ckpt: the checkpoint is missing .*embedding_C"):
        fold_classes({}, "X-EMA.ckpt")


def _explode():
    raise AssertionError("code of the checkpoint was run")


class Hostile:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return _explode, ()


class Shell:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch ran",)


class Script(torch.nn.Module):
    """Runs code when it is loaded, once it is TorchScript."""

    @torch.jit.export
    def __getstate__(self):
        return (self.training,)

    @torch.jit.export
    def __setstate__(self, state: tuple[bool]):
        self.training = state[0]
        print("code of the checkpoint was run")

    def forward(self, x):
        return x


def test_a_checkpoint_file_is_read_without_running_what_it_holds(tmp_path):
    source, target = network(), Proteina(ProteinaConfig(**NETWORK)).double()
    state = {f"nn.{name}": value for name, value in official(source).items()}
    path = tmp_path / "X-EMA.ckpt"
    settings = {"cfg": Hostile(), "space": SimpleNamespace(a=[1]), "filled": defaultdict(list, x=[1])}
    before = torch.serialization.get_safe_globals()
    torch.save({"state_dict": state, "hyper_parameters": settings, "nflops": 3}, path)
    load_checkpoint(target, path)
    assert torch.equal(source.registers, target.registers)
    assert set(torch.serialization.get_safe_globals()) == set(before)


def test_a_checkpoint_file_that_would_run_commands_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": official(network()), "hyper_parameters": Shell()}, "x.ckpt")
    with pytest.raises(CheckpointError, match=r"x\.ckpt: not a checkpoint"):
        load_checkpoint(network(), "x.ckpt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_torchscript_file_is_refused_before_its_code_runs(tmp_path, capfd):
    path = tmp_path / "X-EMA.ckpt"
    torch.jit.script(Script()).save(str(path))
    with pytest.raises(CheckpointError, match=r"X-EMA\.ckpt: not a checkpoint .*torchscript"):
        load_checkpoint(network(), path)
    assert "was run" not in capfd.readouterr().out


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    path = tmp_path / "x.ckpt"
    path.write_bytes(b"no")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load_checkpoint(network(), path)
    path.write_bytes(pickle.dumps(3))
    with pytest.raises(CheckpointError, match=r"x\.ckpt: not? "):
        load_checkpoint(network(), path)
    torch.save({"weights": 3}, path)
    with pytest.raises(CheckpointError, match="no 'state_dict' of tensors"):
        load_checkpoint(network(), path)


# ---- losses


def test_the_distogram_of_a_certain_network_costs_nothing_and_of_a_blank_one_the_entropy():
    found = real(batch(5, 3))
    labels = torch.bucketize(
        torch.cdist(found.coordinates, found.coordinates, compute_mode="donot_use_mm_for_euclid_dist"),
        torch.linspace(0, 1, 5, dtype=torch.float64),
    )
    certain = 100.0 * torch.nn.functional.one_hot(labels, 6).double()
    assert distogram_loss(certain, found.coordinates, found.mask).max() < 1e-9
    blank = distogram_loss(torch.zeros_like(certain), found.coordinates, found.mask)
    torch.testing.assert_close(blank, torch.full((2,), 6.0).double().log(), rtol=1e-9, atol=0)


def test_networks_without_pair_updates_have_no_auxiliary_loss():
    model, found = task(), real(batch(9, 1))  # one residue has no distances at all
    flow, distogram = model.losses(found, model.draw(found, 0, 0))
    assert torch.equal(distogram, torch.zeros_like(flow))
    assert flow.isfinite().all()


def test_the_auxiliary_loss_counts_after_its_time_only():
    model, found = task(**TRIANGLES), real(batch())
    draw = model.draw(found, 0, 0)
    early = type(draw)(draw.rotations, draw.x_0, torch.tensor([0.2, 0.4]).double(), False)
    distogram = model.losses(found, early)[1]
    assert distogram[0] == 0
    assert distogram[1] > 0


def test_draws_belong_to_chains_not_to_batches():
    model, found = task(), real(batch(9, 6))
    alone = type(found)(*(getattr(found, name)[1:] for name in found.__dataclass_fields__))
    both, one = model.draw(found, 3, 5), model.draw(alone, 3, 5)
    torch.testing.assert_close(both.x_0[1:], one.x_0)
    assert torch.equal(both.t[1:], one.t)
    assert torch.equal(both.rotations[1:], one.rotations)
    assert both.self_condition == one.self_condition
    other = model.draw(found, 3, 6)
    assert not torch.equal(both.t, other.t)


def test_two_shares_of_a_batch_have_the_gradient_of_the_whole():
    model, found = task(flow=FlowConfig(self_conditioning=1.0)), real(batch(9, 6))

    def gradients(part):
        model.zero_grad()
        sum(loss.mean() for loss in model.losses(part, model.draw(part, 0, 0))).backward()
        return [p.grad.clone() for p in model.network.parameters()]

    whole = gradients(found)
    shares = [
        gradients(type(found)(*(getattr(found, name)[k : k + 1] for name in found.__dataclass_fields__)))
        for k in range(2)
    ]
    for one, two, both in zip(*shares, whole, strict=True):
        torch.testing.assert_close((one + two) / 2, both, rtol=1e-9, atol=1e-9)


def test_self_conditioning_under_autocast_leaves_gradients():
    model, found = task(dtype=torch.float32, flow=FlowConfig(self_conditioning=1.0)), real(chains(9, 6))
    with torch.autocast("cpu", torch.bfloat16):
        flow, _ = model.losses(found, model.draw(found, 0, 0))
    flow.mean().backward()
    silent = [name for name, p in model.network.named_parameters() if p.grad is None]
    assert not silent
    assert model.network.layers[0].attention.qkv.weight.grad.abs().max() > 0


# ---- what is twirled


def test_problems_are_named_by_series_and_time_as_the_table_reads_them():
    model = task()
    names = list(model.twirl_problems(real(batch())))
    assert names == ["raw/t=0", "raw/t=0.8", "ema/t=0", "ema/t=0.8"]
    assert parse_key(f"val/{names[1]}/percent") == {
        "split": "val",
        "weights": "raw",
        "readout": "own",
        "group": "",
        "without": "",
        "place": "",
        "t": 0.8,
        "metric": "percent",
    }


@torch.no_grad()
def test_losses_are_means_over_chains_of_errors_per_component():
    model, found = task(), real(batch(9, 4))
    problem = model.twirl_problems(found)["raw/t=0.8"]
    rotations = rotation_set("iid", 6, torch.Generator().manual_seed(0))
    result = problem.decompose(rotations)
    x, t, mask = problem.x["x_t"], problem.x["t"], problem.x["mask"]
    x_1 = x + problem.y / (9 / mask.sum(1).double()).sqrt()[:, None, None]
    totals = []
    for R in rotations.elements:
        velocity, _ = model.network(**problem.x | {"x_t": x @ R.T})
        totals.append(squared_error(x + (1 - t)[:, None, None] * (velocity @ R), x_1, mask))
    expected = torch.stack(totals).mean(0)
    torch.testing.assert_close(result.per_sample_naive.L_total, expected)
    assert result.naive.L_total == pytest.approx(expected.mean().item())


def test_the_monitor_sees_the_same_noise_at_every_step_and_time():
    model, found = task(), real(batch())
    model.trainer = SimpleNamespace(global_step=0)  # all that could tell one measurement from another
    first = model.twirl_problems(found)
    x_0, x_1 = first["raw/t=0"].x["x_t"], centred(found.coordinates, found.mask)
    for series in ("raw", "ema"):
        torch.testing.assert_close(first[f"{series}/t=0.8"].x["x_t"], 0.2 * x_0 + 0.8 * x_1)
    assert (x_0[0] - x_0[1]).abs().max() > 0.1  # chains have noise of their own
    model.trainer.global_step = 70
    torch.rand(3)
    for name, problem in model.twirl_problems(found).items():
        assert torch.equal(problem.x["x_t"], first[name].x["x_t"]), name


def test_averaged_weights_start_as_the_weights():
    model = task()
    for own, mean in zip(model.network.parameters(), model.ema.module.parameters(), strict=True):
        assert torch.equal(own, mean)
    assert not any(p.requires_grad for p in model.ema.parameters())


def test_samples_do_not_start_from_the_noise_of_the_monitors_chains():
    model, found = task(), real(batch(9, 6))
    noise, _ = model.monitored_ends(found)
    seen = []
    model.denoise = lambda network, batch, x_t, t, x_sc=None: (seen.append(x_t), (x_t, None))[1]
    model.generate(found, sampling_times(1), seed=model.settings.monitor_noise_seed)
    assert seen[0].shape == noise.shape
    assert (seen[0] - noise).abs().max(dim=1).values.min() > 0.1


def test_generated_chains_are_centred_and_repeat():
    model, found = task(), real(batch(9, 6))
    times = sampling_times(4)
    for noise in (None, Noise()):
        first, again = (model.generate(found, times, noise, seed=1) for _ in range(2))
        assert torch.equal(first, again)
        assert first.isfinite().all()
        assert first.sum(1).abs().max() < 1e-9
        assert (first[~found.mask] == 0).all()
