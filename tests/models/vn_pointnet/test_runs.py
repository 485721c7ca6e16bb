"""VN-PointNet's runs: the recipe's schedule and metrics, exact repetition and resumption, what is measured."""

import math
from functools import partial
from itertools import chain
from pathlib import Path

import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from data.modelnet40.settings import ModelnetDataSettings, ViewSettings
from models.datasets.modelnet40 import ModelnetData
from models.train import main
from models.training.optimizer import multiplier
from models.training.sampling import StepBatches
from models.training.settings import Schedule
from models.vn_pointnet.accuracy import accuracies
from models.vn_pointnet.settings import VNPointNetConfig, VNPointNetTaskSettings
from models.vn_pointnet.task import VNPointNetTask
from tests.metrics_rows import named
from tests.models.training.interruption import stop_after
from tests.models.training.run_files import write_run
from tests.models.vn_pointnet.clouds import NETWORK, configuration, write_clouds
from twirl.metric import EquivarianceError
from twirl.rotations import rotation_set


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    return write_clouds(Path("clouds.h5"))


def run(config: dict, *overrides: str) -> Path:
    path = write_run(Path(), config)
    main(["--config", str(path), *overrides])
    return path.parent


def data(store, **change) -> ModelnetData:
    settings = ModelnetDataSettings(store=str(store), **{"batch_size": 5, "points": 20} | change)
    return ModelnetData(settings, seed=0, steps=12)


def task() -> VNPointNetTask:
    torch.manual_seed(0)
    return VNPointNetTask(VNPointNetTaskSettings(network=VNPointNetConfig(**NETWORK))).eval()


