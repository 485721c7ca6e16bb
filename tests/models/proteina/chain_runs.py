"""A store of synthetic chains, and a run on it that takes seconds."""

from pathlib import Path

import numpy as np

from data.pdb.store import Chain, write_store
from tests.models.proteina.chains import NETWORK, walk

STORE = Path("chains.h5")
TRAIN, HELD_OUT = 20, 5


def write_chains(path: Path = STORE) -> Path:
    """25 random walks of 9 to 16 residues, 20 to train on in 8 groups."""
    rng = np.random.default_rng(0)
    chains = []
    for k in range(TRAIN + HELD_OUT):
        n = 9 + 3 * k % 8
        numbers = np.arange(n) + k
        chains.append(Chain(f"{k:02d}_A", f"{k:02d}", "A", walk(n, rng), numbers, "A" * n))
    groups = [f"group {k % 8}" if k < TRAIN else f"held out {k}" for k in range(len(chains))]
    splits = {group: "validation" if group.startswith("held") else "train" for group in groups}
    about = {"source": "structures", "dataset": "random walks", "grouping": "by number", "config": {}}
    write_store(path, chains, groups, splits, **about)
    return path


def configuration(name: str = "tiny", steps: int = 10, **network) -> dict:
    """A run on the store in the working directory."""
    return {
        "run": {
            "tier": "test",
            "name": name,
            "system": "proteina",
            "dataset": "pdb",
            "label": "x",
            "seed": 0,
        },
        "model": {
            "class_path": "models.proteina.task.ProteinaTask",
            "init_args": {
                "network": NETWORK | network,
                "optimizer": {"lr": 0.003},
                "flow": {"self_conditioning": 0.5},
                "ema_decay": 0.9,
                "monitor_times": [0.0, 0.8],
            },
        },
        "data": {
            "class_path": "models.datasets.pdb.ChainData",
            "init_args": {"store": str(STORE), "batch_size": 4, "monitor_chains": 4, "monitor_batch": 2},
        },
        "trainer": {"max_steps": steps, "checkpoint_every": 3, "log_every": 2, "gradient_clip_val": 1.0},
        "monitor": {"steps": 5, "rotations": 3},
    }
