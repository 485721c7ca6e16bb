"""Atom-mapped SMILES, by which SPICE says what its rows of coordinates are."""

import numpy as np
from rdkit import Chem, RDLogger

from data.errors import DataError


def parse_mapped_smiles(smiles: str, record: str) -> tuple[np.ndarray, int, str]:
    """Atomic numbers (n,) in map order 1..n, total charge, and the canonical SMILES without maps.

    record: where the SMILES stands, for the error that a SMILES without explicit H or a full map is
    answered with.
    """
    parameters = Chem.SmilesParserParams()
    parameters.removeHs = False
    RDLogger.DisableLog("rdApp.*")
    molecule = Chem.MolFromSmiles(smiles, parameters)
    RDLogger.EnableLog("rdApp.*")
    if molecule is None:
        raise DataError(f"{record} has an unreadable smiles '{smiles}': fetch the file again")
    atoms = sorted(molecule.GetAtoms(), key=lambda atom: atom.GetAtomMapNum())
    if [atom.GetAtomMapNum() for atom in atoms] != list(range(1, len(atoms) + 1)):
        raise DataError(
            f"{record} has a smiles whose atoms are not mapped 1 to {len(atoms)}: fetch the file again"
        )
    numbers = np.array([atom.GetAtomicNum() for atom in atoms])
    charge = Chem.GetFormalCharge(molecule)
    for atom in atoms:
        atom.SetAtomMapNum(0)
    return numbers, charge, Chem.MolToSmiles(Chem.RemoveHs(molecule))
