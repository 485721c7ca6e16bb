"""Synthetic run folders in the layout that training writes: curves with a plateau, a dip and a late rise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

STEPS = [0, 1, 2, 4, 7, 10, 14, 18, 24, 32, 42, 56, 75, 100, 133, 178, 237, 316, 420]
RUNS = {
    "escaip-default": {"label": "104k", "seeds": (0, 1, 2)},
    "escaip-train-50k": {"label": "512", "train_size": 512},
    "escaip-train-5k": {"label": "128", "train_size": 128},
    "escaip-train-500": {"label": "32", "train_size": 32, "batch_size": 1},
    "escaip-param-4M": {"label": "69k", "parameters": 69_002},
    "escaip-param-1M": {"label": "30k", "parameters": 30_118},
    "escaip-lr-1e-4": {"label": "3e-4", "lr": 3e-4},
    "escaip-lr-1e-3": {"label": "3e-3", "lr": 3e-3},
    "escaip-sgd": {"label": "SGD", "optimizer": "sgd"},
}


def synthetic_metrics(seed: int, noise: float = 0.15) -> pd.DataFrame:
    """Rows of metrics.parquet for a run whose percent falls from ~50, dips near step 50 and rises again."""
    rng = np.random.default_rng(seed)
    x = np.log10(np.array(STEPS) + 1.0)
    shift = 0.1 * seed
    percent = 50.0 / (1 + (10 ** (x - 1.2 - shift)) ** 4) + 1.1 / (1 + 10 ** (-6 * (x - 2.05 - shift))) + 0.05
    mean = 1.05 + 1.5 * np.exp(-np.array(STEPS) / 5.0) - 0.7 / (1 + 10 ** (-4 * (x - 2.2)))
    rows = []
    for series, scatter, boost in (("ema", 0.02, 1.0), ("raw", 4 * noise, 1.6)):
        p = np.minimum(percent * boost * np.exp(scatter * rng.normal(size=len(x))), 90.0)
        equiv = mean * p / (100 - p)
        for estimator, jitter in (("_exact", 0.0), ("", 0.08)):
            e = equiv * np.exp(jitter * rng.normal(size=len(x)))
            values = {"L_mean": mean, "L_equiv": e, "L_total": mean + e, "percent": 100 * e / (mean + e)}
            for metric, value in values.items():
                rows += [
                    (s, 8 * s, "val", series, np.nan, metric + estimator, v)
                    for s, v in zip(STEPS, value, strict=True)
                ]
            if not estimator:
                ratios = 1.3 * values["percent"]
                rows += [
                    (s, 8 * s, "val", series, np.nan, "percent_mean_of_ratios", v)
                    for s, v in zip(STEPS, ratios, strict=True)
                ]
    rows.append((0, 0, "val", "zero", np.nan, "L_total", 1.08))
    rows += [(s, 8 * s, "train", "raw", np.nan, "loss", 100.0 / (1 + s)) for s in STEPS[1:]]
    return pd.DataFrame(rows, columns=["step", "samples_seen", "split", "series", "t", "metric", "value"])


def write_run(
    root: Path, name: str, seed: int, *, tier: str = "mini", data: dict | None = None, **change
) -> Path:
    """One complete run folder under `root`; `change` as in RUNS."""
    folder = root / tier / name / f"seed{seed}"
    folder.mkdir(parents=True)
    spec = {**RUNS.get(name, {}), **change}
    config = {
        "run": {
            "tier": tier,
            "name": name,
            "system": "escaip",
            "dataset": "spice",
            "label": spec.get("label"),
            "seed": seed,
        },
        "model": {
            "class_path": "models.escaip.task.EScAIPTask",
            "init_args": {"optimizer": {"name": spec.get("optimizer", "adamw"), "lr": spec.get("lr", 1e-3)}},
        },
        "data": {
            "init_args": {"batch_size": spec.get("batch_size", 8), "train_size": spec.get("train_size")}
        },
        "trainer": {"max_steps": STEPS[-1]},
        "monitor": {"steps": STEPS, "rotations": 10},
    }
    labels = {"labels": "GFN2-xTB", "source": "NCI molecules", "generated": True, "train_conformations": 1728}
    summary = {"parameters": spec.get("parameters", 104_346), "data": data or labels}
    metrics = synthetic_metrics(seed + 7 * list(RUNS).index(name) % 3 if name in RUNS else seed)
    metrics.to_parquet(folder / "metrics.parquet", index=False)
    pd.DataFrame({"step": STEPS, "wall_s": np.array(STEPS) * 0.06}).to_parquet(
        folder / "timing.parquet", index=False
    )
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.fixture(scope="session")
def run_folders(tmp_path_factory) -> list[Path]:
    """Every run of the mini tier, with three seeds of the default."""
    root = tmp_path_factory.mktemp("results")
    return [write_run(root, name, seed) for name, spec in RUNS.items() for seed in spec.get("seeds", (0,))]


@pytest.fixture
def without_paper(monkeypatch, tmp_path) -> None:
    """A machine without the reference folder."""
    monkeypatch.delenv("REFERENCE_DIR", raising=False)
    monkeypatch.setattr("analysis.reference.paper_curves.ROOT", tmp_path / "nowhere" / "repository")


@pytest.fixture(name="write_run", scope="session")
def _write_run():
    """The builder of one run folder, for tests that need their own."""
    return write_run
