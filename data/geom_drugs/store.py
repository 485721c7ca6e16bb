"""The packed store of molecules with conformer ensembles: one memory-mapped file.

One HDF5 file of flat, contiguous, uncompressed arrays. With M molecules, A atoms and B bonds in them, C conformers
and R rows of coordinates in all:

    molecules   smiles (M,) utf-8, as in the source      split (M,) u1 (0 train, 1 validation, 2 test)
                atom_offsets, bond_offsets, conformer_offsets (M + 1,) i8: molecule m owns the atoms
                atom_offsets[m]:atom_offsets[m + 1], and bonds and conformers likewise
    atoms       atomic_numbers (A,) u1      formal_charges (A,) i1      chirality (A,) u1, CHIRALITY
    bonds       bonds (B, 2) i4: atoms, counted from the molecule's first      bond_orders (B,) u1, BOND_ORDERS
                bond_stereo (B,) u1, BOND_STEREO
    conformers  molecule (C,) i4
                energies (C,) f8 [kcal/mol] above the molecule's lowest, NaN where the source has none
                weights (C,) f8: Boltzmann weights, which sum to 1 in a molecule (equal ones where the source has none)
                same_graph (C,) bool: whether the conformer has the molecule's bonds (a reacted one has others)
                position_offsets (C + 1,) i8: conformer c owns the rows position_offsets[c]:position_offsets[c + 1]
    rows        positions (R, 3) f4 [Angstrom], in the order of the molecule's atoms, hydrogens included

Molecules are in the order of their source, the conformers of each by falling weight, equal ones in the order of their
source. Training imports this module: numpy and h5py only.
"""

import functools
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from data.errors import DataError
from data.files import replacing
from data.mapped import MappedStore, ragged_rows

FORMAT = "ensemble-store-1"
SPLITS = ("train", "validation", "test")
# Seen from the lowest-numbered neighbour, the others in rising order turn this way; a lone pair does not count.
CHIRALITY = ("none", "clockwise", "counterclockwise")
BOND_ORDERS = ("other", "single", "double", "triple", "aromatic")
# Of the lowest-numbered other neighbours of the bond's two atoms.
BOND_STEREO = ("none", "cis", "trans")
UNITS = {"positions": "angstrom", "energies": "kcal/mol"}

_ATOMS = {"atomic_numbers": ("u1", ()), "formal_charges": ("i1", ()), "chirality": ("u1", ())}
_BONDS = {"bonds": ("<i4", (2,)), "bond_orders": ("u1", ()), "bond_stereo": ("u1", ())}
_CONFORMERS = {"energies": ("<f8", ()), "weights": ("<f8", ()), "same_graph": ("?", ())}
_ROWS = {"positions": ("<f4", (3,))}
_SPOOLED = _ATOMS | _BONDS | _CONFORMERS | _ROWS
_COPY_ROWS = 65536


@dataclass(frozen=True)
class Ensemble:
    """One molecule of n atoms and b bonds with k conformers, as sources give it to `write_store` and stores return it.

    split: "train", "validation" or "test". Codes index CHIRALITY, BOND_ORDERS, BOND_STEREO.
    """

    smiles: str
    atomic_numbers: np.ndarray  # (n,)
    formal_charges: np.ndarray  # (n,)
    chirality: np.ndarray  # (n,)
    bonds: np.ndarray  # (b, 2)
    bond_orders: np.ndarray  # (b,)
    bond_stereo: np.ndarray  # (b,)
    positions: np.ndarray  # (k, n, 3) [Angstrom]
    energies: np.ndarray  # (k,) [kcal/mol], relative to the lowest; NaN: unknown
    weights: np.ndarray  # (k,)
    same_graph: np.ndarray  # (k,)
    split: str = "train"


@dataclass(frozen=True)
class Conformers:
    """B conformers, their n atoms one after the other."""

    positions: np.ndarray  # (n, 3) f4 [Angstrom]
    atomic_numbers: np.ndarray  # (n,) u1
    counts: np.ndarray  # (B,) i8, atoms of each
    molecule: np.ndarray  # (B,) i4

    def __len__(self) -> int:
        return len(self.counts)


