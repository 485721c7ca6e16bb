"""Generated molecules: real chemistry at 500 K, reproducible, and independent of who else is made."""

import dataclasses

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from data.elements import ORGANIC
from data.spice import generate as module
from data.spice.generate import Candidate, Recipe, candidates, generate, langevin, random_rotation

RECIPE = Recipe(conformers=1, samples_per_conformer=2, temperature=500.0, seed=0)


@pytest.fixture(scope="module")
def ethanol():
    return generate(Candidate("NCI 1", "CCO", RECIPE))


def test_the_nci_file_has_1812_molecules_of_the_mini_tier():
    found = candidates(set(ORGANIC), 8, 24, RECIPE)
    assert len(found) == len({candidate.smiles for candidate in found}) == 1812


def test_the_seed_draws_the_molecules():
    names = [
        [c.name for c in candidates({"H", "C", "O"}, 8, 16, dataclasses.replace(RECIPE, seed=s))]
        for s in (0, 1)
    ]
    assert names[0] != names[1]
    assert sorted(names[0]) == sorted(names[1])


def test_a_molecule_is_made_the_same_again(ethanol):
    again = generate(Candidate("NCI 1", "CCO", RECIPE))
    np.testing.assert_array_equal(again.positions, ethanol.positions)
    np.testing.assert_array_equal(again.forces, ethanol.forces)
    np.testing.assert_array_equal(again.energy, ethanol.energy)


def test_labels_and_geometry_are_those_of_a_warm_molecule(ethanol):
    assert ethanol.positions.shape == (2, 9, 3)
    assert ethanol.failures == {}
    assert sorted(ethanol.atomic_numbers.tolist()) == [1] * 6 + [6, 6, 8]
    np.testing.assert_allclose(ethanol.forces.sum(1), 0, atol=1e-5)
    assert 0.5 < ethanol.forces.std() < 2.5  # 1.2 eV/Angstrom over many molecules
    assert np.linalg.norm(ethanol.positions[0] - ethanol.positions[1], axis=-1).max() > 0.05


def test_the_mapped_smiles_names_the_rows_of_the_coordinates(ethanol):
    parameters = Chem.SmilesParserParams()
    parameters.removeHs = False
    atoms = sorted(Chem.MolFromSmiles(ethanol.smiles, parameters).GetAtoms(), key=lambda a: a.GetAtomMapNum())
    assert [atom.GetAtomicNum() for atom in atoms] == ethanol.atomic_numbers.tolist()


def test_forces_of_the_field_are_those_of_its_energy_at_the_same_positions():
    """RDKit's gradient alone would be that of the positions it saw last."""
    field, x, masses = _field("CCO")
    rng = np.random.default_rng(0)
    y = x + 0.05 * rng.normal(size=x.shape)
    module._acceleration(field, x, masses)
    force = module._acceleration(field, y, masses) * masses / module.ACCELERATION
    direction = rng.normal(size=x.shape)
    step = 1e-4 * direction
    slope = (
        field.CalcEnergy((y + step).ravel().tolist()) - field.CalcEnergy((y - step).ravel().tolist())
    ) / 2e-4
    assert np.sum(force * direction) == pytest.approx(-slope, rel=1e-4)


def test_langevin_dynamics_hold_their_temperature():
    """Of free particles: the mean square displacement of BAOAB is that of an Ornstein-Uhlenbeck walk."""

    class Free:
        def CalcEnergy(self, x):
            return 0.0

        def CalcGrad(self, x):
            return [0.0] * len(x)

    masses = np.full((4000, 1), 12.0)
    (sample,) = langevin(
        Free(), np.zeros((4000, 3)), masses, dataclasses.replace(RECIPE, samples_per_conformer=1),
        np.random.default_rng(0),
    )  # fmt: skip
    t, gamma = module.STEPS_BEFORE_FIRST * module.TIME_STEP, module.FRICTION
    thermal = module.BOLTZMANN * 500.0 * module.ACCELERATION / 12.0
    expected = 2 * thermal / gamma**2 * (gamma * t - 1 + np.exp(-gamma * t))
    assert np.mean(sample**2) == pytest.approx(expected, rel=0.05)


def test_orientations_are_uniform():
    rng = np.random.default_rng(0)
    rotations = np.array([random_rotation(rng) for _ in range(2000)])
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (2000, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1)
    np.testing.assert_allclose(rotations.mean(0), 0, atol=0.05)


def test_what_cannot_be_made_is_counted(monkeypatch):
    monkeypatch.setattr(module.rdDistGeom, "EmbedMultipleConfs", lambda *_: [])
    failed = generate(Candidate("NCI 1", "CCO", RECIPE))
    assert failed.positions.shape == (0, 9, 3)
    assert failed.failures == {module.EMBEDDING_FAILED: 2}


def test_an_unknown_atom_type_is_counted(monkeypatch):
    monkeypatch.setattr(module.rdForceFieldHelpers, "MMFFGetMoleculeProperties", lambda *_, **__: None)
    assert generate(Candidate("NCI 1", "CCO", RECIPE)).failures == {module.NO_FORCE_FIELD: 2}


def test_a_calculation_that_does_not_converge_is_left_out_and_counted(monkeypatch):
    from data.spice import label

    calls = iter([True, False])

    def sometimes(numbers, positions):
        if next(calls):
            raise RuntimeError("no convergence")
        return -1.0, np.zeros_like(positions)

    monkeypatch.setattr(label, "gfn2", sometimes)
    made = generate(Candidate("NCI 1", "CCO", RECIPE))
    assert made.positions.shape == (1, 9, 3)
    assert made.failures == {label.NOT_CONVERGED: 1}


def _field(smiles):
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMolecule(molecule, randomSeed=1)
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(molecule, mmffVariant="MMFF94s")
    field = rdForceFieldHelpers.MMFFGetMoleculeForceField(molecule, properties)
    field.Initialize()
    return field, molecule.GetConformer().GetPositions(), module._masses(molecule)
