"""Synthetic run folders in the layout that training writes: EScAIP's with a plateau, a dip and a late rise;
VN-PointNet's with alphas that decay on rotated and partly stay on aligned shapes; those of Table 2."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from analysis import catalogue, gallery, metrics, render
from analysis.quantities.relaxation import PLACES
from analysis.results import load_runs
from tests.analysis.chain_runs import CHAIN_RUNS, OF_PROTEINA, write_chain_run
from tests.analysis.density_runs import DENSITY_RUNS, OF_VOXMOL, write_density_run
from tests.analysis.dynamics_runs import DYNAMICS_RUNS, write_dynamics_run
from tests.metrics_rows import metrics_frame, write_metrics

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
    return metrics_frame(rows)


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


KEPT, PROJECTED = "raw/readout=kept", "raw/readout=projected"
VN_STEPS = [0, *range(20, 801, 20)]
VN_MEASURED = [0, 1, 3, 10, 30, 100, 200, 400, 600, 800]
VN_PLAIN, VN_TERMS = 9_000, 20_000
VN_RUNS = {
    f"vn-{data}-{method}": 3 for data in ("rotated", "aligned") for method in ("plain", "es", "rpp", "recm")
}
VN_RUNS |= {f"vn-{data}-recm-cg{size}": 1 for data in ("rotated", "aligned") for size in (4, 8, 16)}


def vn_metrics(data: str, method: str, seed: int) -> pd.DataFrame:
    """Rows of metrics.parquet for a run of VN-PointNet."""
    rng = np.random.default_rng([seed, len(data), len(method)])
    rows: list[tuple] = []

    def log(split, series, metric, steps, values):
        values = np.broadcast_to(values, len(steps))
        rows.extend(
            (s, 32 * s, split, series, np.nan, metric, float(v)) for s, v in zip(steps, values, strict=True)
        )

    relaxed = method.startswith("recm")
    steps, share = np.array(VN_STEPS), 1 / (1 + np.array(VN_STEPS) / 8)
    stays = {}
    for i, place in enumerate(PLACES):
        stays[place] = data == "aligned" and i % 3 == 1
        end = rng.uniform(0.1, 0.9) if stays[place] else rng.uniform(-0.003, 0.003)
        wobble = 1 + 0.05 * rng.normal(size=len(steps))
        if relaxed:
            log(
                "relaxation",
                f"place={place}",
                "alpha_W",
                steps,
                share * rng.uniform(0.1, 0.8) + (1 - share) * end * wobble,
            )
            if place.endswith("feature"):
                bias = share * rng.uniform(-0.16, 0.5) + (1 - share) * end / 3
                log("relaxation", f"place={place}", "alpha_b", steps, bias)
            log("relaxation", f"place={place}", "alpha_noise", steps, share * rng.uniform(0.1, 0.4) + 0.002)
            log("relaxation", f"place={place}", "beta", steps, 1.0)
        elif method == "rpp":
            log("relaxation", f"place={place}", "alpha_W", steps, 1.0)
        elif method == "es":
            log("relaxation", f"place={place}", "alpha_W", steps, 1 - np.abs(steps / 400 - 1))
    each = VN_TERMS / len(PLACES)
    left = each * sum(stays.values()) + (each * (22 - sum(stays.values()))) * (steps < 500)
    active = {"plain": 0.0, "es": 0.0, "rpp": VN_TERMS}.get(method, left)
    if method != "plain":
        for kind, count in (("plain", VN_PLAIN), ("terms", VN_TERMS), ("active", VN_PLAIN + active)):
            log("relaxation", "raw", kind, steps, count)

    breaks = data == "aligned" and (relaxed or method == "rpp")
    tested = np.arange(100, 801, 100)
    score = (0.93 if breaks else 0.45) * (1 - np.exp(-tested / 150)) + 0.02 * rng.normal(size=len(tested))
    series = {"raw": 0.0, **({KEPT: 0.03, PROJECTED: -0.2} if relaxed else {})}
    for name, gain in series.items():
        for kind, less in (("instance", 0.0), ("class", 0.04)):
            for definition, more in (("", 0.0), ("_upstream", 0.003)):
                log("test", name, f"{kind}_accuracy{definition}", tested, score + gain - less + more)

    at = np.array(VN_MEASURED)
    total = 0.3 + 1.8 * np.exp(-at / 200)
    exact = 1e-6 * rng.uniform(0.5, 2, size=len(at))
    broken = 25 * np.exp(-at / 500) + (8 if data == "aligned" else 0.005)
    percent = {"plain": exact, "es": exact, "rpp": 2 * broken}.get(method, broken)
    for name in series:
        here = exact if name == PROJECTED else percent
        if relaxed and name == "raw" and data == "rotated":
            here = np.where(at > 500, exact, percent)
        equiv = total * here / 100
        for metric, value in (
            ("L_total", total),
            ("L_equiv", equiv),
            ("L_mean", total - equiv),
            ("percent", here),
        ):
            log("val", name, metric, at, value)
    log("val", "zero", "L_total", [0], np.log(8))
    if method == "rpp":
        for place in PLACES:
            log(
                "val",
                f"raw/without={place}",
                "L_equiv",
                at[-1:],
                (total * percent / 100)[-1] * rng.uniform(0.6, 1.02),
            )
            log("val", f"raw/without={place}", "L_total", at[-1:], total[-1] * rng.uniform(0.98, 1.5))
    if relaxed:
        last = total[-1] * (percent if data == "aligned" else exact)[-1] / 100
        for place in (place for place in PLACES if stays[place]):
            taken = rng.uniform(0.05, 0.3)
            log("val", f"raw/without={place}", "L_equiv", at[-1:], last * (1 - taken))
            log("val", f"raw/without={place}", "L_total", at[-1:], total[-1] * (1 + 2 * taken))
    return metrics_frame(rows)


def write_vn_run(root: Path, name: str, seed: int, *, tier: str = "mini", dataset: str | None = None) -> Path:
    """One complete run folder of VN-PointNet under `root`; dataset: real data of this description."""
    folder = root / tier / name / f"seed{seed}"
    folder.mkdir(parents=True)
    _, data, method = name.split("-", 2)
    identity = {"tier": tier, "name": name, "system": "vn_pointnet", "dataset": "modelnet40", "label": method}
    facts = {
        "dataset": dataset or "generated shapes",
        "source": "voxel_clouds" if dataset else "parametric",
        "classes": [f"class {i}" for i in range(8)],
        "train_clouds": 800,
        "test_clouds": 240,
    }
    write_metrics(folder, vn_metrics(data, method, seed))
    seconds = 0.05 * (1.4 if method.startswith("recm") else 1.0) * np.array(VN_STEPS)
    seconds += np.array(VN_STEPS) // 100  # a test takes a second
    timing = pd.DataFrame({"step": VN_STEPS, "wall_s": seconds})
    timing.to_parquet(folder / "timing.parquet", index=False)
    (folder / "run.yaml").write_text(yaml.safe_dump({"run": {**identity, "seed": seed}}))
    (folder / "summary.json").write_text(
        json.dumps({"parameters": VN_PLAIN, "data": facts, "device": "1 x cpu, 2 cores"})
    )
    return folder


@pytest.fixture(scope="session")
def dynamics_folders(tmp_path_factory) -> list[Path]:
    """Every run of Table 2 of the mini tier."""
    root = tmp_path_factory.mktemp("dynamics_results")
    return [
        write_dynamics_run(root, name, seed) for name, seeds in DYNAMICS_RUNS.items() for seed in range(seeds)
    ]


@pytest.fixture(scope="session")
def chain_folders(tmp_path_factory) -> list[Path]:
    """Every run of Proteína of the mini tier."""
    root = tmp_path_factory.mktemp("chain_results")
    return [write_chain_run(root, name, seed) for name, seeds in CHAIN_RUNS.items() for seed in range(seeds)]


@pytest.fixture(scope="session")
def density_folders(tmp_path_factory) -> list[Path]:
    """Every run of VoxMol of the mini tier."""
    root = tmp_path_factory.mktemp("density_results")
    return [
        write_density_run(root, name, seed)
        for name, spec in DENSITY_RUNS.items()
        for seed in range(spec.get("seeds", 1))
    ]


@pytest.fixture(name="write_density_run", scope="session")
def _write_density_run():
    """The builder of one run folder of VoxMol."""
    return write_density_run


@pytest.fixture(name="write_chain_run", scope="session")
def _write_chain_run():
    """The builder of one run folder of Proteína."""
    return write_chain_run


@pytest.fixture(name="write_dynamics_run", scope="session")
def _write_dynamics_run():
    """The builder of one run folder of Table 2."""
    return write_dynamics_run


@pytest.fixture(scope="session")
def vn_folders(tmp_path_factory) -> list[Path]:
    """Every run of VN-PointNet of the mini tier."""
    root = tmp_path_factory.mktemp("vn_results")
    return [write_vn_run(root, name, seed) for name, seeds in VN_RUNS.items() for seed in range(seeds)]


@pytest.fixture(scope="session")
def run_folders(tmp_path_factory) -> list[Path]:
    """Every run of the mini tier, with three seeds of the default."""
    root = tmp_path_factory.mktemp("results")
    return [write_run(root, name, seed) for name, spec in RUNS.items() for seed in spec.get("seeds", (0,))]


@pytest.fixture(scope="session")
def rendered(
    tmp_path_factory, run_folders, vn_folders, dynamics_folders, chain_folders, density_folders
) -> Path:
    """Everything rendered from synthetic runs of the mini tier, with the paper's curves where present."""
    out = tmp_path_factory.mktemp("figures")
    others = dict.fromkeys(OF_PROTEINA, chain_folders) | dict.fromkeys(OF_VOXMOL, density_folders)
    for output in (output.name for output in catalogue.OUTPUTS):
        command = ["python", "-m", "analysis.render", output]
        folders = others.get(output, [*run_folders, *vn_folders, *dynamics_folders])
        render.render(output, "mini", out, folders, command)
    gallery.write_gallery(out)
    metrics.write_metrics(load_runs([*run_folders, *vn_folders, *dynamics_folders], "mini"), out)
    return out


@pytest.fixture
def without_paper(monkeypatch, tmp_path) -> None:
    """A machine without the paper's curves as logged."""
    monkeypatch.delenv("REFERENCE_DIR", raising=False)
    monkeypatch.setattr("analysis.reference.paper_curves.ROOT", tmp_path / "nowhere" / "repository")


@pytest.fixture(name="write_vn_run", scope="session")
def _write_vn_run():
    """The builder of one run folder of VN-PointNet."""
    return write_vn_run


@pytest.fixture(name="write_run", scope="session")
def _write_run():
    """The builder of one run folder, for tests that need their own."""
    return write_run
