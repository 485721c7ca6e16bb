"""VoxMol's runs: data, exact repetition and resumption, the rows and latents they leave, and options of speed."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from models.train import main
from models.voxmol.data import GeomDrugsData
from models.voxmol.voxels import PADDING
from tests.models.configuration import write_run
from tests.models.densities import configuration, molecules, task, write_molecules


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_molecules(tmp_path_factory.mktemp("molecules") / "x.h5")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    return tmp_path


def run(config: dict, *overrides: str) -> Path:
    path = write_run(Path(), config)
    main(["--config", str(path), *overrides])
    return path.parent


def data(store, **options) -> GeomDrugsData:
    return GeomDrugsData(str(store), **{"batch_size": 4, "seed": 0, "steps": 10, "elements": 3} | options)


def test_batches_hold_the_stores_atoms_and_leave_other_elements_out(store):
    found = data(store)
    assert found.examples == 24  # the one with silicon is not among them
    assert found.provenance()["conformers_of_other_elements"] == 1
    assert data(store, conformers_per_molecule=1).examples == 12
    assert data(store, train_fraction=0.5).examples == 12
    small, large = (set(data(store, train_fraction=f).train_conformers) for f in (0.25, 0.5))
    assert small < large
    (batch,) = found.validation_batches(3, 8)
    raw = found.store.read(batch.conformers.numpy())
    real = batch.channels != PADDING
    assert real.sum(1).tolist() == raw.counts.tolist()
    assert torch.equal(batch.coordinates[real], torch.from_numpy(raw.positions))
    assert {6: 0, 1: 1, 8: 2}[int(raw.atomic_numbers[0])] == int(batch.channels[0, 0])
    with pytest.raises(ValueError, match="no molecule of the train split has only elements with a channel"):
        data(store, elements=1)


def test_an_interrupted_run_has_the_metrics_of_a_whole_one(store):
    whole = run(configuration(store, "whole"))
    with pytest.raises(SystemExit, match="run it again to resume"):
        run(configuration(store, "stopped"), "--trainer.max_time=00:00:00:00")
    assert not Path("results/test/stopped/seed0/latents.parquet").exists()
    stopped = run(configuration(store, "stopped"))
    assert (whole / "metrics.parquet").read_bytes() == (stopped / "metrics.parquet").read_bytes()
    assert (whole / "latents.parquet").read_bytes() == (stopped / "latents.parquet").read_bytes()

    metrics = pd.read_parquet(whole / "metrics.parquet")
    percent = metrics[(metrics.split == "val") & (metrics.metric == "percent")]
    assert set(percent.series) == {"raw", "ema", "raw 24", "ema 24"}
    assert sorted(percent.step.unique()) == [0, 5, 10]
    start = percent[percent.step == 0].set_index("series").value
    assert start["raw"] == start["ema"]
    zero = metrics[(metrics.series == "zero") & (metrics.metric == "L_total")]
    assert len(zero) == 1
    assert 0 < zero.value.iloc[0] < 0.1
    assert set(metrics[metrics.split == "train"].metric) == {"loss", "mse", "iou", "cropped"}
    latents = pd.read_parquet(whole / "latents.parquet")
    assert list(latents.columns) == ["sample", "axis", "angle", "kind", "cosine"]
    assert sorted(latents["sample"].unique()) == [0, 1, 2, 3]


def curve(backend: str | None = None, dtype: torch.dtype | None = None, **network) -> torch.Tensor:
    """Training losses of twenty steps on the same four molecules."""
    model, batch, losses = task(**network), molecules(4), []
    model.backend = backend
    model.on_fit_start()
    optimizer = model.configure_optimizers()
    for step in range(20):
        torch.manual_seed(step)
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            loss = model.step(batch, model.draw(batch, 0, "view", step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses)


def test_the_error_falls_and_options_of_speed_leave_the_curve_where_it_was():
    plain = curve(channels_last=False)
    assert plain[-5:].mean() < 0.3 * plain[0]
    options = {
        "channels last": (curve(), 1e-3),
        "recomputed": (curve(recompute=True), 1e-3),
        "compiled": (curve("eager"), 1e-3),
        "bfloat16": (curve(dtype=torch.bfloat16), 0.1),
    }
    for name, (losses, tolerance) in options.items():
        assert (losses / plain - 1).abs().max() < tolerance, name