class Ensembles(MappedStore):
    """Random access to a store by molecule and by conformer. Pickles as its path, for data-loader workers.

    Attributes read from the file: the arrays of the module's docstring by name (except smiles), source, dataset (what
    the conformers are, for captions), energy_level, config (what prepared it), digest (of the content).
    """

    FORMAT = FORMAT
    PREPARED_BY = "data.geom_drugs.prepare"

    def _read(self, file: h5py.File) -> None:
        for name in ("source", "dataset", "energy_level", "digest"):
            setattr(self, name, str(file.attrs[name]))
        self.config = json.loads(file.attrs["config"])
        self.split = file["split"][:]
        self.molecule = file["molecule"][:]
        self.atom_offsets = file["atom_offsets"][:]
        self.bond_offsets = file["bond_offsets"][:]
        self.conformer_offsets = file["conformer_offsets"][:]
        self.position_offsets = file["position_offsets"][:]
        for name in _SPOOLED:
            setattr(self, name, self._map(file[name]))

    def __len__(self) -> int:
        """Molecules."""
        return len(self.split)

    @property
    def conformers(self) -> int:
        """Conformers of all molecules."""
        return len(self.molecule)

    @property
    def counts(self) -> np.ndarray:
        """(M,) atoms of each molecule."""
        return np.diff(self.atom_offsets)

    @functools.cached_property
    def smiles(self) -> list[str]:
        """Of each molecule."""
        with h5py.File(self.path, "r") as file:
            return [smiles.decode() for smiles in file["smiles"][:]]

    def elements(self, molecule: int) -> np.ndarray:
        """(n,) u1 atomic numbers of a molecule."""
        return self.atomic_numbers[self.atom_offsets[molecule] : self.atom_offsets[molecule + 1]]

    def split_molecules(self, split: str) -> np.ndarray:
        """Indices of the molecules of a split, in file order."""
        return np.flatnonzero(self.split == SPLITS.index(split))

    def split_conformers(self, split: str, at_most: int | None = None) -> np.ndarray:
        """Indices of the split's conformers, `at_most` of each molecule (those of largest weight).

        The first of every molecule, then the second of every molecule that has two, ...: a diverse head.
        """
        molecules = self.split_molecules(split)
        first = self.conformer_offsets[molecules]
        counts = np.minimum(
            self.conformer_offsets[molecules + 1] - first,
            np.iinfo(np.int64).max if at_most is None else at_most,
        )
        rows = ragged_rows(first, counts)
        return rows[np.argsort(rows - np.repeat(first, counts), kind="stable")]

    def read(self, conformers: Sequence[int] | np.ndarray) -> Conformers:
        """The conformers at these indices (B,), in that order; repeats are allowed."""
        conformers = np.asarray(conformers, dtype=np.int64)
        molecule = self.molecule[conformers]
        starts = self.position_offsets[conformers]
        counts = self.position_offsets[conformers + 1] - starts
        return Conformers(
            positions=np.asarray(self.positions[ragged_rows(starts, counts)]),
            atomic_numbers=np.asarray(self.atomic_numbers[ragged_rows(self.atom_offsets[molecule], counts)]),
            counts=counts,
            molecule=molecule,
        )

    def ensemble(self, molecule: int) -> Ensemble:
        """Everything about a molecule."""
        atoms = slice(*self.atom_offsets[molecule : molecule + 2])
        bonds = slice(*self.bond_offsets[molecule : molecule + 2])
        conformers = slice(*self.conformer_offsets[molecule : molecule + 2])
        rows = slice(*self.position_offsets[[conformers.start, conformers.stop]])
        parts = (
            {name: getattr(self, name)[atoms] for name in _ATOMS}
            | {name: getattr(self, name)[bonds] for name in _BONDS}
            | {name: getattr(self, name)[conformers] for name in _CONFORMERS}
        )
        positions = self.positions[rows].reshape(-1, len(parts["atomic_numbers"]), 3)
        return Ensemble(
            smiles=self.smiles[molecule], positions=positions, split=SPLITS[self.split[molecule]], **parts
        )


