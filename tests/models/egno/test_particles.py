"""EGNO on charged particles: what it is given, its size, and a run."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from data.nbody.settings import NBodyDataSettings
from models.datasets.nbody import NBodyData
from models.datasets.points import features
from models.egno.settings import EGNOConfig, EGNOTaskSettings
from models.egno.task import EGNOTask
from models.train import main
from tests.models.segnn import particles
from tests.models.training.run_files import write_run
from twirl.rotations import rotation_set

NETWORK = {"layers": 2, "hidden": 8, "node_features": 1, "time_features": 6, "frames": 2}


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    return particles.write_particles(Path("p.h5"))


def configuration(store: Path, method: str = "Method", **options) -> dict:
    config = particles.configuration(store)
    config["run"]["system"] = "egno"
    config["model"] = {
        "class_path": "models.egno.task.EGNOTask",
        "init_args": {
            "network": NETWORK,
            "relaxation": {"class_path": f"twirl.relaxation.{method}", "init_args": options},
            "optimizer": {"lr": 0.003, "weight_decay": 1e-8},
            "evaluate_every": 6,
            "alphas_every": 6,
        },
    }
    config["data"]["init_args"]["target_frames"] = [3, 4]
    return config


def particle_data(store: Path) -> NBodyData:
    settings = NBodyDataSettings(store=str(store), batch_size=3, input_frame=1, target_frames=(3, 4))
    return NBodyData(settings, seed=0, steps=1)


def test_the_published_size():
    task = EGNOTask(EGNOTaskSettings(network=EGNOConfig(layers=4, hidden=64, node_features=1)))
    assert sum(p.numel() for p in task.network.parameters()) == 201_672


def test_particles_are_given_with_speeds_products_of_charges_and_distances(store):
    data = particle_data(store)
    batch = next(data.held_out_batches("test"))
    h, edges = features(batch.points(), batch.index)
    torch.testing.assert_close(h, batch.v.norm(dim=-1, keepdim=True))
    for e, (i, j) in enumerate((i, j) for i in range(5) for j in range(5) if i != j):
        assert batch.index[:, e].tolist() == [i, j]
        torch.testing.assert_close(edges[:, e, 0], batch.charges[:, i] * batch.charges[:, j])
        torch.testing.assert_close(edges[:, e, 1], (batch.x[:, i] - batch.x[:, j]).square().sum(-1))


def test_it_is_twirled_by_all_rotations_and_has_no_vertical(store):
    torch.manual_seed(0)
    task = EGNOTask(EGNOTaskSettings(network=EGNOConfig(**NETWORK))).eval()
    data = particle_data(store)
    batch = data.monitor_dataloader()[0]
    problems = task.twirl_problems(batch)
    assert set(problems) == {"raw"}
    found = problems["raw"].decompose(rotation_set("iid", 4, torch.Generator().manual_seed(0)))
    assert found.naive.percent < 1e-4
    expected = task.errors(task.readings()["raw"], batch).mean().item()
    assert found.naive.L_total == pytest.approx(expected, rel=1e-4)


def test_a_run_learns_all_frames_and_reports_the_last(store):
    path = write_run(Path(), configuration(store, "RECM", a=0.1))
    main(["--config", str(path)])
    metrics = pd.read_parquet(path.parent / "metrics.parquet")
    assert set(metrics[(metrics.split == "test") & (metrics.metric == "mse")].readout) == {
        "own",
        "kept",
        "projected",
    }
    train = metrics[(metrics.split == "train") & (metrics.metric.isin(["loss", "mse"]))]
    assert len(train.value.unique()) > len(train.step.unique())  # the loss is not the last frame's error
    assert {"own", "kept", "projected"} <= set(metrics[metrics.split == "val"].readout)


def test_another_number_of_frames_than_the_network_predicts_is_refused(store):
    config = configuration(store)
    config["data"]["init_args"]["target_frames"] = [4]
    path = write_run(Path(), config)
    with pytest.raises(SystemExit, match="predicts 2 frames, but samples have 1"):
        main(["--config", str(path)])
