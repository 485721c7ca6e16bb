"""Molecules from atoms with RDKit: bonds by distance, validity, SD files. Training does not import this module."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rdkit import Chem, rdBase
from rdkit.Chem import rdDetermineBonds
from torch import Tensor

from data.files import replacing
from data.geom_drugs.channels import ATOMIC_NUMBERS
from models.voxmol.atoms import MOST_ATOMS, Atoms

CLOSEST = 0.8  # closer atoms are merged into one [Angstrom]
_MOST_TRIES = 1000  # attempts to assign the bond orders of a molecule


class UnbondedError(ValueError):
    """Atoms that make no molecule."""


@dataclass
class Collection:
    """Molecules, their SMILES without hydrogens, and the reasons why other densities gave no molecule."""

    molecules: list[Chem.Mol] = field(default_factory=list)
    smiles: list[str] = field(default_factory=list)
    refused: Counter = field(default_factory=Counter)

    def add(self, atoms: Atoms) -> None:
        try:
            molecule = bonded(atoms)
        except UnbondedError as reason:
            self.refused[str(reason)] += 1
            return
        self.molecules.append(molecule)
        self.smiles.append(Chem.MolToSmiles(Chem.RemoveHs(molecule)))

    def report(self) -> dict:
        """Numbers of densities and of valid molecules, and the share of the valid ones that is unique."""
        valid, refused = len(self.molecules), sum(self.refused.values())
        return {
            "densities": valid + refused,
            "valid": valid,
            "validity": valid / max(1, valid + refused),
            "unique": len(set(self.smiles)),
            "uniqueness": len(set(self.smiles)) / max(1, valid),
            "refused": dict(sorted(self.refused.items())),
        }


def bonded(atoms: Atoms) -> Chem.Mol:
    """A neutral molecule in one piece, hydrogens and conformer included. Raises UnbondedError with the reason."""
    if not 0 < len(atoms) < MOST_ATOMS:
        raise UnbondedError("no peaks" if len(atoms) == 0 else f"{MOST_ATOMS} peaks or more")
    keep = distinct(atoms.coordinates)
    molecule = Chem.RWMol()
    conformer = Chem.Conformer(len(keep))
    for number, (channel, place) in enumerate(
        zip(atoms.channels[keep].tolist(), atoms.coordinates[keep].tolist(), strict=True)
    ):
        molecule.AddAtom(Chem.Atom(ATOMIC_NUMBERS[channel]))
        conformer.SetAtomPosition(number, place)
    molecule.AddConformer(conformer)
    with rdBase.BlockLogs():  # RDKit also prints on stderr what it raises
        try:
            rdDetermineBonds.DetermineConnectivity(molecule)
            if len(Chem.GetMolFrags(molecule)) > 1:
                raise UnbondedError("several pieces")
            rdDetermineBonds.DetermineBondOrders(molecule, charge=0, maxIterations=_MOST_TRIES)
            Chem.SanitizeMol(molecule)
        except UnbondedError:
            raise
        except (ValueError, RuntimeError) as error:  # RDKit's exceptions are ValueErrors
            raise UnbondedError("no bond orders fit") from error
    return molecule.GetMol()


def distinct(coordinates: Tensor) -> list[int]:
    """Indices of atoms (K, 3) left after repeatedly removing the later of the closest two, until none is too close."""
    keep = list(range(len(coordinates)))
    while len(keep) > 1:
        points = coordinates[keep]
        distances = (points[:, None] - points).norm(dim=-1)
        distances.fill_diagonal_(torch.inf)
        closest = int(distances.argmin())
        if distances.flatten()[closest] >= CLOSEST:
            break
        del keep[max(divmod(closest, len(keep)))]
    return keep


def write_sdf(path: Path, molecules: Iterable[Chem.Mol], names: Sequence[str]) -> None:
    """One record per molecule."""
    with replacing(path) as temporary, Chem.SDWriter(str(temporary)) as writer:
        for molecule, name in zip(molecules, names, strict=True):
            molecule.SetProp("_Name", name)
            writer.write(molecule)
