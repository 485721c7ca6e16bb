"""Proteína's runs: exact repetition and resumption, and the rows they leave."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import LambdaCallback
from torch.nn.utils import parameters_to_vector

from models.proteina.task import ProteinaTask
from models.train import main
from tests.models.proteina.chain_runs import configuration, write_chains
from tests.models.proteina.chains import TRIANGLES
from tests.models.training.interruption import stop_after
from tests.models.training.run_files import write_run


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    write_chains()
    return tmp_path


def run(config: dict, *overrides: str) -> Path:
    path = write_run(Path(), config)
    main(["--config", str(path), *overrides])
    return path.parent


@pytest.mark.parametrize("network", [{}, TRIANGLES])
def test_an_interrupted_run_has_the_metrics_of_a_whole_one(network):
    whole = run(configuration("whole", **network))
    stop_after(4, run, configuration("stopped", **network))
    stopped = run(configuration("stopped", **network))
    assert (whole / "metrics.parquet").read_bytes() == (stopped / "metrics.parquet").read_bytes()


def test_weights_are_averaged_once_in_every_step_and_the_average_survives_a_resume(monkeypatch):
    seen = []

    def remember(trainer, task, *_):
        weights = {series: parameters_to_vector(n.parameters()) for series, n in task.networks.items()}
        seen.append((trainer.global_step, weights["raw"].detach(), weights["ema"]))

    watcher = LambdaCallback(on_train_start=remember, on_train_batch_end=remember)
    monkeypatch.setattr(ProteinaTask, "configure_callbacks", lambda task: [watcher])
    config = configuration("watched", steps=4)
    stop_after(2, run, config)
    run(config)
    assert [step for step, *_ in seen] == [0, 1, 2, 2, 3, 4]
    (at, first, expected), *rest = seen
    assert torch.equal(expected, first)
    for step, raw, mean in rest:
        expected = 0.9 * expected + 0.1 * raw if step > at else expected
        torch.testing.assert_close(mean, expected, rtol=1e-5, atol=1e-7)
        at = step
    assert (expected - first).abs().max() > 1e-4
    assert (expected - raw).abs().max() > 1e-4


def test_a_run_measures_equivariance_at_fixed_times():
    metrics = pd.read_parquet(run(configuration()) / "metrics.parquet")
    percent = metrics[(metrics.split == "val") & (metrics.metric == "percent")]
    assert set(percent.weights) == {"raw", "ema"}
    assert sorted(percent.t.unique()) == [0.0, 0.8]
    assert sorted(percent.step.unique()) == [0, 5, 10]
    assert (percent.value > 0).all()
    start = percent[percent.step == 0].set_index(["weights", "t"]).value
    assert start["raw", 0.8] == start["ema", 0.8]
    assert set(metrics[metrics.split == "train"].metric) == {"loss", "flow", "distogram"}


def test_the_error_of_the_velocity_falls():
    metrics = pd.read_parquet(run(configuration(steps=60)) / "metrics.parquet")
    error = metrics[(metrics.weights == "raw") & (metrics.t == 0.0) & (metrics.metric == "L_total")]
    error = error.set_index("step").value
    assert error[60] < 0.9 * error[0]


GRADIENTS = {
    "class_path": "twirl.gradient_monitor.GradientMonitor",
    "init_args": {"batches": 1, "series": ["raw", "ema"]},
}


def test_gradients_are_measured_when_asked_for_with_the_monitors_rotations_and_change_nothing_else():
    with_them, without = (
        configuration("measured", recompute="pairs", **TRIANGLES),
        configuration("plain", **TRIANGLES),
    )
    with_them["callbacks"] = [GRADIENTS]
    folder = run(with_them)
    found, plain = (pd.read_parquet(path / "metrics.parquet") for path in (folder, run(without)))
    added = found.metric.str.startswith("grad_")
    pd.testing.assert_frame_equal(found[~added].reset_index(drop=True), plain, rtol=1e-4, atol=1e-7)
    norms = found[found.metric == "grad_L_equiv"].set_index(["step", "weights", "t"]).value
    assert set(norms.index) == {(s, w, t) for s in (0, 5, 10) for w in ("raw", "ema") for t in (0.0, 0.8)}
    assert norms[0, "raw", 0.8] == pytest.approx(norms[0, "ema", 0.8])
    assert (norms > 0).all()
