"""Small molecules as atoms, a store of them, and a VoxMol run on it that takes seconds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from data.geom_drugs.store import Ensemble, write_store
from models.datasets.geom_drugs import PADDING, AtomBatch
from models.voxmol.settings import GridConfig, MonitorConfig, VoxMolConfig, VoxMolTaskSettings
from models.voxmol.task import VoxMolTask

NETWORK = {
    "elements": 3,
    "channels": 2,
    "multipliers": [1, 2],
    "attention": [False, True],
    "blocks": 1,
    "groups": 2,
    "dropout": 0.1,
}
GRID = {"size": 8, "resolution": 0.5, "half_window": 3}


def molecules(count: int, atoms: int = 6, extent: float = 0.8, seed: int = 0) -> AtomBatch:
    """Random clouds of C, H and O; the last of several molecules lacks one atom."""
    generator = torch.Generator().manual_seed(seed)
    channels = torch.randint(3, (count, atoms), generator=generator)
    if count > 1:
        channels[-1, -1] = PADDING
    coordinates = extent * torch.randn(count, atoms, 3, generator=generator)
    return AtomBatch(coordinates, channels, torch.arange(count))


def task(dtype: torch.dtype = torch.float32, **network) -> VoxMolTask:
    torch.manual_seed(0)
    settings = VoxMolTaskSettings(
        network=VoxMolConfig(**NETWORK | network),
        optimizer=replace(VoxMolTaskSettings().optimizer, lr=1e-2),
        grid=GridConfig(**GRID),
        monitor=MonitorConfig(full_twirl=2),
        sigma=0.3,
    )
    return VoxMolTask(settings).to(dtype)


def ensemble(number: int, atomic_numbers: list[int], conformers: int, split: str) -> Ensemble:
    rng, n = np.random.default_rng(number), len(atomic_numbers)
    zeros = np.zeros(n, np.uint8)
    return Ensemble(
        smiles=f"molecule {number}",
        atomic_numbers=np.array(atomic_numbers, np.uint8),
        formal_charges=zeros.astype(np.int8),
        chirality=zeros,
        bonds=np.stack([np.arange(n - 1), np.arange(1, n)], 1),
        bond_orders=np.ones(n - 1, np.uint8),
        bond_stereo=np.zeros(n - 1, np.uint8),
        positions=0.8 * rng.standard_normal((conformers, n, 3)),
        energies=np.arange(conformers, dtype=float),
        weights=np.full(conformers, 1 / conformers),
        same_graph=np.ones(conformers, bool),
        split=split,
    )


def write_molecules(path: Path) -> Path:
    """Twelve molecules of C, H, O to train on with two conformers each, one with silicon, five to validate."""
    rng = np.random.default_rng(0)
    parts = [
        ensemble(k, rng.choice([6, 1, 8], 5 + k % 3).tolist(), 2, "train" if k < 12 else "validation")
        for k in range(17)
    ]
    parts.insert(3, ensemble(99, [14, 1, 1, 6], 1, "train"))
    write_store(path, parts, source="test", dataset="random clouds", energy_level="none", config={})
    return path


def configuration(store: Path, name: str = "tiny", steps: int = 10, **model) -> dict:
    return {
        "run": {
            "tier": "test",
            "name": name,
            "system": "voxmol",
            "dataset": "geom_drugs",
            "label": "x",
            "seed": 0,
        },
        "model": {
            "class_path": "models.voxmol.task.VoxMolTask",
            "init_args": {
                "network": NETWORK,
                "optimizer": {"lr": 0.01},
                "grid": GRID,
                "augment": {"rotation": "euler_xyz"},
                "monitor": {"full_twirl": 1},
                "sigma": 0.2,
                "ema_decay": 0.9,
            }
            | model,
        },
        "data": {
            "class_path": "models.datasets.geom_drugs.GeomDrugsData",
            "init_args": {"store": str(store), "batch_size": 4, "elements": 3, "monitor_molecules": 4},
        },
        "trainer": {"max_steps": steps, "checkpoint_every": 3, "log_every": 2},
        "monitor": {"steps": 5, "rotations": 3},
    }
