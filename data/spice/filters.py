"""Conformations that are left out of a store, counted by reason, and faults that stop its preparation."""

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
from ase.data import atomic_numbers as NUMBER_OF
from ase.data import covalent_radii as RADIUS

from data.errors import DataError
from data.spice.molecules import RawMolecule
from data.spice.settings import SpiceSettings

OVERLAP = 0.5  # [Angstrom]; the shortest bond, H-H, is 0.74
BOND = (0.6, 1.5)  # over the sum of the covalent radii; real bonds are 0.7 to 1.25, hot ones included


class Dropped:
    """Conformations left out, and the molecules they belong to, by reason."""

    def __init__(self) -> None:
        self.conformations: dict[str, int] = {}
        self.molecules: dict[str, int] = {}

    def add(self, reason: str, conformations: int) -> None:
        if conformations:
            self.conformations[reason] = self.conformations.get(reason, 0) + conformations
            self.molecules[reason] = self.molecules.get(reason, 0) + 1

    def as_dict(self) -> dict[str, dict[str, int]]:
        return {
            reason: {"conformations": count, "molecules": self.molecules[reason]}
            for reason, count in sorted(self.conformations.items())
        }


def selected(
    molecules: Iterable[RawMolecule], settings: SpiceSettings, dropped: Dropped
) -> Iterator[RawMolecule]:
    """The molecules and conformations that `settings` admits.

    Charged molecules, ion pairs, other elements, large forces and rows out of order are left out. A record
    with coordinates or labels that are not numbers, with overlapping atoms or with more atoms than max_atoms is a
    DataError, or is left out if settings.bad_records is "skip".
    """
    allowed = np.array([NUMBER_OF[element] for element in settings.elements])
    for molecule in molecules:
        reason = _unwanted(molecule, allowed)
        if reason:
            dropped.add(reason, len(molecule.positions))
            continue
        faults = _faults(molecule, settings.max_atoms)
        if faults and settings.bad_records == "refuse":
            k = min(faults)
            reason, detail = faults[k]
            raise DataError(
                f"{molecule.record}, conformation {k}: {reason} ({detail}): repair the file or its settings, "
                "or set data.spice.bad_records to skip to leave such records out"
            )
        keep = np.ones(len(molecule.positions), dtype=bool)
        for reason in {reason for reason, _ in faults.values()}:
            bad = [k for k, fault in faults.items() if fault[0] == reason]
            keep[bad] = False
            dropped.add(reason, len(bad))
        broken = keep & _not_the_bonds_of_the_smiles(molecule)
        dropped.add("bonds are not those of the smiles", int(broken.sum()))
        keep &= ~broken
        if molecule.forces is not None and settings.max_force is not None:
            large = keep & ~(np.abs(molecule.forces).max(axis=(1, 2)) <= settings.max_force)
            dropped.add("force above max_force", int(large.sum()))
            keep &= ~large
        if keep.any():
            yield molecule if keep.all() else _rows(molecule, keep)


def spread_conformations(molecule: RawMolecule, count: int | None) -> RawMolecule:
    """`count` conformations, evenly spaced: SPICE lists hot ones first, relaxed ones last."""
    available = len(molecule.positions)
    if count is None or count >= available:
        return molecule
    return _rows(molecule, np.arange(count) * available // count)


def _unwanted(molecule: RawMolecule, allowed: np.ndarray) -> str | None:
    if molecule.charge != 0:
        return "charged"
    if "ion pair" in molecule.subset.lower():
        return "ion pair"
    if not np.isin(molecule.atomic_numbers, allowed).all():
        return "element not in elements"
    return None


def _faults(molecule: RawMolecule, max_atoms: int) -> dict[int, tuple[str, str]]:
    """Conformation -> (reason, detail)."""
    x = molecule.positions
    m, n = x.shape[:2]
    if n > max_atoms:
        return dict.fromkeys(range(m), ("larger than max_atoms", f"{n} atoms, the limit is {max_atoms}"))
    faults = {}
    finite = np.isfinite(x).all(axis=(1, 2))
    for k in np.flatnonzero(~finite):
        faults[int(k)] = ("coordinates are not finite", f"atom {np.argwhere(~np.isfinite(x[k]))[0, 0]}")
    if molecule.forces is not None:
        labelled = np.isfinite(molecule.energy) & np.isfinite(molecule.forces).all(axis=(1, 2))
        for k in np.flatnonzero(finite & ~labelled):
            faults[int(k)] = ("energy or forces are not finite", "label")
    if n > 1:
        i, j = np.triu_indices(n, 1)
        for k in np.flatnonzero(finite):
            squared = np.sum((x[k, i] - x[k, j]) ** 2, axis=-1)
            pair = squared.argmin()
            if squared[pair] < OVERLAP**2 and int(k) not in faults:
                detail = f"atoms {i[pair]} and {j[pair]}, {np.sqrt(squared[pair]):.3f} Angstrom apart"
                faults[int(k)] = ("atoms on top of each other", detail)
    return faults


def _not_the_bonds_of_the_smiles(molecule: RawMolecule) -> np.ndarray:
    """(m,) conformations in which bonded atoms are apart: their rows are not in the order of the atom map."""
    if molecule.bonds is None or len(molecule.bonds) == 0:
        return np.zeros(len(molecule.positions), dtype=bool)
    i, j = molecule.bonds.T
    lengths = np.linalg.norm(molecule.positions[:, i] - molecule.positions[:, j], axis=-1)
    ratio = lengths / (RADIUS[molecule.atomic_numbers[i]] + RADIUS[molecule.atomic_numbers[j]])
    return ~((ratio > BOND[0]) & (ratio < BOND[1])).all(axis=1)


def _rows(molecule: RawMolecule, rows: np.ndarray) -> RawMolecule:
    return dataclasses.replace(
        molecule,
        positions=molecule.positions[rows],
        energy=None if molecule.energy is None else molecule.energy[rows],
        forces=None if molecule.forces is None else molecule.forces[rows],
    )