def write_store(
    path: str | os.PathLike,
    ensembles: Iterable[Ensemble],
    *,
    source: str,
    dataset: str,
    energy_level: str,
    config: dict,
    splits: Sequence[str] = ("train",),
) -> dict[str, int]:
    """Writes a store and returns its counts: molecules, conformers, atoms, bonds; molecules by split.

    Streams: the arrays are spooled beside `path` as the ensembles come; memory holds only the columns with one entry
    per molecule or conformer. The file appears under `path` only when complete. DataError if one of `splits` is
    empty, or for an ensemble that `check_ensemble` refuses.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    spool = path.with_name(path.name + ".spool.tmp")
    shutil.rmtree(spool, ignore_errors=True)
    spool.mkdir()
    try:
        smiles, split, counts = _spool(ensembles, spool)
        for name in splits:
            if not (split == SPLITS.index(name)).any():
                raise DataError(
                    f"store {path}: no molecule is left for the {name} split: use more molecules or other splits"
                )
        columns = _columns(split, *counts)
        with replacing(path) as temporary:
            _write_file(temporary, spool, smiles, columns, source, dataset, energy_level, config)
    finally:
        shutil.rmtree(spool, ignore_errors=True)
    return {
        "molecules": len(smiles),
        "conformers": len(columns["molecule"]),
        "atoms": int(columns["atom_offsets"][-1]),
        "bonds": int(columns["bond_offsets"][-1]),
        **{name: int((split == code).sum()) for code, name in enumerate(SPLITS)},
    }


def check_ensemble(ensemble: Ensemble, record: str) -> None:
    """Raises DataError for an ensemble that no store should have. record: its name in the error."""
    n, b, k = len(ensemble.atomic_numbers), len(ensemble.bonds), len(ensemble.positions)
    shapes = {name: (n, *shape) for name, (_, shape) in _ATOMS.items()}
    shapes |= {name: (b, *shape) for name, (_, shape) in _BONDS.items()}
    shapes |= {name: (k, *shape) for name, (_, shape) in _CONFORMERS.items()} | {"positions": (k, n, 3)}
    for name, shape in shapes.items():
        if np.shape(getattr(ensemble, name)) != shape:
            raise DataError(f"{record} has {name} of shape {np.shape(getattr(ensemble, name))}, not {shape}")
    if k == 0:
        raise DataError(f"{record} has no conformer")
    bad = np.argwhere(~np.isfinite(ensemble.positions))
    if len(bad):
        raise DataError(
            f"{record}: conformer {bad[0, 0]} has coordinates of atom {bad[0, 1]} that are not numbers"
        )


def by_weight(ensemble_weights: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """(k,) the order of conformers in a store: by falling weight, equal ones by rising energy, then as they came."""
    return np.lexsort((np.arange(len(energies)), energies, -np.asarray(ensemble_weights)))


def _spool(
    ensembles: Iterable[Ensemble], spool: Path
) -> tuple[list[str], np.ndarray, tuple[np.ndarray, ...]]:
    """Appends every array to a raw file of its own; returns smiles, split codes and (atoms, bonds, conformers)."""
    smiles: list[str] = []
    split: list[int] = []
    counts: list[tuple[int, int, int]] = []
    files = {name: open(spool / name, "wb") for name in _SPOOLED}  # noqa: SIM115
    try:
        for ensemble in ensembles:
            check_ensemble(ensemble, f"molecule {ensemble.smiles}")
            order = by_weight(ensemble.weights, ensemble.energies)
            for name, (dtype, _) in _SPOOLED.items():
                values = np.asarray(getattr(ensemble, name))
                if name in _CONFORMERS or name in _ROWS:
                    values = values[order]
                np.ascontiguousarray(values, dtype=dtype).tofile(files[name])
            smiles.append(ensemble.smiles)
            split.append(SPLITS.index(ensemble.split))
            counts.append((len(ensemble.atomic_numbers), len(ensemble.bonds), len(ensemble.positions)))
    finally:
        for file in files.values():
            file.close()
    numbers = np.array(counts, dtype=np.int64).reshape(-1, 3)
    return smiles, np.array(split, dtype=np.uint8), tuple(numbers.T)


def _columns(
    split: np.ndarray, atoms: np.ndarray, bonds: np.ndarray, conformers: np.ndarray
) -> dict[str, np.ndarray]:
    molecule = np.repeat(np.arange(len(split), dtype="<i4"), conformers)
    return {
        "split": split,
        "molecule": molecule,
        "atom_offsets": _offsets(atoms),
        "bond_offsets": _offsets(bonds),
        "conformer_offsets": _offsets(conformers),
        "position_offsets": _offsets(atoms[molecule]),
    }


def _offsets(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype("<i8")


def _write_file(path, spool, smiles, columns, source, dataset, energy_level, config) -> None:
    digest = hashlib.blake2b(json.dumps(smiles).encode(), digest_size=16)
    with h5py.File(path, "w", alignment_threshold=1, alignment_interval=64) as file:
        file.create_dataset("smiles", data=smiles, dtype=h5py.string_dtype())
        for name, column in columns.items():
            file.create_dataset(name, data=column)
            digest.update(column)
        for name, (dtype, shape) in _SPOOLED.items():
            rows = (spool / name).stat().st_size // (np.dtype(dtype).itemsize * int(np.prod(shape)))
            packed = file.create_dataset(name, (rows, *shape), dtype)
            if rows == 0:
                continue
            spooled = np.memmap(spool / name, dtype, "r", 0, (rows, *shape))
            for first in range(0, rows, _COPY_ROWS):
                block = spooled[first : first + _COPY_ROWS]
                packed[first : first + _COPY_ROWS] = block
                digest.update(block)
        for name, unit in UNITS.items():
            file[name].attrs["units"] = unit
        file.attrs["format"] = FORMAT
        file.attrs["source"] = source
        file.attrs["dataset"] = dataset
        file.attrs["energy_level"] = energy_level
        file.attrs["config"] = json.dumps(config, sort_keys=True)
        file.attrs["digest"] = digest.hexdigest()
