"""GEOM's files in miniature, written as GEOM, MiDi and GeoMol write them."""

import io
import pickle
import tarfile
from pathlib import Path

import msgpack
import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDistGeom

HARTREE_PER_KCAL = 1 / 627.509474


def in_this_process(function, items, workers):
    """In place of data.processes.map_in_processes, whose workers take seconds to start."""
    for item in items:
        yield function(item)


def conformers(smiles: str, count: int, seed: int = 1) -> list[Chem.Mol]:
    """Molecules with hydrogens and one conformer each."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    ids = list(rdDistGeom.EmbedMultipleConfs(molecule, count, randomSeed=seed))
    assert len(ids) == count
    return [Chem.Mol(molecule, False, k) for k in ids]


def states(molecules: list[Chem.Mol]) -> list[dict]:
    """As a pickle of GEOM lists conformers: the second the heaviest, 0.5 kcal/mol below the first."""
    weights = np.roll(np.arange(len(molecules), 0, -1), 1) / np.arange(1, len(molecules) + 1).sum()
    return [
        {
            "geom_id": k,
            "set": 1,
            "degeneracy": 1,
            "totalenergy": -40.0 + 0.5 * energy * HARTREE_PER_KCAL,
            "relativeenergy": 0.5 * energy,  # of NumPy's type
            "boltzmannweight": float(weight),
            "conformerweights": [float(weight)],
            "rd_mol": molecule,
        }
        for k, (molecule, weight, energy) in enumerate(
            zip(molecules, weights, np.roll(np.arange(len(molecules)), 1), strict=True)
        )
    ]


def pickled(smiles: str, molecules: list[Chem.Mol], protocol: int = 3) -> bytes:
    """One molecule's file."""
    content = {"smiles": smiles, "totalconfs": 9, "temperature": 298.15, "charge": 0, "datasets": ["plati"]}
    return pickle.dumps({**content, "conformers": states(molecules)}, protocol)


def archive(path: Path, members: dict[str, bytes]) -> Path:
    """A .tar.gz."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def split_file(path: Path, *parts: list[int]) -> Path:
    """A split of GeoMol's: an array of arrays."""
    content = np.empty(len(parts), dtype=object)
    content[:] = [np.array(part, dtype=np.int64) for part in parts]
    np.save(path, content, allow_pickle=True)
    return path


def msgpacked(molecules: dict[str, list[Chem.Mol]], shuffle: int = 0) -> bytes:
    """The msgpack archive's stream, atoms in CREST's order, which is not that of the SMILES."""
    rng = np.random.default_rng(shuffle)
    batch = {}
    for smiles, of_molecule in molecules.items():
        order = rng.permutation(of_molecule[0].GetNumAtoms())
        numbers = np.array([atom.GetAtomicNum() for atom in of_molecule[0].GetAtoms()], dtype=float)
        listed = states(of_molecule)
        for state in listed:
            x = state.pop("rd_mol").GetConformer().GetPositions()
            state["xyz"] = np.column_stack([numbers, x])[order].tolist()
        batch[smiles] = {"totalconfs": 9, "temperature": 298.15, "charge": 0, "conformers": listed}
    return msgpack.packb(batch)