def test_the_learning_rate_follows_the_recipe():
    schedule = partial(multiplier, VNPointNetTaskSettings().schedule)
    for epoch in (0, 18, 19, 38, 39, 199):
        for step in (410 * epoch, 410 * epoch + 409):
            assert schedule(step) == pytest.approx(0.7 ** ((epoch + 1) // 20))
    assert 1e-3 * schedule(81_999) == pytest.approx(2.82e-5, rel=2e-3)
    cosine = partial(multiplier, Schedule(kind="cosine", total_steps=100))
    assert [cosine(0), cosine(50), cosine(100)] == pytest.approx([1, 0.5, 0])


def test_accuracies_are_those_of_the_definitions():
    correct = torch.tensor([1, 1, 0, 1, 0], dtype=torch.bool)
    label = torch.tensor([0, 0, 2, 2, 0])
    assert accuracies(correct, label, batch_size=2) == pytest.approx(
        {
            "instance_accuracy": 3 / 5,
            "class_accuracy": (2 / 3 + 1 / 2) / 2,
            "instance_accuracy_upstream": (1 + 1 / 2 + 0) / 3,
            "class_accuracy_upstream": ((1 + 0) / 2 + 1 / 2) / 2,
        }
    )


METHODS = {
    "Method": {},
    "ES": {"epochs": 8, "init": "zero"},
    "RPP": {},
    "RECM": {"a": 1.0, "terms": ["W", "b", "noise"], "max_samples": 8},
    "ACE": {"constraint": "resilient", "slack_lr": 0.01},
}


def relaxed(store, method: str) -> dict:
    config = configuration(store)
    relaxation = {"class_path": f"twirl.relaxation.{method}", "init_args": METHODS[method]}
    config["model"]["init_args"] |= {"relaxation": relaxation, "alphas_every": 5}
    return config


@pytest.mark.parametrize("method", METHODS)
def test_a_repeated_and_an_interrupted_run_have_identical_metrics(method, store, tmp_path, monkeypatch):
    whole = (run(relaxed(store, method)) / "metrics.parquet").read_bytes()
    again = tmp_path / "again"
    again.mkdir()
    monkeypatch.chdir(again)
    write_clouds(again / "clouds.h5")
    config = relaxed(Path("clouds.h5"), method)
    stop_after(5, run, config)
    resumed = run(config) / "metrics.parquet"
    assert resumed.read_bytes() == whole
    measures_every_variant_and_logs_its_alphas(method, pd.read_parquet(resumed))


READOUTS = {
    "Method": {"raw"},
    "ES": {"raw", "kept"},
    "RPP": {"raw", "projected"},
    "RECM": {"raw", "kept", "projected"},
    "ACE": {"raw", "kept"},
}


def measures_every_variant_and_logs_its_alphas(method: str, metrics: pd.DataFrame) -> None:
    metrics = named(metrics)
    assert set(metrics[metrics.split == "test"].series) == READOUTS[method]
    val = metrics[(metrics.split == "val") & (metrics.metric == "percent")]
    error = val[val.step == 12].set_index("series").value
    assert set(error.index) == READOUTS[method]
    rows = metrics[metrics.split == "relaxation"]
    assert sorted(rows.step.unique()) == [0, 5, 10, 12]
    network = rows[(rows.place == "") & (rows.step == 12)].set_index("metric").value
    alphas = rows[rows.metric.str.startswith("alpha_") & (rows.step == 12)]
    if method == "Method":
        assert alphas.empty
        assert network.active == network.plain
        assert network.terms == network.method == 0
        return
    assert alphas.place.nunique() == 22
    terms = {"RECM": {"alpha_W", "alpha_b", "alpha_noise"}}.get(method, {"alpha_W", "alpha_b"})
    assert set(alphas.metric) == terms
    assert network.terms > network.plain / 2
    # What the projected readout leaves is exactly invariant; what is kept of trained terms is not.
    projected = "raw" if method in ("ES", "ACE") else "projected"
    kept = "raw" if method == "RPP" else "kept"
    assert error[projected] < 1e-5
    assert error[kept] > 5 * error[projected]  # 12 steps on tiny clouds: rounding grows a thousandfold a step
    assert (network.active > network.plain) == (method in ("RPP", "RECM"))


def test_relaxing_draws_from_the_seed_of_the_run_and_leaves_the_initial_weights_alone(store):
    def trained(method: str, seed: int) -> pd.DataFrame:
        config = relaxed(store, method)
        config["run"] |= {"name": f"{method.lower()}-{seed}", "seed": seed}
        return pd.read_parquet(run(config) / "metrics.parquet")

    initial = "split == 'val' and step == 0 and metric == 'L_total' and weights == 'raw'"
    first = {
        (method, seed): trained(method, seed).query(initial)
        for method, seed in [("Method", 0), ("ES", 0), ("RECM", 0), ("RECM", 1)]
    }
    plain = first["Method", 0].set_index("readout").value["own"]
    assert first["ES", 0].set_index("readout").value["own"] == plain
    noisy = first["RECM", 0].set_index("readout").value["own"]
    assert noisy not in (plain, first["RECM", 1].set_index("readout").value["own"])


def test_a_run_measures_losses_accuracy_and_equivariance(store):
    metrics = pd.read_parquet(run(configuration(store)) / "metrics.parquet")
    test = metrics[metrics.split == "test"]
    assert sorted(test.step.unique()) == [5, 10, 12]
    assert set(test.metric) == set(accuracies(torch.ones(1), torch.zeros(1, dtype=torch.long), 1))
    assert test.value.between(0, 1).all()
    val = metrics[(metrics.split == "val") & (metrics.weights == "raw")].pivot(
        index="step", columns="metric", values="value"
    )
    assert list(val.index) == [0, 6, 12]
    assert (val.percent < 0.01).all()  # the network is exactly invariant
    assert (val.L_mean == val.L_mean_naive).all()
    zero = metrics[(metrics.split == "val") & (metrics.weights == "zero")]
    assert zero.value.tolist() == pytest.approx([math.log(3)], rel=1e-6)
    assert {"loss", "accuracy"} <= set(metrics[metrics.split == "train"].metric)


def test_the_monitor_splits_cross_entropy_as_eq_9(store):
    model = task()
    batch = data(store).monitor_dataloader()[0]
    model.network.forward = lambda x: x.mean(1) * torch.arange(1, 4)  # sees orientation
    problem = model.twirl_problems(batch)["raw"]
    rotations = rotation_set("iid", 4, torch.Generator().manual_seed(0))
    Z = problem.twist(rotations)
    metric = EquivarianceError(4, problem.loss)
    metric.update(Z[:, :1], batch.label[:1])
    metric.update(Z[:, 1:], batch.label[1:])
    found = metric.compute()
    total = torch.stack([F.cross_entropy(z, batch.label) for z in Z]).mean()
    assert found["L_total"] == pytest.approx(total.item(), rel=1e-5)
    assert found["L_mean"] == pytest.approx(F.cross_entropy(Z.mean(0), batch.label).item(), rel=1e-5)
    assert found["percent"] == pytest.approx(100 * (1 - found["L_mean"] / found["L_total"]), rel=1e-6)
    assert found["percent"] == pytest.approx(problem.decompose(rotations).naive.percent, rel=1e-6)
    assert math.isnan(found["percent_se"])


def test_views_are_functions_of_the_step_and_aligned_ones_keep_their_pose(store):
    class Trainer:
        global_step, global_rank, world_size = 0, 0, 1

    batches = {}
    for start in (0, 2):
        source = data(store)
        Trainer.global_step = start
        source.trainer = Trainer
        batches[start] = list(source.train_dataloader())
    assert torch.equal(batches[0][3].points, batches[2][1].points)
    assert not torch.equal(batches[0][0].points, batches[0][4].points)
    aligned = data(store, view=ViewSettings(rotation="none"))
    batch = next(aligned.test_batches(0))
    stored = aligned.store.read(batch.clouds.numpy(), 20)
    assert torch.equal(batch.points, torch.from_numpy(stored.points))
    rotated = list(data(store).test_batches(0))
    assert sum(len(b.label) for b in rotated) == 15
    assert not torch.equal(rotated[0].points, next(data(store).test_batches(1)).points)


def test_what_does_not_fill_a_batch_waits_for_the_next_epoch():
    batches = StepBatches(21, 5, 9, seed=0, drop_last=True)
    assert (batches.steps_per_epoch, batches.samples_seen(9)) == (4, 45)
    shown = list(batches)
    assert [len(rows) for rows in shown] == [5] * 9
    assert len(set(chain(*shown[:4]))) == 20
    assert set(chain(*shown[:8])) == set(range(21))
    with pytest.raises(ValueError, match="3 training examples do not fill one batch of 5"):
        StepBatches(3, 5, 9, seed=0, drop_last=True)


def test_a_network_for_other_classes_is_refused(store):
    config = configuration(store)
    config["model"]["init_args"]["network"] = NETWORK | {"classes": 4}
    with pytest.raises(SystemExit, match=r"built for 4 classes, but store clouds.h5 has 3"):
        run(config)


def test_too_few_stored_points_are_refused(store):
    config = configuration(store)
    config["data"]["init_args"]["points"] = 300
    with pytest.raises(SystemExit, match="24 points per cloud, fewer than the 300"):
        run(config)
