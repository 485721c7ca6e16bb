"""Molecules as raw files have them, and the check that their unit of length is the one that the file declares."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols as SYMBOLS

from data.errors import DataError

BOND_RANGE = {6: (1.05, 1.15), 8: (0.90, 1.05)}  # median X-H distance [Angstrom], X by atomic number
_BOND_SAMPLE = 200  # molecules


@dataclass(frozen=True)
class RawMolecule:
    """m conformations of one molecule as a raw file has them; without labels energy and forces are None."""

    record: str  # its place in the file, for errors
    name: str  # canonical SMILES where there is one; the split goes by it
    subset: str
    smiles: str
    charge: int
    atomic_numbers: np.ndarray  # (n,)
    positions: np.ndarray  # (m, n, 3) [Angstrom]
    energy: np.ndarray | None  # (m,) [eV], total
    forces: np.ndarray | None  # (m, n, 3) [eV/Angstrom]
    bonds: np.ndarray | None = None  # (b, 2) rows, where a SMILES gives them


def with_bonds_checked(molecules: Iterable[RawMolecule], file: str) -> Iterator[RawMolecule]:
    """The same molecules; DataError if the median C-H bond of the first ones has no plausible length.

    O-H bonds are taken where there is no C-H (water). This finds a unit that is declared wrongly.
    """
    molecules = iter(molecules)
    first = list(itertools.islice(molecules, _BOND_SAMPLE))
    for element, (low, high) in BOND_RANGE.items():
        lengths = [hydrogen_bond_lengths(molecule, element) for molecule in first]
        if sum(map(len, lengths)) == 0:
            continue
        median = float(np.median(np.concatenate(lengths)))
        if not low <= median <= high:
            raise DataError(
                f"{file} has a median {SYMBOLS[element]}-H distance of {median:.3g} Angstrom, which should be "
                f"{low}-{high}: its unit is not the declared one, so correct 'units' or convert the positions"
            )
        break
    yield from itertools.chain(first, molecules)


def hydrogen_bond_lengths(molecule: RawMolecule, element: int) -> np.ndarray:
    """Distances [Angstrom] from each H to its nearest heavy atom, if that is `element` (conformation 0)."""
    x = molecule.positions[0] if len(molecule.positions) else np.full((1, 3), np.nan)
    heavy = molecule.atomic_numbers > 1
    if not np.isfinite(x).all() or not heavy.any() or heavy.all():
        return np.zeros(0)
    distances = np.linalg.norm(x[~heavy][:, None] - x[heavy][None], axis=-1)
    nearest = distances.argmin(1)
    return distances.min(1)[molecule.atomic_numbers[heavy][nearest] == element]
