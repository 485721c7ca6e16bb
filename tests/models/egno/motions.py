"""A small store of generated motions, and a run on it that takes seconds."""

from pathlib import Path

from data.mocap.prepare import prepare
from data.mocap.settings import MocapSettings
from data.validation import read
from tests.data.mocap.raw_files import PARAMETRIC

NETWORK = {"layers": 2, "hidden": 8, "time_features": 6, "frames": 5, "modes": 2}


def write_motions(path: Path) -> Path:
    prepare(read(MocapSettings, PARAMETRIC, "data.mocap"), path)
    return path


def configuration(store: Path, name: str = "tiny", steps: int = 10, seed: int = 0, **relaxation) -> dict:
    method = relaxation or {"class_path": "twirl.relaxation.Method", "init_args": {}}
    return {
        "run": {
            "tier": "test",
            "name": name,
            "system": "egno",
            "dataset": "mocap",
            "label": "x",
            "seed": seed,
        },
        "model": {
            "class_path": "models.egno.task.EGNOTask",
            "init_args": {
                "network": NETWORK,
                "relaxation": method,
                "optimizer": {"lr": 0.001, "weight_decay": 1e-10},
                "evaluate_every": 4,
                "patience": 2,
                "alphas_every": 5,
            },
        },
        "data": {
            "class_path": "models.datasets.mocap.MocapData",
            "init_args": {"store": str(store), "motion": "walk", "batch_size": 4, "monitor_samples": 5},
        },
        "trainer": {"max_steps": steps, "checkpoint_every": 3, "log_every": 3},
        "monitor": {"steps": 5, "rotations": 3},
    }
