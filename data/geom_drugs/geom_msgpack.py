"""Reader of GEOM's msgpack archive, in which a molecule is a SMILES and tables of coordinates."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgpack
import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDetermineBonds

from data.chemistry import Quiet
from data.elements import SYMBOLS
from data.errors import DataError
from data.geom_drugs import faults
from data.geom_drugs.archives import opened_archive
from data.geom_drugs.assemble import (
    assembled,
    first_line,
    is_complete,
    not_processed,
    relative_energy,
    unreadable,
)
from data.geom_drugs.faults import Fault, Made
from data.geom_drugs.graphs import graph_in_space, graph_of, parsed_smiles, with_positions
from data.geom_drugs.store import SPLITS
from data.processes import map_in_processes

CHUNK = 1 << 20  # [bytes]
_NIL = msgpack.packb(None)


@dataclass(frozen=True)
class _Packed:
    """One molecule of the msgpack archive, as it goes to a worker. smiles: its key, which may have any type."""

    record: str
    smiles: Any
    content: Any
    split: str
    limit: int | None


def read_msgpack(
    archive: Path,
    split_of: Callable[[str], str],
    limit: int | None = None,
    workers: int | None = None,
) -> Iterator[Made]:
    """The molecules of drugs_crude.msgpack.tar.gz: a stream of mappings from SMILES to molecules with coordinates.

    split_of: SMILES -> split, since the archive has no splits. limit: as in `read_rdkit_folder`.
    """

    def molecules() -> Iterator[_Packed]:
        for smiles, content in _unpacked(archive):
            split = split_of(smiles) if isinstance(smiles, str) else SPLITS[0]
            yield _Packed(f"archive {archive}: molecule {smiles}", smiles, content, split, limit)

    yield from map_in_processes(_from_msgpack, molecules(), workers)


def _unpacked(archive: Path) -> Iterator[tuple[Any, Any]]:
    """Keys and molecules of all mappings in the archive. DataError for a member that is cut or is something else."""
    with opened_archive(archive) as tar:
        for entry in tar:
            if not (entry.isfile() and entry.name.endswith(".msgpack")):
                continue
            try:
                for batch in _objects(tar.extractfile(entry)):
                    if not isinstance(batch, dict):
                        raise DataError(
                            f"archive {archive}: {entry.name} does not hold mappings from SMILES to molecules"
                        )
                    yield from batch.items()
            except EOFError as error:
                raise DataError(
                    f"archive {archive}: {entry.name}, of {entry.size} bytes, ends amid its molecules: fetch it again"
                ) from error
            except (msgpack.UnpackException, TypeError, ValueError) as error:  # TypeError: a list as a key
                if isinstance(error, DataError):
                    raise
                raise DataError(
                    f"archive {archive}: {entry.name} is damaged ({type(error).__name__}): fetch it again"
                ) from error


def _objects(file: BinaryIO) -> Iterator[Any]:
    """The objects of a msgpack stream; EOFError if there are none, or if it ends within one."""
    stream, some = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=0), False
    while chunk := file.read(CHUNK):
        stream.feed(chunk)
        for value in stream:
            some = True
            yield value
    stream.feed(_NIL)  # an object of its own only where none is open
    if not some or list(stream) != [None]:
        raise EOFError


def _from_msgpack(packed: _Packed) -> Made:
    """The ensemble of a molecule: bonds come from the SMILES, and the rows of coordinates are put in its order.

    The archive has no bonds, and its atoms are in CREST's order. The bonds found from distances must be the SMILES'.
    """
    try:
        states = sorted(packed.content["conformers"], key=lambda state: -state["boltzmannweight"])
        frames = [np.array(state["xyz"], dtype=float).reshape(-1, 4) for state in states]
        energies = [relative_energy(state) for state in states]
        weights = [float(state["boltzmannweight"]) for state in states]
    except Exception as error:  # unexpected lists and numbers raise a dozen kinds of exception
        return unreadable(packed.record, error)
    with Quiet():
        parsed = parsed_smiles(packed.smiles)
        if parsed is None:
            sentence = f"{packed.record} has the unparsable SMILES {packed.smiles!r}"
            return Made(None, (Fault(faults.UNPARSABLE, sentence),))
        try:
            return _in_order_of_smiles(packed, Chem.AddHs(parsed), frames, energies, weights)
        except (RuntimeError, ValueError) as error:
            return not_processed(packed.record, error)


def _in_order_of_smiles(packed: _Packed, molecule: Chem.Mol, frames, energies, weights) -> Made:
    left_out: list[Fault] = []

    def lost(reason: str, k: int, sentence: str) -> None:
        left_out.append(
            Fault(reason, f"{packed.record}, conformer {k}: {sentence}", molecules=0, conformers=1)
        )

    graph, order, first_bonds, kept, positions, same = None, None, None, [], [], []
    for k, frame in enumerate(frames):
        if is_complete(kept, packed.split, packed.limit):
            break
        if not np.isfinite(frame).all():
            lost(faults.NOT_FINITE, k, "coordinates that are not numbers")
            continue
        elements, x = frame[:, 0], frame[:, 1:]
        unknown = elements[(elements != np.round(elements)) | (elements < 1) | (elements > len(SYMBOLS))]
        if len(unknown):
            lost(faults.UNREADABLE, k, f"atomic number {unknown[0]:g}, which no element has")
            continue
        numbers = elements.astype(int)
        try:
            bonds = bonds_of_distances(numbers, x)
        except (RuntimeError, ValueError) as error:
            lost(faults.NOT_PROCESSED, k, f"no bonds can be told ({first_line(error)})")
            continue
        if order is None:
            order = _matching(molecule, numbers, bonds)
            if order is None:
                sentence = f"{packed.record}: the bonds of its coordinates are not those of its SMILES"
                return Made(None, (Fault(faults.NOT_ITS_SMILES, sentence),))
            first_numbers, first_bonds = numbers, bonds
            graph = graph_in_space(with_positions(molecule, x[order]))
        if not np.array_equal(numbers, first_numbers):
            lost(faults.OTHER_ATOMS, k, "other atoms than the first conformer")
            continue
        kept.append(k)
        positions.append(x[order])
        same.append(bonds == first_bonds)
    return assembled(
        packed.record, packed.smiles, packed.split, graph, kept, positions, same, energies, weights, left_out
    )


def bonds_of_distances(numbers: np.ndarray, x: np.ndarray) -> frozenset[tuple[int, int]]:
    """Pairs of bonded atoms, which RDKit finds from atomic numbers (n,) and positions (n, 3) [Angstrom]."""
    molecule = Chem.RWMol()
    for number in numbers:
        molecule.AddAtom(Chem.Atom(int(number)))
    bonded = with_positions(molecule.GetMol(), x)
    rdDetermineBonds.DetermineConnectivity(bonded)
    ends = ((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in bonded.GetBonds())
    return frozenset((min(pair), max(pair)) for pair in ends)


def _matching(molecule: Chem.Mol, numbers: np.ndarray, bonds: Iterable[tuple[int, int]]) -> list[int] | None:
    """For each atom of the molecule, its row of `numbers` (n,); None where the graphs differ."""
    graph = graph_of(molecule)
    ours = _skeleton(graph.atomic_numbers, graph.bonds.tolist())
    theirs = _skeleton(numbers, bonds)
    if ours.GetNumAtoms() != theirs.GetNumAtoms() or ours.GetNumBonds() != theirs.GetNumBonds():
        return None
    return list(theirs.GetSubstructMatch(ours)) or None


def _skeleton(numbers: Iterable[int], bonds: Iterable[tuple[int, int]]) -> Chem.Mol:
    """Atoms and single bonds, without charges and valences."""
    molecule = Chem.RWMol()
    for number in numbers:
        atom = Chem.Atom(int(number))
        atom.SetNoImplicit(True)
        molecule.AddAtom(atom)
    for a, b in bonds:
        molecule.AddBond(a, b, Chem.BondType.SINGLE)
    return molecule.GetMol()
