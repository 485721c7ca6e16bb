"""PaiNN: its symmetries, its cutoff and its training on particles."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from models.datasets.points import Points, complete_graph
from models.painn.network import PaiNN
from models.painn.settings import PaiNNConfig
from models.train import main
from tests.models.segnn import particles
from tests.models.training.run_files import write_run
from twirl.groups import SO3

INDEX = complete_graph(5, torch.device("cpu"))


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


def points() -> Points:
    generator = torch.Generator().manual_seed(1)
    x, v = torch.randn(2, 3, 5, 3, generator=generator, dtype=torch.float64)
    edges = torch.randint(0, 2, (3, len(INDEX[0]), 1), generator=generator).double() * 2 - 1
    return Points(x, v, x.new_empty(3, 5, 0), edges)


def network(**change) -> PaiNN:
    torch.manual_seed(0)
    built = PaiNN(PaiNNConfig(features=8, layers=2, radial=4, **change)).double()
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # so that points do push each other
    return built


def test_what_turns_mirrors_and_moves_the_points_does_so_to_the_answer():
    f, p = network(), points()
    R = -SO3().sample(1, torch.Generator().manual_seed(2))[0].double()
    t = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    moved = Points(p.x @ R.T + t, p.v @ R.T, p.nodes, p.edges)
    torch.testing.assert_close(f(moved, INDEX), f(p, INDEX) @ R.T + t, rtol=0, atol=1e-10)
    assert not torch.allclose(f(p, INDEX), p.x, atol=1e-2)


def test_points_farther_apart_than_the_cutoff_do_not_know_of_each_other():
    f, p = network(cutoff=10.0), points()
    away = torch.zeros(3, 5, 3, dtype=torch.float64)
    away[:, 4] = 100.0
    near, far = (Points(p.x + shift * away, p.v, p.nodes, p.edges) for shift in (1, 2))
    torch.testing.assert_close(f(near, INDEX)[:, :4], f(far, INDEX)[:, :4], rtol=0, atol=1e-10)
    assert not torch.allclose(f(p, INDEX)[:, :4], f(near, INDEX)[:, :4], atol=1e-3)


def test_training_lowers_the_error_and_keeps_the_symmetry():
    config = particles.configuration(particles.write_particles(Path("p.h5")), steps=30)
    config["run"]["system"] = "painn"
    config["model"] = {
        "class_path": "models.painn.task.PaiNNTask",
        "init_args": {
            "network": {"features": 8, "layers": 2, "radial": 4},
            "optimizer": {"lr": 0.01, "weight_decay": 0.0},
            "evaluate_every": 5,
        },
    }
    path = write_run(Path(), config)
    main(["--config", str(path)])
    metrics = pd.read_parquet(path.parent / "metrics.parquet")
    val = metrics[metrics.split == "val"]
    loss = val[val.metric == "L_total"].set_index("step").value
    assert loss.iloc[-1] < loss.iloc[0]
    assert (val[val.metric == "percent"].value < 1e-3).all()
    assert "mse_selected" in set(metrics[metrics.split == "test"].metric)
