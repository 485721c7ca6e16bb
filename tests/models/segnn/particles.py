"""A small store of charged particles, and a run on it that takes a second."""

from pathlib import Path

from data.nbody.prepare import prepare
from data.nbody.settings import NbodySettings

NETWORK = {"hidden_features": 8, "layers": 2, "lmax": 1, "center": "none", "particles": 5}


def write_particles(path: Path, **change) -> Path:
    """Seven training, four validation, six test trajectories; frames 1 to 4."""
    block = {"train": 7, "validation": 4, "test": 6, "frames": [1, 2, 3, 4]} | change
    prepare(NbodySettings(**block), path, 1)
    return path


def configuration(store: Path, name: str = "tiny", steps: int = 12, seed: int = 0) -> dict:
    run = {
        "tier": "test",
        "name": name,
        "system": "segnn",
        "dataset": "nbody",
        "label": "x",
        "seed": seed,
    }
    return {
        "run": run,
        "model": {
            "class_path": "models.segnn.task.SEGNNTask",
            "init_args": {
                "network": NETWORK,
                "relaxation": {"class_path": "twirl.relaxation.Method"},
                "optimizer": {"lr": 0.01, "weight_decay": 0.0},
                "evaluate_every": 5,
                "alphas_every": 4,
            },
        },
        "data": {
            "class_path": "models.datasets.nbody.NBodyData",
            "init_args": {
                "store": str(store),
                "batch_size": 3,
                "input_frame": 1,
                "target_frames": [4],
                "rotate": False,
                "monitor_trajectories": 5,
            },
        },
        "trainer": {"max_steps": steps, "checkpoint_every": 4, "log_every": 3},
        "monitor": {"steps": 6, "rotations": 4},
    }
