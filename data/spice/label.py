"""Energies and forces by GFN2-xTB (tblite), for geometries that come without labels."""

from dataclasses import dataclass

import numpy as np

from data.chemistry import GFN2, gfn2

LEVEL = GFN2
NOT_CONVERGED = "GFN2-xTB did not converge"


@dataclass(frozen=True)
class Geometries:
    """Unlabelled conformations of one molecule."""

    name: str
    smiles: str  # atom-mapped, explicit H
    atomic_numbers: np.ndarray  # (n,)
    positions: np.ndarray  # (m, n, 3) [Angstrom]


@dataclass(frozen=True)
class Labelled:
    """Labelled conformations of one molecule (m may be 0), and how many failed, by reason."""

    name: str
    smiles: str
    atomic_numbers: np.ndarray  # (n,)
    positions: np.ndarray  # (m, n, 3) [Angstrom]
    energy: np.ndarray  # (m,) [eV], total
    forces: np.ndarray  # (m, n, 3) [eV/Angstrom]
    failures: dict[str, int]


def label(geometries: Geometries) -> Labelled:
    """GFN2-xTB labels; a conformation that fails is left out and counted."""
    kept, energies, forces = [], [], []
    for positions in geometries.positions:
        try:
            energy, force = gfn2(geometries.atomic_numbers, positions)
        except RuntimeError:
            continue
        kept.append(positions)
        energies.append(energy)
        forces.append(force)
    shape = (-1, len(geometries.atomic_numbers), 3)
    failed = len(geometries.positions) - len(kept)
    return Labelled(
        name=geometries.name,
        smiles=geometries.smiles,
        atomic_numbers=np.asarray(geometries.atomic_numbers),
        positions=np.array(kept, dtype=np.float64).reshape(shape),
        energy=np.array(energies, dtype=np.float64),
        forces=np.array(forces, dtype=np.float64).reshape(shape),
        failures={NOT_CONVERGED: failed} if failed else {},
    )
