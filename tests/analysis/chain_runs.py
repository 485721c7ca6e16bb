"""Synthetic run folders of Proteína: percents that fall at every time, dip in the raw weights and rise at late times;
gradient norms that follow them, and the record of a rotation study."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from analysis.measure.registry import table_in
from tests.metrics_rows import metrics_frame

CHAIN_RUNS = {"proteina-60m": 2, "proteina-400m": 1, "proteina-1pct": 1, "proteina-0.1pct": 1}
OF_PROTEINA = ["a_fig3", "a_fig5", "a_fig8"]
CHAIN_TIMES = (0.0, 0.4, 0.8, 0.95)
CHAIN_STEPS = np.array([0, 3, 10, 25, 50, 75, 100, 140, 200, 300, 400])
VARIANCE = 0.35


def chain_metrics(seed: int, gradients: bool) -> pd.DataFrame:
    """Rows of metrics.parquet."""
    rng, rows = np.random.default_rng([seed, 5]), []

    def log(split, series, t, metric, steps, values):
        values = np.broadcast_to(values, len(steps))
        rows.extend(
            (s, 8 * s, split, series, t, metric, float(v)) for s, v in zip(steps, values, strict=True)
        )

    x = CHAIN_STEPS
    for t in CHAIN_TIMES:
        zero = (1 - t) ** 2 * (1 + VARIANCE)
        log("val", "zero", t, "L_total", x[:1], zero)
        mean = zero * (0.3 + 0.7 / (1 + x / 60))
        for series, slow in (("raw", 10), ("ema", 40)):
            percent = 15 * np.exp(-x / slow) + 1.0 + t * (x > 100) * x / 200
            percent = percent * np.exp(0.05 * rng.normal(size=len(x)))
            equiv = mean * percent / (100 - percent)
            losses = {"L_mean": mean, "L_equiv": equiv, "L_total": mean + equiv, "percent": percent}
            for metric, value in (losses | {"percent_mean_of_ratios": 1.02 * percent}).items():
                log("val", series, t, metric, x, value)
            if gradients and series == "ema":
                ratio = 0.3 * (percent / 10) ** 0.7 * np.exp(0.1 * rng.normal(size=len(x)))
                for suffix, factor in (("", 1.1), ("_naive", 1.0)):
                    log("val", series, t, f"grad_L_mean{suffix}", x[1:-1], 2.0)
                    log("val", series, t, f"grad_L_equiv{suffix}", x[1:-1], 2.0 * factor * ratio[1:-1])
    log("train", "raw", np.nan, "loss", x[1:], 1.0)
    return metrics_frame(rows)


def write_study(path: Path, seed: int, error: float = 0.2) -> None:
    """A study of predictions mu + e_k: random e_k for the pool, with a mean near zero for spread sets."""
    rng, frames = np.random.default_rng(seed), []
    mean, D = rng.normal(size=60), 60
    for kind, size, count in (
        ("iid", 1, 40),
        ("super_fibonacci", 5, 8),
        ("super_fibonacci", 20, 8),
        ("product_quadrature", 18, 8),
    ):
        e = error * rng.normal(size=(count, size, D))
        if kind != "iid":
            e -= 0.9 * e.mean(1, keepdims=True)
        Z = mean + e
        mu = Z.mean(1)
        G, T = mu @ mu.T / D, (Z**2).sum(-1).mean(1) / D
        first, second = np.triu_indices(count)
        total = np.where(first == second, T[first], np.nan)
        columns = {"first": first, "second": second, "product": G[first, second], "total": total}
        frames.append(pd.DataFrame({"kind": kind, "rotations": size, **columns}))
    table = pd.concat(frames, ignore_index=True).assign(step=60, weights="ema", t=0.5)
    table.attrs = {"batches": 1}
    path.parent.mkdir(exist_ok=True)
    table.to_parquet(path, index=False)


def write_chain_run(
    root: Path, name: str, seed: int, *, tier: str = "mini", parameters: int = 167_560
) -> Path:
    """One complete run folder of Proteína; the 60M's have gradients (first seed) and a rotation study."""
    folder = root / tier / name / f"seed{seed}"
    folder.mkdir(parents=True)
    default = name == "proteina-60m"
    chain_metrics(seed + len(name), default and seed == 0).to_parquet(folder / "metrics.parquet", index=False)
    if default:
        write_study(table_in(folder, "rotations"), seed)
    timing = pd.DataFrame({"step": CHAIN_STEPS, "wall_s": 0.05 * CHAIN_STEPS})
    timing.to_parquet(folder / "timing.parquet", index=False)
    identity = {
        "tier": tier,
        "name": name,
        "system": "proteina",
        "dataset": "pdb",
        "label": "168k",
        "seed": seed,
    }
    monitor = {
        "class_path": "twirl.gradient_monitor.GradientMonitor",
        "init_args": {"batches": 1, "rotations": 4},
    }
    settings = {
        "callbacks": [monitor] if default else [],
        "data": {"init_args": {"monitor_batch": 3}},
        "monitor": {"rotations": 6, "batches": None},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump({"run": identity} | settings))
    facts = {"dataset": "C-alpha traces", "source": "generate", "train_chains": 128, "validation_chains": 8}
    summary = {"parameters": parameters, "data": facts, "device": "1 x cpu, 2 cores"}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder
