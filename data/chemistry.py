"""Tools for generated molecules of every data set: their choice, their orientation and GFN2-xTB."""

from pathlib import Path

import numpy as np
from rdkit import Chem, RDConfig, RDLogger
from scipy.spatial.transform import Rotation

from data.digest import name_digest
from data.units import BOHR, HARTREE

MOLECULES = Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi"
GFN2 = "GFN2-xTB"


class Quiet:
    """RDKit's warnings off: failures are counted, not printed."""

    def __enter__(self) -> None:
        RDLogger.DisableLog("rdApp.*")

    def __exit__(self, *_) -> None:
        RDLogger.EnableLog("rdApp.*")


def nci_molecules(elements: set[str], min_atoms: int, max_atoms: int, seed: int) -> list[tuple[str, str]]:
    """(name, SMILES) of the one-fragment, neutral, closed-shell NCI molecules of these elements and sizes (with H).

    Unique, in an order drawn from (seed, SMILES), so that the first k are a random k.
    """
    found: dict[str, str] = {}
    with Quiet():
        for line in MOLECULES.read_text().splitlines():
            smiles, name = line.split()[:2]
            molecule = Chem.MolFromSmiles(smiles)
            if molecule is None or "." in smiles or Chem.GetFormalCharge(molecule) != 0:
                continue
            molecule = Chem.AddHs(molecule)
            atoms = list(molecule.GetAtoms())
            if (
                min_atoms <= len(atoms) <= max_atoms
                and {atom.GetSymbol() for atom in atoms} <= elements
                and not any(atom.GetNumRadicalElectrons() for atom in atoms)
            ):
                found.setdefault(Chem.CanonSmiles(smiles), f"NCI {name}")
    return [(found[smiles], smiles) for smiles in sorted(found, key=lambda smiles: name_digest(smiles, seed))]


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """A uniformly random rotation (3, 3).

    ETKDG lays the long axis of a molecule along x, which no real data set does, so generated molecules are turned.
    """
    return Rotation.from_quat(rng.standard_normal(4)).as_matrix()


def gfn2(
    atomic_numbers: np.ndarray, positions: np.ndarray, unpaired: int | None = None, charge: int = 0
) -> tuple[float, np.ndarray]:
    """Total energy [eV] and forces (n, 3) [eV/Angstrom] of a molecule at positions (n, 3) [Angstrom].

    A fresh calculator each time, at default accuracy: restarting from the previous result would make forces
    depend on the order of work (by up to 1e-3 eV/Angstrom). unpaired: number of unpaired electrons (default:
    the lowest possible). RuntimeError where the self-consistent field does not converge or the result is not
    finite.
    """
    from tblite.interface import Calculator  # loaded late: it fixes its thread count when it loads

    numbers, bohr = np.asarray(atomic_numbers), np.asarray(positions) / BOHR
    calculator = Calculator(GFN2, numbers, bohr, charge=float(charge), uhf=unpaired)
    calculator.set("verbosity", 0)
    result = calculator.singlepoint()
    energy = float(result.get("energy")) * HARTREE
    forces = -np.asarray(result.get("gradient")) * (HARTREE / BOHR)
    if not (np.isfinite(energy) and np.isfinite(forces).all()):
        raise RuntimeError("energy or forces are not finite")
    return energy, forces
