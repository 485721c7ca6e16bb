"""Readers of GEOM's RDKit pickles, in the original archive or in MiDi's three files; nothing in them is called.

A molecule that cannot be used gives a Fault of one sentence; a file of another kind, or a pickle that asks for anything
but RDKit molecules, is a DataError. Layouts: specs geom_drugs.md 1 and 2, voxmol.md 2.1.
"""

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from rdkit import Chem

from data.errors import DataError
from data.geom_drugs.archives import opened_archive
from data.geom_drugs.assemble import ensemble_of_molecules, relative_energy, unreadable
from data.geom_drugs.faults import Made
from data.geom_drugs.store import SPLITS
from data.pickles import ARRAYS_OF_ARRAYS, NUMBERS, RefusedError, load_restricted
from data.processes import map_in_processes

# ---- RDKit molecules from pickles


class PickledMolecule:
    """Stands for rdkit.Chem.rdchem.Mol in a pickle: keeps RDKit's bytes until they are wanted."""

    def __init__(self, content: bytes):
        if not isinstance(content, bytes):
            raise RefusedError("a molecule that is not of bytes")
        self._content = content

    def __setstate__(self, state: Any) -> None:
        """Ignores the Python attributes of a molecule: GEOM's have none that matter."""

    def molecule(self) -> Chem.Mol:
        """Raises RuntimeError for bytes that RDKit does not know."""
        return Chem.Mol(self._content)


def _latin1(text: Any, encoding: Any) -> bytes:
    """Protocols below 3 write bytes as text in this encoding."""
    if not isinstance(text, str) or encoding != "latin1":
        raise RefusedError("text in another encoding")
    return text.encode("latin1")


MOLECULES = NUMBERS | {("rdkit.Chem.rdchem", "Mol"): PickledMolecule, ("_codecs", "encode"): _latin1}


def load_molecules(file: BinaryIO, record: str) -> Any:
    """A pickle of containers, numbers, text and RDKit molecules (as PickledMolecule).

    Raises DataError, naming `record`, where it asks for anything else; damaged bytes raise a dozen other exceptions.
    """
    try:
        return load_restricted(file, MOLECULES)
    except RefusedError as error:
        raise DataError(
            f"{record} holds {error}, and only containers and RDKit molecules are read: it is not GEOM's"
        ) from error


# ---- the original archive


@dataclass(frozen=True)
class _Member:
    """One molecule's file in an archive, as it goes to a worker."""

    record: str
    content: bytes
    split: str
    limit: int | None


def read_rdkit_folder(
    archive: Path,
    split_file: Path,
    limit: int | None = None,
    workers: int | None = None,
) -> Iterator[Made]:
    """The molecules of rdkit_folder.tar.gz, split by GeoMol's indices into the sorted names of drugs/*.pickle.

    limit: conformers kept of a training or validation molecule, those of largest weight; test molecules keep all.
    The archive is read twice: names first.
    """
    parts = read_split(split_file)
    with opened_archive(archive) as tar:
        names = sorted(entry.name for entry in tar if _is_molecule(entry))
    total = sum(map(len, parts.values()))
    if len(names) != total:
        raise DataError(
            f"archive {archive} has {len(names)} files drugs/*.pickle but {split_file} splits {total}: use the "
            "archive and the split of February 2021"
        )
    split_of = {names[index]: split for split, indices in parts.items() for index in indices}

    def members() -> Iterator[_Member]:
        for name, content in _contents(archive):
            record, split = f"archive {archive}: member {name}", split_of[name]
            yield _Member(record, content, split, limit)

    yield from map_in_processes(_from_pickle, members(), workers)


def _contents(archive: Path) -> Iterator[tuple[str, bytes]]:
    with opened_archive(archive) as tar:
        for entry in tar:
            if _is_molecule(entry):
                yield entry.name, tar.extractfile(entry).read()


def _is_molecule(entry: tarfile.TarInfo) -> bool:
    path = Path(entry.name)
    return entry.isfile() and path.suffix == ".pickle" and path.parent.name == "drugs"


def read_split(path: Path) -> dict[str, np.ndarray]:
    """Split -> indices, from GeoMol's split file: an array of three arrays of whole numbers."""
    if not path.exists():
        raise DataError(f"split file {path} does not exist: fetch it with python -m data.fetch {path}.dvc")
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            header(file)
            content = load_restricted(file, ARRAYS_OF_ARRAYS)
    except RefusedError as error:
        raise DataError(f"split file {path} holds {error}, and only arrays of numbers are read") from error
    except Exception as error:  # damaged bytes make pickle and numpy raise a dozen kinds
        raise DataError(
            f"split file {path} is truncated or not a .npy file ({error}): fetch it again"
        ) from error
    parts = list(content) if isinstance(content, np.ndarray) and content.ndim == 1 else []
    if len(parts) != 3 or not all(isinstance(part, np.ndarray) and part.dtype.kind == "i" for part in parts):
        raise DataError(f"split file {path} is not three arrays of indices, of train, validation and test")
    if not np.array_equal(np.sort(np.concatenate(parts)), np.arange(sum(map(len, parts)))):
        raise DataError(f"split file {path}: its indices are not 0, 1, 2, ... each once")
    return dict(zip(SPLITS, map(np.asarray, parts), strict=True))  # in this order


def _from_pickle(member: _Member) -> Made:
    try:
        content = load_molecules(io.BytesIO(member.content), member.record)
        states = sorted(content["conformers"], key=lambda state: -state["boltzmannweight"])
        sources = [state["rd_mol"].molecule for state in states]
        smiles, weights = content["smiles"], [float(state["boltzmannweight"]) for state in states]
        energies = [relative_energy(state) for state in states]
    except DataError:
        raise
    except Exception as error:  # as above
        return unreadable(member.record, error)
    return ensemble_of_molecules(
        member.record, smiles, member.split, sources, energies, weights, member.limit
    )


# ---- MiDi's three files


def read_midi(path: Path, split: str, limit: int | None = None) -> Iterator[Made]:
    """The molecules of one of MiDi's pickles, a list of (SMILES, molecules of one conformer each), without energies.

    limit: as in `read_rdkit_folder`, but the first ones are kept.
    """
    if not path.exists():
        raise DataError(f"pickle {path} does not exist: fetch it with python -m data.fetch {path}.dvc")
    try:
        with path.open("rb") as file:
            content = load_molecules(file, f"pickle {path}")
    except DataError:
        raise
    except Exception as error:  # as above
        raise DataError(f"pickle {path} is truncated or not a pickle ({error}): fetch it again") from error
    if not isinstance(content, list):
        raise DataError(f"pickle {path} is not MiDi's list of molecules")
    for row, entry in enumerate(content):
        record = f"pickle {path}: molecule {row}"
        try:
            smiles, pickled = entry
            sources = [one.molecule for one in pickled]
        except (AttributeError, TypeError, ValueError) as error:
            yield unreadable(record, error)
            continue
        unknown, equal = [np.nan] * len(sources), [1.0] * len(sources)
        yield ensemble_of_molecules(record, smiles, split, sources, unknown, equal, limit)
