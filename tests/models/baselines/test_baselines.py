"""Baselines: their symmetries, sizes and training, on particles and on motions."""

from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from models.baselines.network import build
from models.baselines.settings import BaselineConfig
from models.datasets.points import Points, complete_graph
from models.train import main
from tests.models.egno import motions
from tests.models.segnn import particles
from tests.models.training.interruption import stop_after
from tests.models.training.run_files import write_run
from twirl.groups import SO3

KINDS = ("linear", "rf", "gnn", "egnn")
PUBLISHED = {"linear": 21, "rf": 2_052, "gnn": 104_387, "egnn": 134_020}


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


def points(n: int = 5) -> Points:
    generator = torch.Generator().manual_seed(1)
    x, v = torch.randn(2, 3, n, 3, generator=generator, dtype=torch.float64)
    edges = torch.randint(0, 2, (3, n * (n - 1), 1), generator=generator).double() * 2 - 1
    return Points(x, v, x.new_empty(3, n, 0), edges)


def network(kind: str):
    torch.manual_seed(0)
    built = build(BaselineConfig(kind=kind, layers=2, hidden=8)).double()
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.2)  # so that points do push each other, and not without bounds
    return built


def configuration(data: str, kind: str, steps: int) -> dict:
    config = (
        particles.configuration(particles.write_particles(Path("p.h5")), steps=steps)
        if data == "nbody"
        else motions.configuration(motions.write_motions(Path("m.h5")), steps=steps)
    )
    config["run"]["system"] = "baselines"
    sizes = {"layers": 2, "hidden": 8, "node_features": 1 if data == "nbody" else 2}
    config["model"] = {
        "class_path": "models.baselines.task.BaselineTask",
        "init_args": {
            "network": {"kind": kind, **sizes},
            # A field of forces starts close to the answer on particles: a large step loses more than it gains.
            "optimizer": {"lr": 0.001 if (data, kind) == ("nbody", "rf") else 0.01, "weight_decay": 0.0},
            "evaluate_every": 5,
        },
    }
    if data == "mocap":
        config["data"]["init_args"]["frames"] = 1
    return config


def run(config: dict, *overrides: str) -> Path:
    path = write_run(Path(), config)
    main(["--config", str(path), *overrides])
    return path.parent


@pytest.mark.parametrize("kind", KINDS)
def test_published_sizes(kind):
    assert sum(p.numel() for p in build(BaselineConfig(kind=kind)).parameters()) == PUBLISHED[kind]


@pytest.mark.parametrize("kind", ["rf", "egnn"])
def test_what_turns_mirrors_and_moves_the_points_does_so_to_the_answer(kind):
    f, p, index = network(kind), points(), complete_graph(5, torch.device("cpu"))
    R = -SO3().sample(1, torch.Generator().manual_seed(2))[0].double()
    t = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    moved = Points(p.x @ R.T + t, p.v @ R.T, p.nodes, p.edges)
    torch.testing.assert_close(f(moved, index), f(p, index) @ R.T + t, rtol=0, atol=1e-10)
    assert not torch.allclose(f(p, index), p.x, atol=1e-2)


@pytest.mark.parametrize("kind", ["linear", "gnn"])
def test_linear_and_gnn_see_orientation(kind):
    f, p, index = network(kind), points(), complete_graph(5, torch.device("cpu"))
    turned = Points(-p.x, -p.v, p.nodes, p.edges)
    assert not torch.allclose(f(turned, index), -f(p, index), atol=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_points_may_be_numbered_anew(kind):
    f, p, index = network(kind), points(), complete_graph(5, torch.device("cpu"))
    order = torch.tensor([3, 0, 4, 1, 2])
    receiver, sender = order[index]  # of the new edges, in old numbers
    edges = [
        ((index[0] == i) & (index[1] == j)).nonzero().item() for i, j in zip(receiver, sender, strict=True)
    ]
    anew = Points(p.x[:, order], p.v[:, order], p.nodes[:, order], p.edges[:, edges])
    torch.testing.assert_close(f(anew, index), f(p, index)[:, order], rtol=0, atol=1e-10)


@pytest.mark.parametrize("data", ["nbody", "mocap"])
@pytest.mark.parametrize("kind", KINDS)
def test_training_lowers_the_error(data, kind):
    folder = run(configuration(data, kind, steps=30))
    metrics = pd.read_parquet(folder / "metrics.parquet")
    val = metrics[(metrics.split == "val") & (metrics.group == "") & (metrics.metric == "L_total")]
    loss = val.set_index("step").value
    assert loss.iloc[-1] < loss.iloc[0]
    assert {"mse", "mse_selected", "selected_step"} <= set(metrics[metrics.split == "test"].metric)
    percent = metrics[(metrics.split == "val") & (metrics.metric == "percent")]
    assert set(percent.group) == {""} | ({"vertical"} if data == "mocap" else set())
    assert (percent.value < 1e-3).all() == (kind in ("rf", "egnn"))
    assert yaml.safe_load((folder / "summary.json").read_text())["parameters"] > 0


def test_a_resumed_run_has_the_metrics_of_an_uninterrupted_one(tmp_path, monkeypatch):
    whole = (run(configuration("nbody", "egnn", steps=12)) / "metrics.parquet").read_bytes()
    again = tmp_path / "again"
    again.mkdir()
    monkeypatch.chdir(again)
    config = configuration("nbody", "egnn", steps=12)
    stop_after(5, run, config)
    assert (run(config) / "metrics.parquet").read_bytes() == whole
