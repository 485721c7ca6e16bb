"""Synthetic C-alpha chains, and the small network that tests of Proteína train."""

import numpy as np

from models.datasets.pdb import ChainBatch, padded

NETWORK = {
    "width": 16,
    "layers": 3,
    "heads": 2,
    "pair": 12,
    "cond": 10,
    "time": 8,
    "index": 6,
    "fold": 4,
    "x_t_bins": 7,
    "x_sc_bins": 8,
    "separation_bins": 9,
    "registers": 2,
}
TRIANGLES = {"update_every": 1, "triangles": True, "buckets": 6}


def walk(residues: int, rng: np.random.Generator) -> np.ndarray:
    """A chain of unit steps of 0.38 nm, each turned from the last by less than a right angle: (residues, 3) [nm]."""
    step, steps = np.array([1.0, 0, 0]), []
    for _ in range(residues):
        step = step + rng.normal(size=3)
        step /= np.linalg.norm(step)
        steps.append(0.38 * step)
    return np.cumsum(steps, axis=0)


def chains(*lengths: int, seed: int = 0, length: int | None = None) -> ChainBatch:
    """Chains with residue numbers that do not start at 1; the second has a gap."""
    rng = np.random.default_rng(seed)
    coordinates = [walk(n, rng) for n in lengths]
    numbers = [np.arange(n) + 7 for n in lengths]
    if len(lengths) > 1:
        coordinates[1][3:] += 1.0
        numbers[1][3:] += 4
    return padded(coordinates, numbers, range(len(lengths)), length)
