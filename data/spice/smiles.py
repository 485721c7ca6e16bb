"""Atom-mapped SMILES, which say to which atom each row of coordinates in SPICE belongs."""

from dataclasses import dataclass

import numpy as np
from rdkit import Chem

from data.chemistry import Quiet
from data.errors import DataError


@dataclass(frozen=True)
class MappedSmiles:
    """The contents of an atom-mapped SMILES; rows are in map order."""

    atomic_numbers: np.ndarray  # (n,)
    bonds: np.ndarray  # (b, 2), rows
    charge: int
    canonical: str  # without map and explicit H


def parse_mapped_smiles(smiles: str, record: str) -> MappedSmiles:
    """DataError if H are missing or the map is not 1 to n. record: the place of the SMILES, for the error."""
    parameters = Chem.SmilesParserParams()
    parameters.removeHs = False
    with Quiet():
        molecule = Chem.MolFromSmiles(smiles, parameters)
    if molecule is None:
        raise DataError(f"{record} has an unreadable smiles '{smiles}': fetch the file again")
    atoms = sorted(molecule.GetAtoms(), key=lambda atom: atom.GetAtomMapNum())
    if [atom.GetAtomMapNum() for atom in atoms] != list(range(1, len(atoms) + 1)):
        raise DataError(
            f"{record} has a smiles whose atoms are not mapped 1 to {len(atoms)}: fetch the file again"
        )
    numbers = np.array([atom.GetAtomicNum() for atom in atoms])
    bonds = [
        (bond.GetBeginAtom().GetAtomMapNum(), bond.GetEndAtom().GetAtomMapNum())
        for bond in molecule.GetBonds()
    ]
    for atom in atoms:
        atom.SetAtomMapNum(0)
    return MappedSmiles(
        atomic_numbers=numbers,
        bonds=np.array(bonds, dtype=int).reshape(-1, 2) - 1,
        charge=Chem.GetFormalCharge(molecule),
        canonical=Chem.MolToSmiles(Chem.RemoveHs(molecule)),
    )
