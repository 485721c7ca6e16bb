"""EGNO's runs: batches, errors and their selection, exact repetition and resumption, what is measured."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from data.errors import DataError
from data.mocap.settings import MocapDataSettings
from models.datasets.mocap import MocapData
from models.egno.settings import EGNOConfig, EGNOTaskSettings
from models.egno.task import EGNOTask
from models.train import main
from models.training.evaluation import HeldOutErrors
from tests.metrics_rows import named
from tests.models.egno.motions import NETWORK, configuration, write_motions
from tests.models.training.interruption import stop_after
from tests.models.training.run_files import write_run
from twirl.groups import SO2
from twirl.rotations import rotation_set


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    return write_motions(Path("motions.h5"))


def run(config: dict, *overrides: str) -> Path:
    path = write_run(Path(), config)
    main(["--config", str(path), *overrides])
    return path.parent


def data(store, **change) -> MocapData:
    settings = MocapDataSettings(store=str(store), **{"motion": "walk", "batch_size": 4} | change)
    return MocapData(settings, seed=0, steps=10)


def task() -> EGNOTask:
    torch.manual_seed(0)
    return EGNOTask(EGNOTaskSettings(network=EGNOConfig(**NETWORK))).eval()


# ---- batches


def test_heights_are_in_units_of_the_largest_in_the_batch(store):
    batch = next(data(store).held_out_batches("test"))
    torch.testing.assert_close(batch.height, batch.x[..., 1] / batch.x[..., 1].max())


def test_evaluation_shows_every_sample_once_in_order(store):
    source = data(store)
    for split in ("validation", "test"):
        shown = torch.cat([batch.samples for batch in source.held_out_batches(split)])
        assert shown.tolist() == source.store.indices("walk", split).tolist()
    sizes = [len(batch.samples) for batch in source.held_out_batches("test")]
    assert sizes == [4, 4, 2]


def test_training_batches_are_functions_of_the_step(store):
    def batches(start):
        source = data(store)
        source.trainer = SimpleNamespace(global_step=start, global_rank=0, world_size=1)
        return [batch.samples.tolist() for batch in source.train_dataloader()]

    assert batches(0)[4:] == batches(4)
    assert data(store).steps_per_epoch == 3
    assert data(store).samples_seen(7) == 28


def test_the_monitor_sees_the_whole_validation_split_in_steps(store):
    source = data(store, monitor_samples=4)
    assert len(source.monitor_samples) == 4
    assert {source.monitor_samples[0], source.monitor_samples[-1]} == {
        source.validation_samples[0],
        source.validation_samples[-1],
    }
    assert sum(len(b.samples) for b in source.monitor_dataloader()) == 4
    assert "samples [" in source.describe(source.monitor_dataloader()[0])
    assert len(data(store, monitor_samples=999).monitor_samples) == 10


def test_a_motion_that_the_store_lacks_is_refused(store):
    with pytest.raises(DataError, match="has no motion 'swim': it has run, walk"):
        data(store).store.indices("swim", "train")


# ---- runs


def test_a_repeated_and_an_interrupted_run_have_identical_metrics(store, tmp_path, monkeypatch):
    recm = {"class_path": "twirl.relaxation.RECM", "init_args": {"a": 1.0}}
    whole = (run(configuration(store, **recm)) / "metrics.parquet").read_bytes()
    again = tmp_path / "again"
    again.mkdir()
    monkeypatch.chdir(again)
    config = configuration(write_motions(Path("motions.h5")), **recm)
    stop_after(5, run, config)
    assert (run(config) / "metrics.parquet").read_bytes() == whole


def test_a_run_measures_errors_equivariance_and_alphas(store):
    ace = {"class_path": "twirl.relaxation.ACE", "init_args": {"dual_lr": 2e-4, "norm_bound": "spectral_cap"}}
    folder = run(configuration(store, **ace))
    metrics = named(pd.read_parquet(folder / "metrics.parquet"))
    test = metrics[metrics.split == "test"]
    assert sorted(test.step.unique()) == [4, 8, 10]
    assert set(test.series) == {"raw", "kept"}
    assert set(test.metric) == {"mse", "mse_selected", "selected_step"}
    val = metrics[metrics.split == "val"].pivot_table(
        index="step", columns=["series", "metric"], values="value"
    )
    assert (val["raw"]["percent"].dropna() < 1e-3).all()
    assert (val["raw-vertical"]["percent"].dropna() < 1e-3).all()
    assert (val["kept"]["percent"].dropna() > 1e-3).all()
    alphas = metrics[(metrics.split == "relaxation") & (metrics.metric == "alpha_W")]
    assert alphas[alphas.step == 0].value.tolist() == [1.0] * 9
    assert {"loss", "mse", "method_loss"} <= set(metrics[metrics.split == "train"].metric)
    summary = yaml.safe_load((folder / "summary.json").read_text())
    assert summary["data"]["dataset"] == "generated walkers and runners"
    assert summary["data"]["caveat"] == ""


def test_es_has_epochs_and_projects(store):
    es = {"class_path": "twirl.relaxation.ES", "init_args": {"epochs": 4}}
    metrics = pd.read_parquet(run(configuration(store, **es)) / "metrics.parquet")
    alphas = metrics[(metrics.place == "embedding") & (metrics.metric == "alpha_W")]
    assert alphas.set_index("step").value.to_dict() == {0: 0.0, 5: 0.5, 10: 0.5}


def test_errors_are_those_of_the_last_frame_over_whole_splits(store):
    model, source = task(), data(store)
    trainer = SimpleNamespace(datamodule=source, global_step=0)
    found = HeldOutErrors(1).measure(trainer, model)
    reading = model.readings()["raw"]
    with torch.no_grad():
        errors = [
            (model.predict(reading, batch.points(), batch.index)[:, -1] - batch.targets[:, -1]).square()
            for batch in source.held_out_batches("validation")
        ]
    assert found["validation/raw/mse"] == pytest.approx(torch.cat(errors).double().mean().item(), rel=1e-6)


def test_the_least_validation_error_chooses_until_patience_ends():
    chosen = HeldOutErrors(1, patience=2)
    steps = []
    for step, (validation, test) in enumerate([(5, 50), (4, 41), (6, 10), (4.5, 12), (1, 0)]):
        chosen.last_step = step
        steps.append(dict(chosen.choose("raw", validation, test)))
    assert [s["test"] for s in steps] == [50, 41, 41, 41, 41]
    again = HeldOutErrors(1, patience=None)
    again.load_state_dict(chosen.state_dict())
    again.last_step = 5
    assert again.choose("raw", 1, 0)["step"] == 5


def test_what_is_twirled_keeps_heights_and_the_vertical_group_turns_about_y(store):
    model = task()
    batch = data(store).monitor_dataloader()[0]
    problems = model.twirl_problems(batch)
    assert set(problems) == {"raw", "raw/group=vertical"}
    vertical = problems["raw/group=vertical"]
    assert isinstance(vertical.group, SO2)
    assert vertical.group.axis == "y"
    rotations = rotation_set("iid", 5, torch.Generator().manual_seed(0), group=vertical.group)
    turned = vertical.acts_on_x.copies(rotations.elements, vertical.x)
    n = len(batch.x)
    np.testing.assert_allclose(turned.x[:n, :, 1], batch.x[..., 1], atol=1e-5)
    for problem in problems.values():
        assert problem.decompose(rotations).naive.percent < 1e-4


def test_another_number_of_frames_than_the_network_predicts_is_refused(store):
    config = configuration(store)
    config["data"]["init_args"]["frames"] = 3
    with pytest.raises(SystemExit, match="the network predicts 5 frames, but samples have 3"):
        run(config)
