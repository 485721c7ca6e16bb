"""Synthetic run folders of VoxMol: percents that fall while L_mean reaches the zero predictor, and rise as it passes;
cosines of latents that are alike between turns of a molecule, and a little less between molecules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from analysis.measure.registry import table_in
from tests.metrics_rows import metrics_frame

DENSITY_RUNS = {
    "voxmol-111m": {"label": "92k", "seeds": 2, "parameters": 92_000},
    "voxmol-28m": {"label": "24k", "parameters": 24_000},
    "voxmol-7m": {"label": "8k", "parameters": 8_000},
    "voxmol-50pct": {"label": "50%", "fraction": 0.5},
    "voxmol-25pct": {"label": "25%", "fraction": 0.25},
    "voxmol-10pct": {"label": "12%", "fraction": 0.12},
    "voxmol-1pct": {"label": "5%", "fraction": 0.05},
}
OF_VOXMOL = ["a_fig11", "a_fig4"]
DENSITY_STEPS = np.array([0, 3, 6, 10, 14, 20, 28, 40, 56, 80, 113, 160, 226, 320, 450, 640, 900])
ZERO = 1.8e-3
MOLECULES = 24


def density_metrics(seed: int, slow: float) -> pd.DataFrame:
    """Rows of metrics.parquet; slow: stretches the fall."""
    rng, rows = np.random.default_rng([seed, 11]), []
    x = DENSITY_STEPS

    def log(split, series, metric, steps, values):
        values = np.broadcast_to(values, len(steps))
        rows.extend(
            (s, 8 * s, split, series, np.nan, metric, float(v)) for s, v in zip(steps, values, strict=True)
        )

    log("val", "zero", "L_total", x[:1], ZERO)
    mean = ZERO * (1.02 + 25 * np.exp(-x / (4 * slow)) - 0.8 / (1 + (260 * slow / np.maximum(x, 1)) ** 3))
    for series, scatter in (("raw", 0.15), ("ema", 0.05)):
        percent = 82 / (1 + (x / (12 * slow)) ** 1.9) + 9 / (1 + (300 / np.maximum(x, 1)) ** 3) + 0.8
        for suffix, jitter in (("", scatter), ("/group=octahedral", scatter / 3)):
            p = percent * np.exp(jitter * rng.normal(size=len(x)))
            equiv = mean * p / (100 - p)
            values = {"L_mean": mean, "L_equiv": equiv, "L_total": mean + equiv, "percent": p}
            for metric, value in (values | {"percent_mean_of_ratios": 1.05 * p}).items():
                log("val", f"{series}{suffix}", metric, x, value)
    log("train", "raw", "loss", x[1:], 1.0)
    return metrics_frame(rows)


def write_latents(path: Path, seed: int, molecules: int = MOLECULES) -> None:
    """Cosines near 0.6 and 0.66 of turned molecules, near 0.58 of others, 1 where nothing turned."""
    rng, rows = np.random.default_rng([seed, 3]), []
    own = 0.06 * rng.normal(size=molecules)
    for k in range(molecules):
        for axis in "xyz":
            for angle in (0, 90, 180, 270, 360):
                for kind, middle in (("unpooled", 0.60), ("pooled", 0.68)):
                    turned = min(middle + own[k] + 0.04 * rng.normal(), 0.999)
                    rows.append((k, axis, angle, kind, turned if angle % 360 else 1 - 1e-7 * rng.random()))
        if k % 2 == 0:
            rows.append((k, "", 0, "other molecule", 0.58 + 0.08 * rng.normal()))
            rows.append((k, "", 0, "other molecule, unpooled", 0.3 + 0.08 * rng.normal()))
    path.parent.mkdir(exist_ok=True)
    table = pd.DataFrame(rows, columns=["sample", "axis", "angle", "kind", "cosine"])
    table.to_parquet(path, index=False)


def write_density_run(
    root: Path,
    name: str,
    seed: int,
    *,
    tier: str = "mini",
    source: str = "generate",
    dataset: str | None = None,
    rotations: str = "axis_preserving",
) -> Path:
    """One complete run folder of VoxMol; only the largest network's holds latents."""
    folder, spec = root / tier / name / f"seed{seed}", DENSITY_RUNS[name]
    folder.mkdir(parents=True)
    place = list(DENSITY_RUNS).index(name)
    density_metrics(seed + 10 * place, 1 + 0.12 * place).to_parquet(folder / "metrics.parquet", index=False)
    if name == "voxmol-111m":
        write_latents(table_in(folder, "latents"), seed)
    timing = pd.DataFrame({"step": DENSITY_STEPS, "wall_s": 0.03 * DENSITY_STEPS})
    timing.to_parquet(folder / "timing.parquet", index=False)
    share = spec.get("fraction", 1.0)
    identity = {
        "tier": tier,
        "name": name,
        "system": "voxmol",
        "dataset": "geom_drugs",
        "label": spec["label"],
    }
    config = {
        "run": {**identity, "seed": seed},
        "model": {"init_args": {"monitor": {"rotations": rotations}}},
        "data": {"init_args": {"train_fraction": share}},
        "monitor": {"rotations": 4},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    facts = {
        "dataset": dataset or "ensembles (ETKDG, MMFF94s)",
        "source": source,
        "train_conformers": round(1200 * share),
        "monitor_molecules": MOLECULES,
    }
    summary = {"parameters": spec.get("parameters", 92_000), "data": facts, "device": "1 x cpu, 2 cores"}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder
