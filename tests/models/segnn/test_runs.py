"""Runs on charged particles: errors and alphas in the metrics, exact repetition and resumption, what is measured."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from data.nbody.settings import NBodyDataSettings
from models.datasets.nbody import NBodyData
from models.segnn.settings import SEGNNConfig, SEGNNTaskSettings
from models.segnn.task import SEGNNTask
from models.train import main
from tests.models.segnn.particles import NETWORK, configuration, write_particles
from tests.models.training.interruption import stop_after
from tests.models.training.run_files import write_run
from twirl.rotations import rotation_set

RECM = {"class_path": "twirl.relaxation.RECM", "init_args": {"a": 0.1}}


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    return write_particles(Path("particles.h5"))


def run(config: dict, *overrides: str) -> Path:
    path = write_run(Path(), config)
    main(["--config", str(path), *overrides])
    return path.parent


def relaxed(store, method) -> dict:
    config = configuration(store)
    config["model"]["init_args"]["relaxation"] = method
    return config


def data(store, **change) -> NBodyData:
    settings = {"batch_size": 3, "input_frame": 1, "target_frames": (4,)} | change
    return NBodyData(NBodyDataSettings(store=str(store), **settings), seed=0, steps=12)


def batches(source, start=0):
    class Trainer:
        global_step, global_rank, world_size = start, 0, 1

    source.trainer = Trainer
    return list(source.train_dataloader())


def test_a_run_measures_errors_and_equivariance(store):
    metrics = pd.read_parquet(run(configuration(store)) / "metrics.parquet")
    errors = metrics[metrics.metric.isin(["mse", "mse_selected"]) & (metrics.split != "train")]
    table = errors.pivot(index="step", columns=["split", "metric"], values="value")
    assert list(table.index) == [5, 10, 12]
    best = table["validation", "mse"].idxmin()
    assert table["test", "mse_selected"][12] == table["test", "mse"][best]
    val = metrics[(metrics.split == "val") & (metrics.weights == "raw")].pivot(
        index="step", columns="metric", values="value"
    )
    assert list(val.index) == [0, 6, 12]
    assert (val.percent < 1e-4).all()  # the network is exactly equivariant
    assert {"loss", "mse", "method_loss"} <= set(metrics[metrics.split == "train"].metric)


@pytest.mark.parametrize(
    "method",
    [
        RECM,
        {"class_path": "twirl.relaxation.ES", "init_args": {"epochs": 6, "bias": False}},
        {"class_path": "twirl.relaxation.ACE", "init_args": {"g": "twirl.relaxation.ace.published_mlp"}},
    ],
    ids=["recm", "es", "ace"],
)
def test_a_relaxed_run_logs_its_alphas_and_every_evaluation_variant(store, method):
    metrics = pd.read_parquet(run(relaxed(store, method)) / "metrics.parquet")
    rows = metrics[metrics.split == "relaxation"]
    assert sorted(rows.step.unique()) == [0, 4, 8, 12]
    places = {f"layers.{i}.update_layer_{k}" for i in range(2) for k in (1, 2)}
    assert set(rows.place) == places | {""}
    errors = metrics[(metrics.split == "test") & (metrics.metric == "mse")]
    assert set(errors.readout) == {"own", "kept"} | ({"projected"} if method == RECM else set())


@pytest.mark.parametrize("method", [{"class_path": "twirl.relaxation.Method"}, RECM], ids=["plain", "recm"])
def test_a_repeated_and_an_interrupted_run_have_identical_metrics(store, tmp_path, monkeypatch, method):
    whole = (run(relaxed(store, method)) / "metrics.parquet").read_bytes()
    again = tmp_path / "again"
    again.mkdir()
    monkeypatch.chdir(again)
    write_particles(again / "particles.h5")
    config = relaxed(Path("particles.h5"), method)
    stop_after(5, run, config)
    assert (run(config) / "metrics.parquet").read_bytes() == whole


def test_the_monitor_splits_the_mean_squared_error(store):
    torch.manual_seed(0)
    task = SEGNNTask(SEGNNTaskSettings(network=SEGNNConfig(**NETWORK))).eval()
    batch = data(store).monitor_dataloader()[0]
    problem = task.twirl_problems(batch)["raw"]
    found = problem.decompose(rotation_set("iid", 4, torch.Generator().manual_seed(0)))
    expected = (task.network(batch.x, batch.v, batch.charges) - batch.y).square().mean()
    assert found.naive.L_total == pytest.approx(expected.item(), rel=1e-4)
    task.network.backbone.forward = lambda x, v, charges: (
        x * torch.tensor([1.0, 2.0, 3.0])
    )  # sees orientation
    assert task.twirl_problems(batch)["raw"].decompose(rotation_set("iid", 4)).naive.percent > 1


def test_batches_are_what_the_store_holds(store):
    source = data(store, target_frames=(3, 4))
    batch = batches(source)[0]
    raw = source.store.read(batch.trajectories.numpy(), [1, 3, 4])
    assert torch.equal(batch.x, torch.from_numpy(raw.position[:, 0]))
    assert torch.equal(batch.v, torch.from_numpy(raw.velocity[:, 0]))
    assert torch.equal(batch.targets, torch.from_numpy(raw.position[:, 1:]))
    assert torch.equal(batch.y, batch.targets[:, 1])
    held_out = list(source.held_out_batches("test"))
    assert [len(b.x) for b in held_out] == [3, 3]
    assert torch.cat([b.trajectories for b in held_out]).tolist() == list(source.store.split_indices("test"))


def test_rotated_batches_turn_as_one_and_are_functions_of_the_step(store):
    plain, turned = batches(data(store)), batches(data(store, rotate=True))
    later = batches(data(store, rotate=True), start=2)
    assert torch.equal(turned[3].x, later[1].x)
    for a, b in zip(plain, turned, strict=True):
        R = torch.linalg.lstsq(a.x.flatten(0, 1).double(), b.x.flatten(0, 1).double()).solution
        torch.testing.assert_close(R @ R.T, torch.eye(3).double(), rtol=0, atol=1e-4)
        for before, after in ((a.v, b.v), (a.y, b.y)):
            torch.testing.assert_close(before.double() @ R, after.double(), rtol=0, atol=1e-4)
    assert not torch.equal(turned[0].x, plain[0].x)


def test_the_monitor_sees_the_head_of_the_validation_split(store):
    for asked, shown in ((3, 3), (5, 4)):
        parts = data(store, monitor_trajectories=asked).monitor_dataloader()
        trajectories = torch.cat([part.trajectories for part in parts]).tolist()
        assert trajectories == data(store).store.split_indices("validation")[:shown].tolist()


def test_a_network_for_other_numbers_of_particles_is_refused(store):
    config = configuration(store)
    config["model"]["init_args"]["network"] = NETWORK | {"particles": 4}
    with pytest.raises(SystemExit, match=r"is built for 4 particles, but store particles\.h5 has 5"):
        run(config)


def test_a_frame_that_is_not_stored_is_refused(store):
    config = configuration(store)
    config["data"]["init_args"]["target_frames"] = [40]
    with pytest.raises(SystemExit, match="has the frames 1, 2, 3, 4 and not 40"):
        run(config)


@pytest.mark.slow
def test_a_tiny_network_predicts_better_than_a_linear_map(tmp_path, monkeypatch):
    """Spec segnn.md section 9: 180 steps; bounds from eleven seeds of another implementation."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    store = write_particles(Path("p.h5"), train=300, validation=200, test=200, frames=[30, 40])
    config = configuration(store, steps=180)
    settings = config["model"]["init_args"]
    settings["network"] = {"hidden_features": 16, "layers": 2}
    settings["optimizer"]["lr"] = 2e-3
    settings["evaluate_every"] = 60
    config["data"]["init_args"] |= {"batch_size": 50, "input_frame": 30, "target_frames": [40]}
    metrics = pd.read_parquet(run(config) / "metrics.parquet")
    error = metrics[(metrics.split == "test") & (metrics.metric == "mse")].set_index("step").value
    assert 0.05 < error[60] < 0.066
    assert 0.036 < error[180] < 0.05  # a linear map, fitted: 0.072
