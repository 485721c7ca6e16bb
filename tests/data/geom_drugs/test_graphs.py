"""Molecular graphs survive the way through arrays, stereo included, in any numbering of the atoms."""

import random

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from data.geom_drugs.graphs import graph_in_space, graph_of, molecule_of
from data.geom_drugs.store import BOND_STEREO, CHIRALITY, Ensemble

SMILES = [
    "C[C@H](N)C(=O)O",
    "C[C@@H](N)C(=O)O",
    r"C/C=C/Cl",
    r"C/C=C\Cl",
    r"F/C(Cl)=C(/Br)I",
    "c1cc[nH]c1",
    "C[S@](=O)c1ccccc1",
    "[NH3+][C@@H](Cc1ccccc1)C(=O)[O-]",
    "O=[N+]([O-])c1ccc(C#N)cc1",
    r"CC(/C=C/[C@H]1C[C@@H](O)CCO1)=N\O",
]


def embedded(smiles: str, shuffle: int | None = None) -> Chem.Mol:
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if shuffle is not None:
        order = list(range(molecule.GetNumAtoms()))
        random.Random(shuffle).shuffle(order)
        molecule = Chem.RenumberAtoms(molecule, order)
    assert rdDistGeom.EmbedMolecule(molecule, randomSeed=7) == 0
    return molecule


def ensemble_of(molecule: Chem.Mol, graph) -> Ensemble:
    x = molecule.GetConformer().GetPositions()[None]
    return Ensemble(
        smiles="",
        positions=x,
        energies=np.zeros(1),
        weights=np.ones(1),
        same_graph=np.ones(1, bool),
        **vars(graph),
    )


@pytest.mark.parametrize("smiles", SMILES)
@pytest.mark.parametrize("shuffle", [None, 1, 2])
def test_a_molecule_comes_back_with_its_stereo_and_charges(smiles, shuffle):
    molecule = embedded(smiles, shuffle)
    for graph in (graph_of(molecule), graph_in_space(molecule)):
        back = molecule_of(ensemble_of(molecule, graph))
        assert Chem.MolToSmiles(Chem.RemoveHs(back)) == Chem.CanonSmiles(smiles)
        np.testing.assert_allclose(back.GetConformer().GetPositions(), molecule.GetConformer().GetPositions())


def test_chirality_is_a_sense_of_rotation_in_space():
    """Seen from the lowest-numbered neighbour the next ones turn as the code says, by their coordinates alone."""
    for smiles in SMILES:
        molecule = embedded(smiles, shuffle=3)
        graph, x = graph_in_space(molecule), molecule.GetConformer().GetPositions()
        for atom in np.flatnonzero(graph.chirality):
            neighbours = sorted(np.setdiff1d(graph.bonds[(graph.bonds == atom).any(1)], atom))
            arms = [x[k] - x[atom] for k in neighbours]
            if len(arms) == 3:
                arms.append(-sum(arms))  # where the lone pair is, which counts as the last
            turn = "clockwise" if np.linalg.det(arms[1:]) > 0 else "counterclockwise"
            assert CHIRALITY[graph.chirality[atom]] == turn, smiles


def test_bond_stereo_is_the_side_of_the_lowest_numbered_neighbours():
    for smiles in SMILES:
        molecule = embedded(smiles, shuffle=4)
        graph, x = graph_in_space(molecule), molecule.GetConformer().GetPositions()
        for row in np.flatnonzero(graph.bond_stereo):
            a, b = graph.bonds[row]
            lowest = [min(np.setdiff1d(graph.bonds[(graph.bonds == end).any(1)], [a, b])) for end in (a, b)]
            axis = (x[b] - x[a]) / np.linalg.norm(x[b] - x[a])
            across = [d - (d @ axis) * axis for d in (x[lowest[0]] - x[a], x[lowest[1]] - x[b])]
            assert BOND_STEREO[graph.bond_stereo[row]] == ("cis" if across[0] @ across[1] > 0 else "trans")


def test_mirror_images_differ_in_chirality_only():
    molecule = embedded("C[C@H](N)C(=O)O")
    mirrored = Chem.Mol(molecule)
    for k, x in enumerate(molecule.GetConformer().GetPositions()):
        mirrored.GetConformer().SetAtomPosition(k, (-x * [1, -1, -1]).tolist())
    ours, theirs = graph_in_space(molecule), graph_in_space(mirrored)
    differing = ours.chirality != theirs.chirality
    assert differing.sum() == 1
    assert np.array_equal(ours.bonds, theirs.bonds)
