"""Labelled conformations made on the spot: NCI molecules, 500 K dynamics on MMFF94s, GFN2-xTB labels.

They resemble SPICE's. Recipe and settings: spec mini_tier.md section 1. One molecule is one unit of
work and draws from a generator of its own, so results depend neither on the number of workers nor on the
other molecules.
"""

from dataclasses import dataclass

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from data.chemistry import Quiet, nci_molecules, random_rotation
from data.digest import name_digest
from data.spice.label import Geometries, Labelled, label
from data.units import BOLTZMANN

EMBEDDING_FAILED = "ETKDG embedding failed"
NO_FORCE_FIELD = "MMFF94s has no parameters"
DIVERGED = "Langevin dynamics diverged"

TIME_STEP = 1.0  # [fs]
FRICTION = 0.05  # [1/fs]
STEPS_BEFORE_FIRST = 100
STEPS_BETWEEN = 50
ACCELERATION = 4.184e-4  # one kcal/mol/Angstrom/dalton in [Angstrom/fs^2]


@dataclass(frozen=True)
class Recipe:
    """How many conformations of a molecule to make, and how hot."""

    conformers: int
    samples_per_conformer: int
    temperature: float  # [K]
    seed: int


@dataclass(frozen=True)
class Candidate:
    """A molecule to be made."""

    name: str
    smiles: str
    recipe: Recipe


def candidates(elements: set[str], min_atoms: int, max_atoms: int, recipe: Recipe) -> list[Candidate]:
    """The NCI molecules of the allowed elements and sizes (with H), in an order drawn from the recipe's seed."""
    chosen = nci_molecules(elements, min_atoms, max_atoms, recipe.seed)
    return [Candidate(name, smiles, recipe) for name, smiles in chosen]


def generate(candidate: Candidate) -> Labelled:
    """Conformers by ETKDG, minimised, heated, sampled and labelled; failures are left out and counted."""
    recipe = candidate.recipe
    seed = name_digest(candidate.smiles, recipe.seed)
    molecule = Chem.AddHs(Chem.MolFromSmiles(candidate.smiles))
    for atom in molecule.GetAtoms():
        atom.SetAtomMapNum(atom.GetIdx() + 1)
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    smiles = Chem.MolToSmiles(molecule)
    for atom in molecule.GetAtoms():
        atom.SetAtomMapNum(0)

    samples: list[np.ndarray] = []
    failures: dict[str, int] = {}

    def fail(reason: str, count: int) -> None:
        if count:
            failures[reason] = failures.get(reason, 0) + count

    with Quiet():
        embedding = rdDistGeom.ETKDGv3()
        embedding.randomSeed = seed % (2**31 - 1)
        conformers = list(rdDistGeom.EmbedMultipleConfs(molecule, recipe.conformers, embedding))
        fail(EMBEDDING_FAILED, (recipe.conformers - len(conformers)) * recipe.samples_per_conformer)
        properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(molecule, mmffVariant="MMFF94s")
        if properties is None:
            fail(NO_FORCE_FIELD, len(conformers) * recipe.samples_per_conformer)
            conformers = []
        for conformer in conformers:
            field = rdForceFieldHelpers.MMFFGetMoleculeForceField(molecule, properties, confId=conformer)
            field.Initialize()
            field.Minimize(maxIts=1000)
            rng = np.random.default_rng([seed, conformer])
            start = molecule.GetConformer(conformer).GetPositions() @ random_rotation(rng).T
            frames = langevin(field, start, _masses(molecule), recipe, rng)
            fail(DIVERGED, recipe.samples_per_conformer - len(frames))
            samples += frames
    shape = (-1, len(numbers), 3)
    labelled = label(
        Geometries(candidate.name, smiles, numbers, np.array(samples, dtype=np.float64).reshape(shape))
    )
    for reason, count in labelled.failures.items():
        fail(reason, count)
    return Labelled(**{**vars(labelled), "failures": failures})


def langevin(
    field, positions: np.ndarray, masses: np.ndarray, recipe: Recipe, rng: np.random.Generator
) -> list[np.ndarray]:
    """Samples (n, 3) [Angstrom] of BAOAB Langevin dynamics from `positions` (n, 3); masses (n, 1) [dalton].

    field: an RDKit force field [kcal/mol]. A trajectory that leaves the finite numbers ends early.
    """
    step = TIME_STEP
    thermal = np.sqrt(BOLTZMANN * recipe.temperature * ACCELERATION / masses)
    damping = np.exp(-FRICTION * step)
    noise = np.sqrt(1 - damping**2) * thermal
    x = positions
    v = thermal * rng.standard_normal(x.shape)
    a = _acceleration(field, x, masses)
    samples = []
    steps = STEPS_BEFORE_FIRST + STEPS_BETWEEN * (recipe.samples_per_conformer - 1)
    for k in range(1, steps + 1):
        v = v + step / 2 * a
        x = x + step / 2 * v
        v = damping * v + noise * rng.standard_normal(x.shape)
        x = x + step / 2 * v
        a = _acceleration(field, x, masses)
        v = v + step / 2 * a
        if not np.isfinite(x).all():
            break
        if k >= STEPS_BEFORE_FIRST and (k - STEPS_BEFORE_FIRST) % STEPS_BETWEEN == 0:
            samples.append(x - x.mean(0))
    return samples


def _acceleration(field, x: np.ndarray, masses: np.ndarray) -> np.ndarray:
    flat = x.ravel().tolist()
    field.CalcEnergy(
        flat
    )  # CalcGrad reuses the distances of the last energy, which would be those of the step before
    return -ACCELERATION * np.array(field.CalcGrad(flat)).reshape(-1, 3) / masses


def _masses(molecule: Chem.Mol) -> np.ndarray:
    return np.array([[atom.GetMass()] for atom in molecule.GetAtoms()])
