"""Synthetic run folders of paper B's Table 2: SEGNN's, whose relaxation is all pruned, EGNO's, where some stays and
breaks all rotations more than those about the vertical, and networks that are only tested."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from tests.metrics_rows import metrics_frame, write_metrics

SEGNN_PLACES = tuple(f"layers.{i}.update_layer_{k}" for i in range(4) for k in (1, 2))
EGNO_PLACES = (
    "embedding",
    *(
        f"layers.{i}.{kind}"
        for i in range(2)
        for kind in ("message", "drift", "displacement", "update", "readout")
    ),
    *(f"layers.2.{kind}" for kind in ("message", "drift", "displacement")),
)
MOTION_CAVEAT = "walk: trials 1 and 2 of subject 35 are absent: test has 9 of 20 official samples"
DYNAMICS_RUNS = {
    **dict.fromkeys((f"segnn-{method}" for method in ("plain", "es", "ace", "recm")), 3),
    **{
        f"egno-{motion}-{method}": 3 if motion == "run" else 2
        for motion in ("run", "walk")
        for method in ("plain", "es", "ace-exact", "ace-appr", "recm")
    },
    "egno-nbody-plain": 1,
    **{f"{task}-{net}": 1 for task in ("nbody", "run", "walk") for net in ("linear", "rf", "gnn", "egnn")},
}
OTHER_READOUTS = {
    "es": ("kept",),
    "ace": ("kept",),
    "ace-exact": ("kept",),
    "ace-appr": ("projected",),
    "recm": ("kept", "projected"),
}
UNTRAINED_ERRORS = {"static": 0.9, "velocity": 0.5, "drift": 0.3}
DYNAMICS_STEPS = np.arange(0, 1501, 150)


def dynamics_metrics(task: str, network: str, method: str, seed: int) -> pd.DataFrame:
    """Rows of metrics.parquet of a run of Table 2: errors that fall and rise a little, percents, alphas."""
    rng = np.random.default_rng([seed, *map(ord, task + network + method)])
    rows: list[tuple] = []

    def log(split, series, metric, steps, values):
        values = np.broadcast_to(values, len(steps))
        rows.extend(
            (s, 10 * s, split, series, np.nan, metric, float(v)) for s, v in zip(steps, values, strict=True)
        )

    steps, level = DYNAMICS_STEPS, {"nbody": 0.004, "run": 0.3, "walk": 0.07}[task]
    readouts = ("raw", *(f"raw/readout={other}" for other in OTHER_READOUTS.get(method, ())))
    for k, series in enumerate(readouts):
        errors = (
            level * rng.uniform(0.9, 1.1) * (1 + 0.1 * k + 20 * np.exp(-steps / 200) + (steps / 3000) ** 2)
        )
        best = steps[1:][np.argmin(errors[1:])]
        log("validation", series, "mse", steps[1:], errors[1:])
        log("test", series, "mse", steps[1:], 1.05 * errors[1:])
        log("test", series, "mse_selected", steps[1:], 1.05 * np.minimum.accumulate(errors[1:]))
        log("test", series, "selected_step", steps[1:], np.minimum(steps[1:], best))
    if network not in ("segnn", "egno"):
        return metrics_frame(rows)

    names = SEGNN_PLACES if network == "segnn" else EGNO_PLACES
    share = 1 / (1 + steps / 30)
    stays = [name for i, name in enumerate(names) if network == "egno" and i % 3 == 2]
    if method != "plain":
        each, size = 100 * len(names), {"es": 0, "ace": 0, "ace-exact": 0}.get(method, 100 * len(names))
        active = (
            np.where(steps > 600, 100 * len(stays), each) if method == "recm" else np.full(len(steps), size)
        )
        for kind, count in (("plain", 5000), ("terms", each), ("active", 5000 + active)):
            log("relaxation", "raw", kind, steps, count)
        for name in names:
            end = rng.uniform(0.05, 0.6) if name in stays else rng.uniform(-0.004, 0.004)
            decay = {"es": 1 - np.abs(steps / 750 - 1), "recm": share}.get(method, 0.9 * share + 0.1)
            log(
                "relaxation",
                f"place={name}",
                "alpha_W",
                steps,
                rng.uniform(0.2, 0.9) * decay + (1 - decay) * end,
            )
            if network == "segnn" or name.endswith("displacement"):
                log(
                    "relaxation",
                    f"place={name}",
                    "alpha_b",
                    steps,
                    0.4 * decay * rng.uniform(-0.5, 1) + (1 - decay) * end,
                )

    at = np.array([0, 1, 3, 10, 30, 100, 300, 600, 900, 1200, 1500])
    total = level * (1 + 20 * np.exp(-at / 200))
    broken = 20 * np.exp(-at / 300) + (6.0 if stays else 0.03)
    for series in readouts:
        keeps = series == "raw/readout=kept" or (series == "raw" and method in ("ace-appr", "recm"))
        percent = broken * rng.uniform(0.7, 1.3) if keeps else 1e-6 * rng.uniform(0.5, 2, size=len(at))
        if network == "segnn" and (method, series) == ("recm", "raw"):
            percent = np.where(at > 600, 1e-6, percent)
        for group, part in (("", 1.0), ("/group=vertical", 0.2)) if network == "egno" else (("", 1.0),):
            equiv = total * part * percent / 100
            losses = {"L_total": total, "L_equiv": equiv, "L_mean": total - equiv, "percent": part * percent}
            for metric, value in losses.items():
                log("val", f"{series}{group}", metric, at, value)
    log("val", "zero", "L_total", [0], 30 * level)
    if network == "egno" and method in ("recm", "ace-appr"):
        for name in stays if method == "recm" else names:
            taken = rng.uniform(0.02, 0.3)
            for group, part in (("", 1.0), ("/group=vertical", 0.2)):
                log(
                    "val",
                    f"raw/without={name}{group}",
                    "L_equiv",
                    at[-1:],
                    0.05 * part * total[-1] * (1 - taken),
                )
                log("val", f"raw/without={name}{group}", "L_total", at[-1:], total[-1] * (1 + taken))
    return metrics_frame(rows)


def write_dynamics_run(root: Path, name: str, seed: int, *, tier: str = "mini", real: bool = False) -> Path:
    """One complete run folder of Table 2; real: motion capture of people, walk with its caveat."""
    folder = root / tier / name / f"seed{seed}"
    folder.mkdir(parents=True)
    parts = name.split("-", 2)
    if parts[0] == "segnn":
        network, task, method = "segnn", "nbody", parts[1]
    elif parts[0] == "egno":
        network, task, method = parts
    else:
        task, network, method = *parts, "plain"
    facts = {"dataset": "charged particles, simulated", "source": "simulated"}
    facts |= {"train_trajectories": 300, "validation_trajectories": 200, "test_trajectories": 200}
    if task != "nbody":
        facts = {
            "dataset": "generated walkers and runners",
            "source": "parametric",
            "motion": task,
            "caveat": "",
        }
        facts |= {"train_samples": 200, "validation_samples": 60, "test_samples": 60}
        if real:
            facts |= {"dataset": "CMU motion capture", "source": "cmu"}
            facts |= {"caveat": MOTION_CAVEAT if task == "walk" else ""}
    facts["untrained_errors"] = UNTRAINED_ERRORS
    write_metrics(folder, dynamics_metrics(task, network, method, seed))
    seconds = 0.01 * (1.3 if method == "recm" else 1.0) * np.arange(0, 1501, 50)
    timing = pd.DataFrame({"step": np.arange(0, 1501, 50), "wall_s": seconds})
    timing.to_parquet(folder / "timing.parquet", index=False)
    identity = {"tier": tier, "name": name, "system": network, "dataset": task, "label": method, "seed": seed}
    (folder / "run.yaml").write_text(yaml.safe_dump({"run": identity}))
    (folder / "summary.json").write_text(
        json.dumps({"parameters": 5000, "data": facts, "device": "1 x cpu, 2 cores"})
    )
    return folder
