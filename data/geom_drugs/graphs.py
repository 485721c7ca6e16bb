"""Molecular graphs as arrays, from RDKit molecules and back.

Stereo is given by atom numbers alone (store.py: CHIRALITY, BOND_STEREO): it can be read without CIP ranks and without
the order of bonds in some library.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Geometry import Point3D

from data.geom_drugs.store import BOND_ORDERS, BOND_STEREO, CHIRALITY, Ensemble

_ORDER_OF = {
    Chem.BondType.SINGLE: "single",
    Chem.BondType.DOUBLE: "double",
    Chem.BondType.TRIPLE: "triple",
    Chem.BondType.AROMATIC: "aromatic",
}
_TYPE_OF = {name: kind for kind, name in _ORDER_OF.items()} | {"other": Chem.BondType.UNSPECIFIED}
_TURN_OF = {
    Chem.ChiralType.CHI_TETRAHEDRAL_CW: "clockwise",
    Chem.ChiralType.CHI_TETRAHEDRAL_CCW: "counterclockwise",
}
_TAG_OF = {turn: tag for tag, turn in _TURN_OF.items()}
_SIDE_OF = {
    Chem.BondStereo.STEREOZ: "cis",
    Chem.BondStereo.STEREOCIS: "cis",
    Chem.BondStereo.STEREOE: "trans",
    Chem.BondStereo.STEREOTRANS: "trans",
}
_STEREO_OF = {"cis": Chem.BondStereo.STEREOCIS, "trans": Chem.BondStereo.STEREOTRANS}
_OPPOSITE = {"clockwise": "counterclockwise", "counterclockwise": "clockwise", "cis": "trans", "trans": "cis"}


@dataclass(frozen=True)
class Graph:
    """n atoms and b bonds, coded as the store codes them."""

    atomic_numbers: np.ndarray  # (n,) u1
    formal_charges: np.ndarray  # (n,) i1
    chirality: np.ndarray  # (n,) u1
    bonds: np.ndarray  # (b, 2) i4, the lower atom first, rows in rising order
    bond_orders: np.ndarray  # (b,) u1
    bond_stereo: np.ndarray  # (b,) u1


def parsed_smiles(smiles: Any) -> Chem.Mol | None:
    """The molecule of a SMILES; None if it cannot be parsed, is empty or is not text."""
    molecule = Chem.MolFromSmiles(smiles) if isinstance(smiles, str) else None
    return molecule if molecule is not None and molecule.GetNumAtoms() else None


def graph_of(molecule: Chem.Mol) -> Graph:
    """The graph of a molecule whose hydrogens are atoms."""
    atoms = list(molecule.GetAtoms())
    bonds = sorted(molecule.GetBonds(), key=_ends)
    return Graph(
        atomic_numbers=np.array([atom.GetAtomicNum() for atom in atoms], dtype=np.uint8),
        formal_charges=np.array([atom.GetFormalCharge() for atom in atoms], dtype=np.int8),
        chirality=np.array([CHIRALITY.index(_turn(atom)) for atom in atoms], dtype=np.uint8),
        bonds=np.array([_ends(bond) for bond in bonds], dtype=np.int32).reshape(-1, 2),
        bond_orders=np.array(
            [BOND_ORDERS.index(_ORDER_OF.get(bond.GetBondType(), "other")) for bond in bonds], dtype=np.uint8
        ),
        bond_stereo=np.array([BOND_STEREO.index(_side(bond)) for bond in bonds], dtype=np.uint8),
    )


def graph_in_space(molecule: Chem.Mol, conformer: int = -1) -> Graph:
    """The graph with the stereo of a conformer, in place of the stereo that the molecule declares."""
    molecule = Chem.Mol(molecule)
    Chem.AssignStereochemistryFrom3D(molecule, conformer, replaceExistingTags=True)
    return graph_of(molecule)


def molecule_of(ensemble: Ensemble) -> Chem.Mol:
    """The RDKit molecule of an ensemble, with all its conformers in their order."""
    molecule = Chem.RWMol()
    for number, charge in zip(ensemble.atomic_numbers, ensemble.formal_charges, strict=True):
        atom = Chem.Atom(int(number))
        atom.SetFormalCharge(int(charge))
        atom.SetNoImplicit(True)
        molecule.AddAtom(atom)
    aromatic = BOND_ORDERS.index("aromatic")
    for (a, b), order in zip(ensemble.bonds.tolist(), ensemble.bond_orders, strict=True):
        molecule.AddBond(a, b, _TYPE_OF[BOND_ORDERS[order]])
        if order == aromatic:
            molecule.GetBondBetweenAtoms(a, b).SetIsAromatic(True)
            for end in (a, b):
                molecule.GetAtomWithIdx(end).SetIsAromatic(True)
    for atom, code in zip(molecule.GetAtoms(), ensemble.chirality, strict=True):
        if code:
            turn = CHIRALITY[code]
            atom.SetChiralTag(_TAG_OF[_OPPOSITE[turn] if _is_odd(_neighbours(atom)) else turn])
    for (a, b), code in zip(ensemble.bonds.tolist(), ensemble.bond_stereo, strict=True):
        if code:
            bond = molecule.GetBondBetweenAtoms(a, b)
            bond.SetStereoAtoms(*_lowest_others(bond))
            bond.SetStereo(_STEREO_OF[BOND_STEREO[code]])
    for positions in ensemble.positions:
        molecule.AddConformer(_conformer(positions), assignId=True)
    made = molecule.GetMol()
    Chem.SanitizeMol(made, Chem.SANITIZE_ALL ^ Chem.SANITIZE_CLEANUP)
    Chem.SetDoubleBondNeighborDirections(made)  # cis and trans become Z and E, without which SMILES lack them
    Chem.AssignStereochemistry(made, cleanIt=True, force=True)
    return made


def with_positions(molecule: Chem.Mol, x: np.ndarray) -> Chem.Mol:
    """A copy of the molecule with the one conformer x (n, 3)."""
    copy = Chem.Mol(molecule)
    copy.RemoveAllConformers()
    copy.AddConformer(_conformer(x), assignId=True)
    return copy


def same_graph(graph: Graph, other: Graph) -> bool:
    """Whether two graphs have the same bonds between the same atoms; bond orders and stereo may differ."""
    return np.array_equal(graph.bonds, other.bonds)


def _conformer(x: np.ndarray) -> Chem.Conformer:
    conformer = Chem.Conformer(len(x))
    for row, position in enumerate(x.tolist()):
        conformer.SetAtomPosition(row, Point3D(*position))
    return conformer


def _ends(bond: Chem.Bond) -> tuple[int, int]:
    a, b = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
    return min(a, b), max(a, b)


def _neighbours(atom: Chem.Atom) -> list[int]:
    """In the order of the atom's bonds, to which RDKit's chiral tags refer."""
    return [bond.GetOtherAtomIdx(atom.GetIdx()) for bond in atom.GetBonds()]


def _is_odd(order: list[int]) -> bool:
    return sum(a > b for a, b in itertools.combinations(order, 2)) % 2 == 1


def _turn(atom: Chem.Atom) -> str:
    turn = _TURN_OF.get(atom.GetChiralTag(), "none")
    return _OPPOSITE[turn] if turn != "none" and _is_odd(_neighbours(atom)) else turn


def _side(bond: Chem.Bond) -> str:
    side, named = _SIDE_OF.get(bond.GetStereo(), "none"), list(bond.GetStereoAtoms())
    if side == "none" or len(named) != 2:
        return "none"
    swaps = sum(atom != lowest for atom, lowest in zip(named, _lowest_others(bond), strict=True))
    return _OPPOSITE[side] if swaps % 2 else side


def _lowest_others(bond: Chem.Bond) -> tuple[int, int]:
    """The lowest-numbered other neighbour of the bond's first atom, and of its second."""
    begin, end = bond.GetBeginAtom(), bond.GetEndAtom()
    return (
        min(atom for atom in _neighbours(begin) if atom != end.GetIdx()),
        min(atom for atom in _neighbours(end) if atom != begin.GetIdx()),
    )
