"""VoxMol's runs: data, exact repetition and resumption, the rows they leave, and options of speed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from data.geom_drugs.settings import GeomDrugsDataSettings
from models.datasets.geom_drugs import PADDING, GeomDrugsData
from models.train import main
from tests.metrics_rows import named
from tests.models.training.interruption import stop_after
from tests.models.training.run_files import write_run
from tests.models.voxmol.densities import GRID, NETWORK, configuration, molecules, task, write_molecules


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
    settings = GeomDrugsDataSettings(store=str(store), **{"batch_size": 4, "elements": 3} | options)
    return GeomDrugsData(settings, seed=0, steps=10)


def test_batches_hold_the_stores_atoms_and_leave_other_elements_out(store):
    found = data(store)
    assert found.examples == 24  # the one with silicon is not among them
    assert found.provenance()["molecules_of_other_elements"] == 1
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
    with pytest.raises(
        ValueError, match="every molecule of the train split has an element without a channel"
    ):
        data(store, elements=1)


def test_an_interrupted_run_has_the_metrics_of_a_whole_one(store):
    whole = run(configuration(store, "whole"))
    stop_after(5, run, configuration(store, "stopped"))
    stopped = run(configuration(store, "stopped"))
    assert (whole / "metrics.parquet").read_bytes() == (stopped / "metrics.parquet").read_bytes()

    metrics = named(pd.read_parquet(whole / "metrics.parquet"))
    percent = metrics[(metrics.split == "val") & (metrics.metric == "percent")]
    assert set(percent.series) == {"raw", "ema", "ema-octahedral"}
    assert sorted(percent.step.unique()) == [0, 5, 10]
    start = percent[percent.step == 0].set_index("series").value
    assert start["raw"] == start["ema"]
    zero = metrics[(metrics.series == "zero") & (metrics.metric == "L_total")]
    assert len(zero) == 1
    assert 0 < zero.value.iloc[0] < 0.1
    assert set(metrics[metrics.split == "train"].metric) == {"loss", "mse", "iou"}


def test_validation_molecules_come_in_a_seeded_order_each_once(store):
    found = data(store)
    batches = [list(found.validation_batches(4, 2, shuffle=seed)) for seed in (1, 1, 2)]
    orders = [torch.cat([batch.conformers for batch in each]).tolist() for each in batches]
    assert orders[0] == orders[1] != orders[2]
    assert {frozenset(order) for order in orders} == {frozenset(found.held_out[:4].tolist())}


def test_the_summary_counts_molecules_that_the_grid_cuts(store):
    counted = {}
    for size in (8, 20):
        grid = GRID | {"size": size}
        folder = run(configuration(store, f"grid{size}", steps=1, grid=grid))
        counted[size] = json.loads((folder / "summary.json").read_text())["cropped"]
    assert {found["validation_molecules"] for found in counted.values()} == {5}
    assert counted[20]["with_atoms_outside_the_grid"] == 0 < counted[8]["with_atoms_outside_the_grid"]


def curve(**network) -> torch.Tensor:
    """Training losses of twenty steps on the same four molecules."""
    model, batch, losses = task(**network), molecules(4), []
    optimizer = model.configure_optimizers()
    for step in range(20):
        torch.manual_seed(step)
        loss = model.step(batch, model.draw(batch, 0, "view", step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses)


def test_the_error_falls_and_what_only_rounds_differently_gives_the_same_losses():
    plain = curve(channels_last=False)
    assert plain[-5:].mean() < 0.3 * plain[0]
    for option in ({}, {"recompute": True}):
        assert (curve(**option) / plain - 1).abs().max() < 1e-3, option


TINY = NETWORK | {"multipliers": [1], "attention": [False]}


def measured(folder: Path) -> pd.DataFrame:
    """Percents and logarithms of L_mean of a run, by series (columns) and step after the first."""
    rows = named(pd.read_parquet(folder / "metrics.parquet")).query("split == 'val' and step > 0")
    rows = rows[rows["metric"].isin(("percent", "L_mean")) & rows["series"].isin(("raw", "ema"))]
    table = rows.pivot_table("value", "step", ["metric", "series"])
    table["L_mean"] = np.log(table["L_mean"])
    return table


@pytest.fixture(scope="module")
def plain_runs(store, tmp_path_factory):
    """Three seeds without options of speed: what they measured."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(tmp_path_factory.mktemp("plain"))
        return [measured(run(quick(store, seed))) for seed in range(3)]


def quick(store, seed: int = 0, **model) -> dict:
    config = configuration(store, "quick", network=TINY, **model)
    config["run"]["seed"] = seed
    return config


@pytest.mark.parametrize("option", ["bf16-mixed", pytest.param("inductor", marks=pytest.mark.slow)])
def test_options_of_speed_move_the_curves_by_less_than_another_seed_does(
    store, plain_runs, option, tmp_path, monkeypatch
):
    if option == "inductor":
        if shutil.which("g++") is None:
            pytest.skip("torch.compile's inductor needs a C++ compiler, and there is no g++")
        torch._dynamo.reset()
        # Of its own: in the common one a process that was killed may have left half a file.
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
        found = measured(run(quick(store, compile="inductor")))
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    else:
        found = measured(run(quick(store), "--trainer.precision=bf16-mixed"))
        assert (found != plain_runs[0]).any().any()
    noise = pd.concat(plain_runs, keys=range(3)).groupby(level=1).std()
    moved = (found - plain_runs[0]).abs()
    assert ((moved**2).mean() ** 0.5 < (noise**2).mean() ** 0.5).all(), (moved, noise)
