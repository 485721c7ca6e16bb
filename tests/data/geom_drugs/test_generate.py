"""Generated ensembles: of one stereoisomer, without duplicates, reproducible, with honest faults."""

import dataclasses

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdMolAlign
from rdkit.Geometry import Point3D

from data.geom_drugs import faults
from data.geom_drugs import generate as module
from data.geom_drugs.generate import Recipe, Task, boltzmann_weights, generate, without_duplicates
from data.geom_drugs.graphs import molecule_of

RECIPE = Recipe(conformers=4, duplicate_rmsd=0.1, max_radius=None, seed=0)
BUTANOL = Task("NCI 1", "CCC(C)O", "train", RECIPE)  # its stereocentre is left open


def reasons(made):
    return {fault.reason: (fault.molecules, fault.conformers) for fault in made.faults}


@pytest.fixture(scope="module")
def butanol():
    return generate(BUTANOL)


def test_a_molecule_is_made_the_same_again(butanol):
    again = generate(BUTANOL)
    np.testing.assert_array_equal(again.ensemble.positions, butanol.ensemble.positions)
    np.testing.assert_array_equal(again.ensemble.energies, butanol.ensemble.energies)
    other = generate(dataclasses.replace(BUTANOL, recipe=dataclasses.replace(RECIPE, seed=1)))
    assert not np.array_equal(other.ensemble.positions[0], butanol.ensemble.positions[0])


def test_conformers_are_distinct_centred_and_of_one_stereoisomer(butanol):
    ensemble = butanol.ensemble
    assert 1 < len(ensemble.positions) <= RECIPE.conformers
    np.testing.assert_allclose(ensemble.positions.mean(1), 0, atol=1e-9)
    molecule = molecule_of(ensemble)
    isomers = set()
    for conformer in molecule.GetConformers():
        one = Chem.Mol(molecule, False, conformer.GetId())
        Chem.AssignStereochemistryFrom3D(one, replaceExistingTags=True)
        isomers.add(Chem.MolToSmiles(Chem.RemoveHs(one)))
    assert isomers == {Chem.MolToSmiles(Chem.RemoveHs(molecule))}
    assert "@" in isomers.pop()
    heavy = Chem.Mol(molecule)
    for a in range(heavy.GetNumConformers()):
        for b in range(a):
            assert rdMolAlign.GetBestRMS(heavy, molecule, a, b) > RECIPE.duplicate_rmsd


def test_energies_are_relative_and_weights_are_boltzmanns(butanol):
    energies = butanol.ensemble.energies
    assert energies.min() == 0
    assert energies.max() < 10  # [kcal/mol]
    np.testing.assert_allclose(butanol.ensemble.weights, boltzmann_weights(energies))
    kT = 0.592484  # [kcal/mol] at 298.15 K
    assert boltzmann_weights(np.array([0.0, kT]))[1] == pytest.approx(1 / (1 + np.e), rel=1e-5)


def test_symmetry_makes_duplicates_and_a_mirror_image_does_not():
    molecule = Chem.AddHs(Chem.MolFromSmiles("CC(F)(Cl)O"))
    rdDistGeom.EmbedMolecule(molecule, randomSeed=3)
    x = molecule.GetConformer().GetPositions()
    hydrogens = [a.GetIdx() for a in molecule.GetAtomWithIdx(0).GetNeighbors() if a.GetAtomicNum() == 1]
    turned = x.copy()
    turned[hydrogens] = x[np.roll(hydrogens, 1)]  # a third of a turn of the methyl group
    for copy in (turned + 5.0, x * [-1, 1, 1]):
        conformer = Chem.Conformer(len(x))
        for row, position in enumerate(copy.tolist()):
            conformer.SetAtomPosition(row, Point3D(*position))
        molecule.AddConformer(conformer, assignId=True)
    assert without_duplicates(molecule, [0, 1, 2], 0.1) == [0, 2]
    assert without_duplicates(molecule, [1, 0, 2], 0.1) == [1, 2]


def test_charged_molecules_are_labelled_with_their_charge():
    made = generate(Task("row 1", "C[NH3+]", "test", dataclasses.replace(RECIPE, conformers=1)))
    assert made.ensemble.formal_charges.sum() == 1
    assert made.ensemble.split == "test"
    assert made.faults == ()


@pytest.mark.parametrize(
    ("smiles", "reason", "sentence"),
    [
        ("CC(C", faults.UNPARSABLE, "row 7 has the unparsable SMILES 'CC(C'"),
        ("", faults.UNPARSABLE, "row 7 has the unparsable SMILES ''"),
        ("CC.O", faults.FRAGMENTS, "row 7 (CC.O) has several fragments"),
        ("CB(O)O", faults.NO_FORCE_FIELD, "row 7 (CB(O)O): MMFF94s has no parameters for it"),
        ("[C@H]12C[C@@H]1C2", faults.NOT_EMBEDDED, "ETKDG finds no conformer"),
    ],
)
def test_what_cannot_be_made_is_one_sentence(smiles, reason, sentence):
    made = generate(Task("row 7", smiles, "train", RECIPE))
    assert made.ensemble is None
    assert made.faults[-1].reason == reason
    assert sentence in made.faults[-1].sentence
    assert made.faults[-1].molecules == 1


