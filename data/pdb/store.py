"""The packed store of C-alpha chains: one memory-mapped file.

One HDF5 file of flat, contiguous, uncompressed arrays. With C chains and R residues in all:

    coordinates (R, 3) f4 [nm], each chain less its mean
    numbers (R,) i4, the authors'
    letters (R,) u1, ASCII codes of the sequence, X where it is unknown
    offsets (C + 1,) i8: chain c owns the residues offsets[c]:offsets[c + 1]
    group (C,) i4: chains of one group are in one split      split (C,) u1 (0 train, 1 validation, 2 test)
    resolution (C,) f4 [Angstrom], nan where unknown         names (C,) utf-8

and the attributes format, source, dataset (what the chains are, for captions), grouping (how groups were made),
variance (mean square coordinate of the train split [nm^2]), config and digest. The train split comes first, in the
order written; the others take one chain of every group, then a second, ..., in an order drawn from their names, so
that their first chains are diverse. Training imports this module: numpy and h5py only.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from data.digest import name_digest
from data.errors import DataError
from data.files import replacing
from data.mapped import RaggedStore
from data.pdb.chains import Chain

FORMAT = "chain-store-2"
SPLITS = ("train", "validation", "test")
_PER_RESIDUE = {"coordinates": "<f4", "numbers": "<i4", "letters": "u1"}
_PER_CHAIN = {"group": "<i4", "split": "u1", "resolution": "<f4"}
_TYPES = {"offsets": "<i8", **_PER_CHAIN, **_PER_RESIDUE}


@dataclass(frozen=True)
class Chains:
    """B chains, their n residues one after the other."""

    coordinates: np.ndarray  # (n, 3) f4 [nm]
    numbers: np.ndarray  # (n,) i4
    letters: np.ndarray  # (n,) u1
    counts: np.ndarray  # (B,) i8, residues of each

    def __len__(self) -> int:
        return len(self.counts)

    def parts(self, values: np.ndarray) -> list[np.ndarray]:
        """An array with a row for each residue, chain by chain."""
        return np.split(values, np.cumsum(self.counts)[:-1])


class ChainStore(RaggedStore):
    """Random access to a store by chain index. Pickles as its path, for data-loader workers.

    Attributes read from the file: source, dataset, grouping, variance [nm^2], config (what prepared it), digest (of
    the content), offsets (C + 1,), group, split and resolution (C,).
    """

    FORMAT = FORMAT
    PREPARED_BY = "data.pdb.prepare"
    SPLITS = SPLITS

    def _read(self, file: h5py.File) -> None:
        for name in ("source", "dataset", "grouping", "digest"):
            setattr(self, name, str(file.attrs[name]))
        self.config = json.loads(file.attrs["config"])
        self.variance = float(file.attrs["variance"])
        self.offsets = file["offsets"][:]
        for name in _PER_CHAIN:
            setattr(self, name, file[name][:])
        self._residues = {name: self._map(file[name]) for name in _PER_RESIDUE}

    def read(self, indices: Sequence[int] | np.ndarray) -> Chains:
        """The chains at `indices` (B,), in that order; repeats are allowed."""
        rows, counts = self.rows(indices)
        residues = {name: np.asarray(column[rows]) for name, column in self._residues.items()}
        return Chains(counts=counts, **residues)


def write_store(
    path: str | os.PathLike,
    chains: Sequence[Chain],
    groups: Sequence[str],
    splits: Mapping[str, str],
    *,
    source: str,
    dataset: str,
    grouping: str,
    config: dict,
) -> dict[str, int]:
    """Writes a store; returns its numbers of chains, residues, groups and chains by split.

    groups: the group of each chain. splits: of each group. Coordinates are centred here. The file appears under `path`
    only when complete. An empty train or validation split is a DataError.
    """
    path = Path(path)
    split = np.array([SPLITS.index(splits[group]) for group in groups], dtype=np.uint8)
    for code, name in enumerate(SPLITS[:2]):
        if not (split == code).any():
            raise DataError(
                f"store {path}: no chain is left for the {name} split: use more structures, wider filters or another "
                "validation_fraction"
            )
    order = _file_order([chain.name for chain in chains], groups, split)
    chains, names = [chains[k] for k in order], [chains[k].name for k in order]
    numbers = {group: k for k, group in enumerate(dict.fromkeys(groups))}
    columns = {
        "offsets": np.cumsum([0, *map(len, chains)]),
        "group": np.array([numbers[groups[k]] for k in order]),
        "split": split[order],
        "resolution": np.array([chain.resolution for chain in chains]),
        "coordinates": np.concatenate([chain.coordinates - chain.coordinates.mean(0) for chain in chains]),
        "numbers": np.concatenate([chain.numbers for chain in chains]),
        "letters": np.concatenate([_letters(chain) for chain in chains]),
    }
    columns = {name: np.ascontiguousarray(column, _TYPES[name]) for name, column in columns.items()}
    digest = hashlib.blake2b(json.dumps(names).encode(), digest_size=16)
    for column in columns.values():
        digest.update(column)
    train = columns["coordinates"][: columns["offsets"][(split == 0).sum()]]
    with (
        replacing(path) as temporary,
        h5py.File(temporary, "w", alignment_threshold=1, alignment_interval=64) as file,
    ):
        for name, column in columns.items():
            file.create_dataset(name, data=column)
        file.create_dataset("names", data=names, dtype=h5py.string_dtype())
        file["coordinates"].attrs["units"] = "nanometer"
        file.attrs["format"] = FORMAT
        file.attrs["digest"] = digest.hexdigest()
        file.attrs["source"], file.attrs["dataset"], file.attrs["grouping"] = source, dataset, grouping
        file.attrs["config"] = json.dumps(config, sort_keys=True)
        file.attrs["variance"] = float(np.square(train, dtype=np.float64).mean())
    return {
        "chains": len(chains),
        "residues": int(columns["offsets"][-1]),
        "groups": len(numbers),
        **{name: int((split == code).sum()) for code, name in enumerate(SPLITS)},
    }


def _letters(chain: Chain) -> np.ndarray:
    return np.frombuffer(chain.sequence.encode() or b"X" * len(chain), dtype=np.uint8)


def _file_order(names: Sequence[str], groups: Sequence[str], split: np.ndarray) -> list[int]:
    """Permutation: train as it came, then each other split by (occurrence in its group, name_digest)."""
    order = np.flatnonzero(split == 0).tolist()
    for code in range(1, len(SPLITS)):
        seen: Counter[str] = Counter()
        keys = {}
        for k in np.flatnonzero(split == code).tolist():
            keys[k] = seen[groups[k]], name_digest(names[k])
            seen[groups[k]] += 1
        order += sorted(keys, key=keys.__getitem__)
    return order
