"""Energies and forces by GFN2-xTB (tblite), for geometries that come without labels.

A fresh calculator for every conformation, at default accuracy: restarting from the previous result would
make forces depend on the order of work (by up to 1e-3 eV/Angstrom).
"""

from dataclasses import dataclass

import numpy as np

from data.spice.units import BOHR, HARTREE

LEVEL = "GFN2-xTB"
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


def gfn2(
    atomic_numbers: np.ndarray, positions: np.ndarray, unpaired: int | None = None
) -> tuple[float, np.ndarray]:
    """Total energy [eV] and forces (n, 3) [eV/Angstrom] of a neutral molecule at positions (n, 3) [Angstrom].

    unpaired: number of unpaired electrons (default: the lowest possible). RuntimeError where the
    self-consistent field does not converge or the result is not finite.
    """
    from tblite.interface import Calculator  # loaded late: it fixes its thread count when it loads

    calculator = Calculator(LEVEL, np.asarray(atomic_numbers), np.asarray(positions) / BOHR, uhf=unpaired)
    calculator.set("verbosity", 0)
    result = calculator.singlepoint()
    energy = float(result.get("energy")) * HARTREE
    forces = -np.asarray(result.get("gradient")) * (HARTREE / BOHR)
    if not (np.isfinite(energy) and np.isfinite(forces).all()):
        raise RuntimeError("energy or forces are not finite")
    return energy, forces


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
