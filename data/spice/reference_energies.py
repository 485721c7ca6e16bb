"""Isolated-atom energies, subtracted so that energies of different molecules compare."""

from collections.abc import Iterable

import numpy as np
from ase.data import atomic_numbers as NUMBER_OF
from ase.data import chemical_symbols as SYMBOLS

from data.chemistry import gfn2
from data.errors import DataError

# [eV], as in the EScAIP group's conversion of MACE-OFF (spec escaip.md 2.3). Iodine has an effective core.
SPICE_ATOMS = {
    "H": -13.571964772646918,
    "C": -1030.5671648271828,
    "N": -1486.3750255780376,
    "O": -2043.933693071156,
    "F": -2715.318528602957,
    "P": -9287.407133426237,
    "S": -10834.4844708122,
    "Cl": -12522.649269035726,
    "Br": -70045.28385080204,
    "I": -8102.524593409054,
}

# Unpaired electrons of the ground states.
UNPAIRED = {"H": 1, "Li": 1, "B": 1, "C": 2, "N": 3, "O": 2, "F": 1, "Na": 1, "Mg": 0, "Si": 2}
UNPAIRED |= {"P": 3, "S": 2, "Cl": 1, "K": 1, "Ca": 0, "Br": 1, "I": 1}


def gfn2_atoms(elements: Iterable[str]) -> dict[str, float]:
    """GFN2-xTB energy of each isolated atom in its ground state [eV]."""
    return {
        element: gfn2(np.array([NUMBER_OF[element]]), np.zeros((1, 3)), UNPAIRED[element])[0]
        for element in elements
        if element in UNPAIRED
    }


def spice_atoms(elements: Iterable[str]) -> dict[str, float]:
    """SPICE's energy of each isolated atom [eV], where the table has it."""
    return {element: SPICE_ATOMS[element] for element in elements if element in SPICE_ATOMS}


def sum_of_atoms(atomic_numbers: np.ndarray, table: dict[str, float], record: str) -> float:
    """Energy of a molecule's atoms, isolated [eV]. record: the molecule's place in its file, for the error."""
    symbols = [SYMBOLS[number] for number in atomic_numbers]
    for symbol in symbols:
        if symbol not in table:
            raise DataError(
                f"{record} has element {symbol}, for which there is no reference energy: "
                f"take {symbol} out of data.spice.elements"
            )
    return float(sum(table[symbol] for symbol in symbols))
