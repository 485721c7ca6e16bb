"""A small store of generated shapes, and a run on it that takes a second."""

from pathlib import Path

import numpy as np

from data.modelnet40.clouds import LabelledCloud
from data.modelnet40.store import write_store

NETWORK = {
    "classes": 3,
    "neighbours": 4,
    "c1": 3,
    "c2": 4,
    "c3": 6,
    "f1": 4,
    "f2": 3,
    "h1": 8,
    "h2": 6,
    "pooling": "mean",
    "dropout": 0.4,
}
# Half-axes of the ellipsoids that the classes are.
SHAPES = {"ball": (0.6, 0.6, 0.6), "disc": (0.9, 0.9, 0.1), "rod": (0.1, 0.1, 0.9)}


def write_clouds(path: Path, train: int = 7, test: int = 5, points: int = 24) -> Path:
    rng = np.random.default_rng(0)
    clouds = []
    for name, axes in SHAPES.items():
        for k in range(train + test):
            cloud = rng.normal(size=(points, 3))
            cloud *= np.array(axes) / np.linalg.norm(cloud, axis=1, keepdims=True)
            split = "train" if k < train else "test"
            clouds.append(LabelledCloud(f"{name} {k}", f"{name} {k}", name, split, cloud.astype(np.float32)))
    write_store(
        path,
        clouds,
        classes=sorted(SHAPES),
        source="parametric",
        dataset="ellipsoids",
        pose="canonical",
        up_axis="z",
        config={},
    )
    return path


def configuration(store: Path, name: str = "tiny", steps: int = 12, seed: int = 0) -> dict:
    run = {
        "tier": "test",
        "name": name,
        "system": "vn_pointnet",
        "dataset": "modelnet40",
        "label": "x",
        "seed": seed,
    }
    return {
        "run": run,
        "model": {
            "class_path": "models.vn_pointnet.task.VNPointNetTask",
            "init_args": {
                "network": NETWORK,
                "relaxation": {"class_path": "twirl.relaxation.Method"},
                "optimizer": {"lr": 0.01, "weight_decay": 1e-4},
                "schedule": {"kind": "cosine", "total_steps": steps},
                "evaluate_every": 5,
            },
        },
        "data": {
            "class_path": "models.datasets.modelnet40.ModelnetData",
            "init_args": {
                "store": str(store),
                "batch_size": 5,
                "points": 20,
                "view": {"rotation": "so3", "most_dropped": 0.3, "shift_in_ball": False},
                "monitor_clouds": 6,
                "workers": 0,
            },
        },
        "trainer": {"max_steps": steps, "checkpoint_every": 4, "log_every": 3},
        "monitor": {"steps": 6, "rotations": 4},
    }
