"""Ensembles made on the spot: ETKDG conformers, relaxed with MMFF94s, energies by GFN2-xTB.

GEOM's own protocol (CREST: metadynamics and relaxation with GFN2-xTB) costs a thousand times as much. One molecule is
one unit of work and draws from a generator of its own, so results depend neither on the number of workers nor on the
other molecules.
"""

from dataclasses import dataclass

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers, rdMolAlign

from data.chemistry import Quiet, gfn2, random_rotation
from data.digest import name_digest
from data.geom_drugs import faults
from data.geom_drugs.assemble import not_processed
from data.geom_drugs.faults import Fault, Made
from data.geom_drugs.graphs import graph_in_space, parsed_smiles
from data.geom_drugs.store import Ensemble
from data.units import BOLTZMANN, KCAL

TEMPERATURE = 298.15  # [K], of the Boltzmann weights, as GEOM's
MINIMISATION_STEPS = 1000
MAX_MATCHES = 10_000  # symmetric atom matchings tried for one RMSD


@dataclass(frozen=True)
class Recipe:
    """How ensembles are made."""

    conformers: int  # embedded; fewer remain
    duplicate_rmsd: float  # [Angstrom]
    max_radius: float | None  # [Angstrom], of the farthest atom from the mean of all
    seed: int


@dataclass(frozen=True)
class Task:
    """A molecule to be made. record: its name in sentences."""

    record: str
    smiles: str
    split: str
    recipe: Recipe


def generate(task: Task) -> Made:
    """The ensemble of a molecule; conformers that fail, or the whole molecule, are left out and counted."""
    left_out: list[Fault] = []
    with Quiet():
        try:
            ensemble = _generate(task, left_out)
        except (RuntimeError, ValueError) as error:
            return not_processed(f"{task.record} ({task.smiles})", error)
    return Made(ensemble, tuple(left_out))


def boltzmann_weights(energies: np.ndarray, temperature: float = TEMPERATURE) -> np.ndarray:
    """(k,) weights of states at `energies` (k,) [kcal/mol] above the lowest; they sum to 1."""
    weights = np.exp(-(energies - np.min(energies)) / (BOLTZMANN * temperature))
    return weights / weights.sum()


def _generate(task: Task, left_out: list[Fault]) -> Ensemble | None:
    recipe, name = task.recipe, f"{task.record} ({task.smiles})"

    def refused(reason: str, sentence: str) -> None:
        left_out.append(Fault(reason, sentence))

    def lost(reason: str, count: int, sentence: str) -> None:
        if count:
            left_out.append(Fault(reason, sentence, molecules=0, conformers=count))

    molecule = parsed_smiles(task.smiles)
    if molecule is None:
        return refused(faults.UNPARSABLE, f"{task.record} has the unparsable SMILES '{task.smiles}'")
    if len(Chem.GetMolFrags(molecule)) != 1:
        return refused(faults.FRAGMENTS, f"{name} has several fragments")
    molecule = Chem.AddHs(molecule)
    seed = name_digest(task.smiles, recipe.seed)
    if not _embed(molecule, recipe.conformers, seed):
        return refused(faults.NOT_EMBEDDED, f"{name}: ETKDG finds no conformer")
    missing = recipe.conformers - molecule.GetNumConformers()
    lost(faults.NOT_EMBEDDED, missing, f"{name}: ETKDG finds {missing} conformers too few")
    relaxed = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(
        molecule, maxIters=MINIMISATION_STEPS, mmffVariant="MMFF94s"
    )
    if all(outcome == -1 for outcome, _ in relaxed):
        return refused(faults.NO_FORCE_FIELD, f"{name}: MMFF94s has no parameters for it")

    positions = np.array([conformer.GetPositions() for conformer in molecule.GetConformers()])
    positions -= positions.mean(1, keepdims=True)
    finite = np.isfinite(positions).all((1, 2))
    lost(faults.NOT_FINITE, int((~finite).sum()), f"{name}: a relaxed conformer is not of numbers")
    usable = finite & np.array([outcome == 0 for outcome, _ in relaxed])
    moving = int((finite & ~usable).sum())
    steps = f"after {MINIMISATION_STEPS} steps of MMFF94s"
    lost(faults.NOT_RELAXED, moving, f"{name}: {moving} conformers are not at rest {steps}")
    order = [k for k in np.argsort([energy for _, energy in relaxed], kind="stable") if usable[k]]
    unique = without_duplicates(molecule, order, recipe.duplicate_rmsd)
    removed = len(order) - len(unique)
    lost(faults.DUPLICATE, removed, f"{name}: {removed} of {len(order)} conformers are duplicates")
    fitting = [k for k in unique if recipe.max_radius is None or _radius(positions[k]) <= recipe.max_radius]
    lost(
        faults.TOO_LARGE,
        len(unique) - len(fitting),
        f"{name}: has atoms farther than {recipe.max_radius} Angstrom from its middle",
    )
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    energies = _energies(numbers, positions[fitting], Chem.GetFormalCharge(molecule))
    converged = np.isfinite(energies)
    lost(faults.NOT_CONVERGED, int((~converged).sum()), f"{name}: GFN2-xTB does not converge")
    kept, energies = np.array(fitting, dtype=int)[converged], energies[converged]
    if len(kept) == 0:
        return refused(faults.NO_CONFORMER, f"{name} is left without a conformer")
    lowest = molecule.GetConformers()[int(kept[energies.argmin()])].GetId()
    energies = energies - energies.min()
    turned = [positions[k] @ random_rotation(np.random.default_rng([seed, k])).T for k in kept]
    return Ensemble(
        smiles=task.smiles,
        positions=np.array(turned),
        energies=energies,
        weights=boltzmann_weights(energies),
        same_graph=np.ones(len(kept), dtype=bool),
        split=task.split,
        **vars(graph_in_space(molecule, lowest)),
    )


