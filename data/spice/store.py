"""The packed store of labelled conformations: ragged molecules in one memory-mapped file.

One HDF5 file of flat, contiguous, uncompressed arrays. With C conformations and A atoms in all:

    positions (A, 3) f4 [Angstrom]      forces (A, 3) f4 [eV/Angstrom]      atomic_numbers (A,) u1
    offsets (C + 1,) i8: conformation c owns the atoms offsets[c]:offsets[c + 1]
    energy (C,) f8 [eV], isolated-atom energies subtracted      molecule (C,) i4, a row of names
    split (C,) u1 (0 train, 1 test)      names (molecules,) utf-8

The train split comes first. Conformations with a declared split stay in the order in which they came. Test molecules
that the store chose itself are interleaved (the first conformation of each, then the second, ...), in an order
drawn from their names, so that the first ones are a diverse sample.
Training imports this module: numpy and h5py only.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from data.digest import name_digest
from data.errors import DataError
from data.files import replacing
from data.mapped import RaggedStore, ragged_rows

FORMAT = "spice-store-2"
SPLITS = ("train", "test")
UNITS = {"positions": "angstrom", "forces": "eV/angstrom", "energy": "eV"}
_PER_ATOM = {"positions": ("<f4", (3,)), "forces": ("<f4", (3,)), "atomic_numbers": ("u1", ())}
_PER_CONFORMATION = {"offsets": "<i8", "energy": "<f8", "molecule": "<i4", "split": "u1"}
_UNDECIDED = 255
_COPY_ROWS = 65536


@dataclass(frozen=True)
class LabelledMolecule:
    """m labelled conformations of one molecule of n atoms, as a source gives them to `write_store`.

    molecule: its name, unique in the store. split: "train", "test", or None: the store decides by molecule.
    """

    molecule: str
    atomic_numbers: np.ndarray  # (n,)
    positions: np.ndarray  # (m, n, 3) [Angstrom]
    forces: np.ndarray  # (m, n, 3) [eV/Angstrom]
    energy: np.ndarray  # (m,) [eV], isolated-atom energies subtracted
    split: str | None = None


@dataclass(frozen=True)
class Conformations:
    """B conformations, their n atoms one after the other."""

    positions: np.ndarray  # (n, 3) f4 [Angstrom]
    forces: np.ndarray  # (n, 3) f4 [eV/Angstrom]
    atomic_numbers: np.ndarray  # (n,) u1
    counts: np.ndarray  # (B,) i8, atoms of each
    energy: np.ndarray  # (B,) f8 [eV]

    def __len__(self) -> int:
        return len(self.counts)


class ConformationStore(RaggedStore):
    """Random access to a store by conformation index. Pickles as its path, for data-loader workers.

    Attributes read from the file: labels (the level of theory), source, config (what prepared it), digest (of
    all arrays in their order, and of nothing else: not of path, config or labels), and the train split's
    energy_mean, energy_std [eV] and force_std [eV/Angstrom] (root mean square component).
    """

    FORMAT = FORMAT
    PREPARED_BY = "data.spice.prepare"
    SPLITS = SPLITS

    def _read(self, file: h5py.File) -> None:
        self.labels = str(file.attrs["labels"])
        self.source = str(file.attrs["source"])
        self.config = json.loads(file.attrs["config"])
        self.digest = str(file.attrs["digest"])
        self.energy_mean = float(file.attrs["energy_mean"])
        self.energy_std = float(file.attrs["energy_std"])
        self.force_std = float(file.attrs["force_std"])
        self.offsets = file["offsets"][:]
        self.energy = file["energy"][:]
        self.molecule = file["molecule"][:]
        self.split = file["split"][:]
        self._atoms = {name: self._map(file[name]) for name in _PER_ATOM}

    def read(self, indices: Sequence[int] | np.ndarray) -> Conformations:
        """The conformations at `indices` (B,), in that order; repeats are allowed."""
        indices = np.asarray(indices, dtype=np.int64)
        rows, counts = self.rows(indices)
        atoms = {name: np.asarray(array[rows]) for name, array in self._atoms.items()}
        return Conformations(counts=counts, energy=self.energy[indices], **atoms)


def write_store(
    path: str | os.PathLike,
    molecules: Iterable[LabelledMolecule],
    *,
    labels: str,
    source: str,
    config: dict,
    test_molecules: Callable[[Sequence[str]], set[str]] | None = None,
) -> dict[str, int]:
    """Writes a store and returns its counts: molecules, conformations, atoms, train, test.

    Streams: `molecules` are spooled beside `path` as they come, then put in order; memory holds only the columns with
    one entry per conformation. test_molecules: names of the molecules with no declared split -> those to hold out.
    The file appears under `path` only when complete. DataError if a split is empty.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    spool = path.with_name(path.name + ".spool.tmp")
    shutil.rmtree(spool, ignore_errors=True)
    spool.mkdir()
    try:
        names, counts, energy, molecule, split = _spool_atoms(molecules, spool)
        undecided = split == _UNDECIDED
        _decide_splits(names, molecule, split, undecided, test_molecules)
        order = _file_order(names, molecule, split, undecided)
        for code, name in enumerate(SPLITS):
            if not (split == code).any():
                raise DataError(
                    f"store {path}: no conformation is left for the {name} split: "
                    "use more molecules or another test_fraction"
                )
        with replacing(path) as temporary:
            _write_file(
                temporary, spool, order, names, counts, energy, molecule, split, labels, source, config
            )
    finally:
        shutil.rmtree(spool, ignore_errors=True)
    return {
        "molecules": len(names),
        "conformations": len(counts),
        "atoms": int(counts.sum()),
        **{name: int((split == code).sum()) for code, name in enumerate(SPLITS)},
    }


