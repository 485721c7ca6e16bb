"""Small random molecules with an exactly equivariant analytic force, for tests that need a data set."""

from pathlib import Path

import numpy as np

from data.spice.store import LabelledMolecule, write_store

ELEMENTS = np.array([1, 6, 7, 8])


def random_positions(atoms: int, rng: np.random.Generator) -> np.ndarray:
    """(atoms, 3) [Angstrom]: a compact cluster without close contacts."""
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)
    return 1.3 * grid[rng.permutation(len(grid))[:atoms]] + rng.normal(0, 0.15, (atoms, 3))


def pair_forces(positions: np.ndarray, numbers: np.ndarray) -> tuple[float, np.ndarray]:
    """Energy and forces of springs between all pairs, their length and strength set by the elements."""
    vector = positions[:, None] - positions[None]
    distance = np.linalg.norm(vector, axis=-1) + np.eye(len(positions))
    strength = np.sqrt(np.outer(numbers, numbers)) / 20
    stretch = (distance - 2.0) * (1 - np.eye(len(positions)))
    energy = 0.25 * (strength * stretch**2).sum()
    forces = -(strength * stretch / distance)[..., None] * vector
    return energy, forces.sum(1)


def molecules(count: int, conformations: int = 2, seed: int = 0) -> list[LabelledMolecule]:
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        numbers = ELEMENTS[rng.integers(0, len(ELEMENTS), rng.integers(5, 10))]
        positions = np.stack([random_positions(len(numbers), rng) for _ in range(conformations)])
        labels = [pair_forces(p, numbers) for p in positions]
        made.append(
            LabelledMolecule(
                molecule=f"molecule {number}",
                atomic_numbers=numbers,
                positions=positions,
                forces=np.stack([forces for _, forces in labels]),
                energy=np.array([energy for energy, _ in labels]),
                split="test" if number % 4 == 3 else "train",
            )
        )
    return made


def write_molecules(path: Path, count: int = 16) -> Path:
    """A store of `count` molecules with two conformations each, a quarter of them for testing."""
    write_store(path, molecules(count), labels="springs", source="tests", config={})
    return path