def _embed(molecule: Chem.Mol, conformers: int, seed: int) -> bool:
    """Adds conformers of one stereoisomer to the molecule; False if there are none.

    Stereo that the SMILES leaves open is fixed as in the first embedding, since an ensemble belongs to one molecule.
    """
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = seed % (2**31 - 1)
    for random_start in (False, True):
        parameters.useRandomCoords = random_start
        if rdDistGeom.EmbedMolecule(molecule, parameters) == 0:
            Chem.AssignStereochemistryFrom3D(molecule)
            if len(rdDistGeom.EmbedMultipleConfs(molecule, conformers, parameters)) > 0:
                return True
    return False


def without_duplicates(molecule: Chem.Mol, order: list[int], threshold: float) -> list[int]:
    """The conformers (by position, in `order`) that differ from all kept before them by more than `threshold`.

    By RMSD [Angstrom] over heavy atoms and hydrogens not on carbon, the least over symmetric matchings and proper
    motions.
    """
    skeleton = Chem.RWMol(molecule)
    skeleton.BeginBatchEdit()
    for atom in molecule.GetAtoms():
        if atom.GetAtomicNum() == 1 and [n.GetAtomicNum() for n in atom.GetNeighbors()] == [6]:
            skeleton.RemoveAtom(atom.GetIdx())
    skeleton.CommitBatchEdit()
    count = skeleton.GetNumConformers()
    rmsd = np.zeros((count, count))
    if count > 1:
        pairs = rdMolAlign.GetAllConformerBestRMS(skeleton.GetMol(), numThreads=1, maxMatches=MAX_MATCHES)
        rmsd[np.tril_indices(count, -1)] = pairs
        rmsd += rmsd.T
    kept: list[int] = []
    for k in order:
        if all(rmsd[k, other] > threshold for other in kept):
            kept.append(int(k))
    return kept


def _radius(positions: np.ndarray) -> float:
    return float(np.linalg.norm(positions, axis=-1).max())


def _energies(numbers: np.ndarray, positions: np.ndarray, charge: int) -> np.ndarray:
    """(k,) GFN2-xTB energies [kcal/mol]; NaN where the calculation fails."""
    energies = np.full(len(positions), np.nan)
    for k, x in enumerate(positions):
        try:
            energies[k] = gfn2(numbers, x, charge=charge)[0] / KCAL
        except RuntimeError:
            continue
    return energies