def test_conformers_that_do_not_fit_or_converge_are_counted(monkeypatch, butanol):
    tight = dataclasses.replace(RECIPE, max_radius=1.0)
    made = generate(dataclasses.replace(BUTANOL, recipe=tight))
    assert made.ensemble is None
    assert reasons(made)[faults.TOO_LARGE][1] >= 1
    assert reasons(made)[faults.NO_CONFORMER] == (1, 0)

    calls = iter([True] + [False] * 3)

    def sometimes(numbers, x, charge):
        if next(calls):
            raise RuntimeError("no convergence")
        return -1.0, np.zeros_like(x)

    monkeypatch.setattr(module, "gfn2", sometimes)
    made = generate(BUTANOL)
    assert reasons(made)[faults.NOT_CONVERGED] == (0, 1)
    assert len(made.ensemble.positions) == len(butanol.ensemble.positions) - 1


def test_conformers_that_do_not_embed_are_counted(monkeypatch):
    embed = module.rdDistGeom.EmbedMultipleConfs
    monkeypatch.setattr(module.rdDistGeom, "EmbedMultipleConfs", lambda m, n, p: embed(m, n - 1, p))
    assert reasons(generate(BUTANOL))[faults.NOT_EMBEDDED] == (0, 1)


def altered(monkeypatch, change):
    """Relaxation whose (outcome, energy) of every conformer are changed afterwards, as is the molecule."""
    relax = module.rdForceFieldHelpers.MMFFOptimizeMoleculeConfs

    def relaxed(molecule, **options):
        return change(molecule, relax(molecule, **options))

    monkeypatch.setattr(module.rdForceFieldHelpers, "MMFFOptimizeMoleculeConfs", relaxed)


def test_conformers_that_are_not_relaxed_are_left_out_and_counted(monkeypatch):
    altered(monkeypatch, lambda _, outcomes: [(1, -1e3), *outcomes[1:]])
    made = generate(BUTANOL)
    assert reasons(made)[faults.NOT_RELAXED] == (0, 1)
    assert made.faults[0].sentence.endswith("1 conformers are not at rest after 1000 steps of MMFF94s")
    gone = sum(fault.conformers for fault in made.faults)
    assert len(made.ensemble.positions) == RECIPE.conformers - gone


def test_conformers_that_relax_to_no_numbers_are_left_out_and_counted(monkeypatch):
    def blown_up(molecule, outcomes):
        molecule.GetConformer(2).SetAtomPosition(0, Point3D(np.nan, 0, 0))
        return outcomes

    altered(monkeypatch, blown_up)
    made = generate(BUTANOL)
    assert reasons(made)[faults.NOT_FINITE] == (0, 1)
    assert np.isfinite(made.ensemble.positions).all()


def test_the_graph_is_that_of_the_conformer_of_largest_weight(monkeypatch):
    energies = iter([3.0, 1.0, 2.0, 4.0])
    told = []
    whole = module.graph_in_space
    monkeypatch.setattr(module, "gfn2", lambda numbers, x, charge: (next(energies), None))
    monkeypatch.setattr(module, "without_duplicates", lambda molecule, order, threshold: order)
    monkeypatch.setattr(
        module,
        "graph_in_space",
        lambda molecule, k: told.append(molecule.GetConformer(k)) or whole(molecule, k),
    )
    ensemble = generate(BUTANOL).ensemble
    (conformer,) = told
    distances = [
        np.linalg.norm(x[:, None] - x, axis=-1) for x in (conformer.GetPositions(), *ensemble.positions)
    ]
    matching = [np.allclose(distances[0], other, atol=1e-6) for other in distances[1:]]
    assert matching == [k == ensemble.weights.argmax() for k in range(4)]


def test_embedding_starts_from_random_coordinates_where_the_ordinary_start_fails(monkeypatch):
    embed, starts = module.rdDistGeom.EmbedMultipleConfs, []

    def stubborn(molecule, count, parameters):
        starts.append(parameters.useRandomCoords)
        return embed(molecule, count if parameters.useRandomCoords else 0, parameters)

    monkeypatch.setattr(module.rdDistGeom, "EmbedMultipleConfs", stubborn)
    assert generate(BUTANOL).ensemble is not None
    assert starts == [False, True]


def test_a_molecule_that_rdkit_fails_at_is_counted(monkeypatch):
    def failing(*_):
        raise RuntimeError("Invariant Violation\nof some kind")

    monkeypatch.setattr(module, "graph_in_space", failing)
    made = generate(BUTANOL)
    assert made.ensemble is None
    assert reasons(made) == {faults.NOT_PROCESSED: (1, 0)}
    assert made.faults[0].sentence == "NCI 1 (CCC(C)O): RDKit fails (Invariant Violation)"