def _spool_atoms(molecules: Iterable[LabelledMolecule], spool: Path) -> tuple:
    """Appends every atom to one raw file per array; returns the per-conformation numbers."""
    rows: dict[str, int] = {}
    counts: list[int] = []
    energy: list[np.ndarray] = []
    molecule: list[int] = []
    split: list[int] = []
    files = {name: open(spool / name, "wb") for name in _PER_ATOM}  # noqa: SIM115
    try:
        for item in molecules:
            m, n = item.positions.shape[:2]
            if (
                item.forces.shape != (m, n, 3)
                or item.energy.shape != (m,)
                or item.atomic_numbers.shape != (n,)
            ):
                raise DataError(f"molecule {item.molecule}: the shapes of its arrays disagree")
            row = rows.setdefault(item.molecule, len(rows))
            atoms = {
                "positions": item.positions,
                "forces": item.forces,
                "atomic_numbers": np.broadcast_to(item.atomic_numbers, (m, n)),
            }
            for name, (dtype, _) in _PER_ATOM.items():
                np.ascontiguousarray(atoms[name], dtype=dtype).tofile(files[name])
            counts += [n] * m
            molecule += [row] * m
            split += [_UNDECIDED if item.split is None else SPLITS.index(item.split)] * m
            energy.append(np.asarray(item.energy, dtype=np.float64))
    finally:
        for file in files.values():
            file.close()
    return (
        list(rows),
        np.array(counts, dtype=np.int64),
        np.concatenate(energy) if energy else np.zeros(0),
        np.array(molecule, dtype=np.int32),
        np.array(split, dtype=np.uint8),
    )


def _decide_splits(
    names: list[str], molecule: np.ndarray, split: np.ndarray, undecided: np.ndarray, test_molecules
) -> None:
    """Fills the `undecided` entries of `split` (C,) molecule by molecule, in place."""
    if not undecided.any():
        return
    candidates = [names[row] for row in np.unique(molecule[undecided])]
    held_out = test_molecules(candidates) if test_molecules is not None else set()
    is_test = np.array([name in held_out for name in names])
    split[undecided] = is_test[molecule[undecided]]


def _file_order(
    names: list[str], molecule: np.ndarray, split: np.ndarray, undecided: np.ndarray
) -> np.ndarray:
    """(C,) permutation: train as it came, declared test as it came, then the rest of test interleaved.

    These are sorted by (occurrence in its molecule, name_digest).
    """
    train, declared = np.flatnonzero(split == 0), np.flatnonzero((split == 1) & ~undecided)
    test = np.flatnonzero((split == 1) & undecided)
    occurrence = np.zeros(len(test), dtype=np.int64)
    seen: dict[int, int] = {}
    for position, row in enumerate(molecule[test]):
        occurrence[position] = seen.get(row, 0)
        seen[row] = occurrence[position] + 1
    digest = np.array([name_digest(names[row]) for row in molecule[test]], dtype=np.uint64)
    return np.concatenate([train, declared, test[np.lexsort((digest, occurrence))]])


def _write_file(path, spool, order, names, counts, energy, molecule, split, labels, source, config) -> None:
    ends = np.cumsum(counts)
    starts, counts = (ends - counts)[order], counts[order]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    columns = {
        "offsets": offsets,
        "energy": energy[order],
        "molecule": molecule[order],
        "split": split[order],
    }
    train = columns["split"] == 0
    total = int(offsets[-1])
    digest = hashlib.blake2b(json.dumps(names).encode(), digest_size=16)
    with h5py.File(path, "w", alignment_threshold=1, alignment_interval=64) as file:
        for name, dtype in _PER_CONFORMATION.items():
            column = np.ascontiguousarray(columns[name], dtype)
            file.create_dataset(name, data=column)
            digest.update(column)
        file.create_dataset("names", data=names, dtype=h5py.string_dtype())
        for name, (dtype, shape) in _PER_ATOM.items():
            spooled = np.memmap(spool / name, dtype, "r", 0, (total, *shape))
            dataset = file.create_dataset(name, (total, *shape), dtype)
            for rows, window in _gather_windows(starts, counts, offsets):
                block = spooled[rows]
                dataset[window] = block
                digest.update(block)
        for name, unit in UNITS.items():
            file[name].attrs["units"] = unit
        file.attrs["format"] = FORMAT
        file.attrs["labels"] = labels
        file.attrs["source"] = source
        file.attrs["config"] = json.dumps(config, sort_keys=True)
        file.attrs["digest"] = digest.hexdigest()
        file.attrs["energy_mean"] = float(columns["energy"][train].mean())
        file.attrs["energy_std"] = float(columns["energy"][train].std())
        file.attrs["force_std"] = _root_mean_square(file["forces"], int(offsets[train.sum()]))


def _gather_windows(
    starts: np.ndarray, counts: np.ndarray, offsets: np.ndarray
) -> Iterator[tuple[np.ndarray, slice]]:
    """Whole conformations in groups of about _COPY_ROWS atoms: (rows of the spool, slice of the file)."""
    first = 0
    while first < len(counts):
        last = max(first + 1, int(np.searchsorted(offsets, offsets[first] + _COPY_ROWS, side="right")) - 1)
        window = slice(int(offsets[first]), int(offsets[last]))
        yield ragged_rows(starts[first:last], counts[first:last]), window
        first = last


def _root_mean_square(forces: h5py.Dataset, atoms: int) -> float:
    total = 0.0
    for first in range(0, atoms, _COPY_ROWS):
        block = forces[first : min(first + _COPY_ROWS, atoms)].astype(np.float64)
        total += float(np.sum(block**2))
    return float(np.sqrt(total / (3 * atoms)))
