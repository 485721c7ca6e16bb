"""Reads structures (mmCIF or PDB, plain or gzipped): the C-alpha chains of their first model (spec proteina.md 2.3)."""

import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import gemmi
import numpy as np

from data.errors import DataError
from data.files import replacing
from data.pdb.chains import LETTERS, Chain

LARGEST = 1 << 30  # [bytes] of an unpacked file; the largest assemblies of the PDB are smaller
FARTHEST = 1e4  # [Angstrom] from the origin; the columns of the PDB format end there
# A row whose x has its decimal point in another column than the format's: it would be read wrongly, or skipped.
_SHIFTED = re.compile(rb"\nATOM  .{24}(?!.{4}\.)[^.\n]{0,7}\.")
_CARBON = gemmi.Element("C")
_METHODS = {"DIFFRACTION": "diffraction", "ELECTRON": "EM", "NMR": "NMR"}


@dataclass
class Reading:
    """The result of reading structures: chains; a fault, one sentence, for each part that cannot be used; counts.

    files: structures. residues_without_ca: residues of protein chains that were skipped. alternate_locations:
    residues of which one location was chosen. insertion_codes: residues that have one.
    """

    chains: list[Chain] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    files: int = 1
    residues_without_ca: int = 0
    alternate_locations: int = 0
    insertion_codes: int = 0

    def add(self, other: "Reading") -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


_ARRAYS = ("coordinates", "numbers")
_TEXTS = ("name", "entry", "chain", "sequence", "seqres", "method", "resolution")


def save_reading(path: Path, reading: Reading) -> None:
    """Writes a reading; the file appears when complete."""
    said = {each.name: getattr(reading, each.name) for each in fields(reading) if each.name != "chains"}
    said["chains"] = [{name: getattr(chain, name) for name in _TEXTS} for chain in reading.chains]
    arrays = {
        f"{name}_{k}": getattr(chain, name) for k, chain in enumerate(reading.chains) for name in _ARRAYS
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, said=np.frombuffer(json.dumps(said).encode(), dtype=np.uint8), **arrays)


def load_reading(path: Path) -> Reading:
    """The reading that `save_reading` wrote."""
    with np.load(path, allow_pickle=False) as file:
        said = json.loads(file["said"].tobytes())
        chains = [
            Chain(**texts, **{name: file[f"{name}_{k}"] for name in _ARRAYS})
            for k, texts in enumerate(said.pop("chains"))
        ]
    return Reading(chains=chains, **said)


def read_chains(content: bytes, name: str, entry: str, wanted: Mapping[str, str] | None = None) -> Reading:
    """The chains of a file's `content`. name: the file, for faults. wanted: author ids of chains -> SEQRES; None: all.

    Takes the C-alpha of every residue that has ATOM records and one of the 20 standard names; of alternate locations
    the one of the largest occupancy, the first of equals. Raises nothing: a file that cannot be read is a fault.
    """
    reading = Reading()
    try:
        structure = _parse(_unpacked(content, name), name)
        _read_model(structure, name, entry, wanted, reading)
    except DataError as error:
        reading.faults.append(str(error))
    return reading


def _read_model(
    structure: gemmi.Structure, name: str, entry: str, wanted: Mapping[str, str] | None, reading: Reading
) -> None:
    if not len(structure) or not len(structure[0]):
        raise DataError(f"structure {name} has no atoms")
    by_name: dict[str, list[gemmi.Residue]] = {}
    for chain in structure[0]:
        by_name.setdefault(chain.name, []).extend(residue for residue in chain if residue.het_flag == "A")
    method, resolution = _method(structure), structure.resolution or float("nan")
    faults, found = len(reading.faults), len(reading.chains)
    for chain_id, residues in by_name.items():
        if wanted is not None and chain_id not in wanted:
            continue
        try:
            chain = _chain(chain_id, residues, name, entry, method, resolution, reading)
        except DataError as error:
            reading.faults.append(str(error))
        else:
            if chain is not None:
                reading.chains.append(chain if wanted is None else replace(chain, seqres=wanted[chain_id]))
            elif wanted is not None:
                reading.faults.append(
                    f"structure {name}, chain {chain_id}: none of its residues is a standard one, though the list of "
                    "entries names it"
                )
    for chain_id in sorted(set(wanted or ()) - set(by_name)):
        reading.faults.append(f"structure {name} has no chain {chain_id}, which the list of entries names")
    if len(reading.chains) == found and len(reading.faults) == faults:
        raise DataError(f"structure {name} has no protein chain")


def _chain(
    chain_id: str,
    residues: list[gemmi.Residue],
    name: str,
    entry: str,
    method: str,
    resolution: float,
    reading: Reading,
) -> Chain | None:
    """The chain of some residues; None if no residue belongs to a protein."""
    standard = [residue for residue in residues if residue.name in LETTERS]
    if not standard:
        if any(residue.name == "UNK" for residue in residues):
            raise DataError(f"structure {name}, chain {chain_id}: its residues are unknown (UNK)")
        return None
    kept: list[tuple[gemmi.Residue, gemmi.Atom]] = []
    for residue in standard:
        atom = _alpha(residue, reading)
        if atom is None:
            reading.residues_without_ca += 1
        elif kept and _same_place(kept[-1][0], residue):
            reading.alternate_locations += 1
            if atom.occ > kept[-1][1].occ:
                kept[-1] = residue, atom
        else:
            kept.append((residue, atom))
    if not kept:
        raise DataError(f"structure {name}, chain {chain_id}: no residue has a C-alpha")
    coordinates = np.array([atom.pos.tolist() for _, atom in kept]) / 10
    wrong = np.flatnonzero(
        ~(np.abs(coordinates) <= FARTHEST / 10).all(1)
    )  # written so that nan is wrong, too
    if len(wrong):
        raise DataError(
            f"structure {name}, chain {chain_id}: the C-alpha of residue {kept[int(wrong[0])][0].seqid} has a "
            f"coordinate that is not a number of at most {FARTHEST:.0f} Angstrom"
        )
    reading.insertion_codes += sum(bool(residue.seqid.icode.strip()) for residue, _ in kept)
    return Chain(
        name=f"{entry}_{chain_id}",
        entry=entry,
        chain=chain_id,
        coordinates=coordinates,
        numbers=np.array([residue.seqid.num for residue, _ in kept], dtype=np.int64),
        sequence="".join(LETTERS[residue.name] for residue, _ in kept),
        method=method,
        resolution=resolution,
    )


def _alpha(residue: gemmi.Residue, reading: Reading) -> gemmi.Atom | None:
    """The C-alpha of the largest occupancy."""
    first = residue.find_atom("CA", "*", _CARBON)
    if first is None or not first.has_altloc():
        return first
    places = [atom for atom in residue if atom.name == "CA" and atom.element == _CARBON]
    reading.alternate_locations += len(places) > 1
    return max(places, key=lambda atom: atom.occ)  # the first of equals


def _same_place(one: gemmi.Residue, other: gemmi.Residue) -> bool:
    """Whether two neighbours in a file are alternatives: two kinds of residue under one number."""
    return one.seqid == other.seqid and one.name != other.name


def _method(structure: gemmi.Structure) -> str:
    text = structure.info["_exptl.method"].upper() if "_exptl.method" in structure.info else ""
    return next((kind for word, kind in _METHODS.items() if word in text), "other" if text else "")


def _unpacked(content: bytes, name: str) -> bytes:
    """The file's text, unpacked if it is gzipped."""
    if content[:2] != b"\x1f\x8b":
        text = content
    else:
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
                text = file.read(LARGEST + 1)
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"structure {name} is truncated or damaged ({error}): fetch it again") from error
    if len(text) > LARGEST:
        raise DataError(f"structure {name} has more than {LARGEST >> 20} MB of text, which no entry has")
    return text


def _parse(text: bytes, name: str) -> gemmi.Structure:
    """A structure from mmCIF or PDB; the first word tells the format.

    The last line shows whether a file was cut between two lines: # in mmCIF as the archive writes it, after every
    category and so after the atoms, END or MASTER in PDB.
    """
    is_cif = next(_words(text), b"").lower().startswith(b"data_")
    if not is_cif and not any(line.startswith((b"ATOM", b"HETATM")) for line in io.BytesIO(text)):
        raise DataError(f"structure {name} is neither mmCIF nor PDB: fetch it again")
    ends = (b"#",) if is_cif else (b"END", b"MASTER")
    if text.rstrip().rpartition(b"\n")[2][:6].strip() not in ends:
        raise DataError(
            f"structure {name} is truncated or damaged (its last line is not {ends[0].decode()}): fetch it again"
        )
    if not is_cif:
        _check_columns(text, name)
    decoded = text.decode("utf-8", "replace")
    try:
        if is_cif:
            return gemmi.make_structure_from_block(gemmi.cif.read_string(decoded)[0])
        return gemmi.read_pdb_string(decoded)
    except (ValueError, RuntimeError, IndexError) as error:
        raise DataError(
            f"structure {name} is truncated or damaged ({' '.join(str(error).split())}): fetch it again"
        ) from error


def _check_columns(text: bytes, name: str) -> None:
    """DataError for a row of atoms that is not in the columns of the PDB format."""
    shifted = _SHIFTED.search(text)
    if shifted:
        line = text.count(b"\n", 0, shifted.start()) + 2
        raise DataError(
            f"structure {name}, line {line}: the coordinates are not in the columns of the PDB format, as where there "
            "are more atoms or residues than it can number: bring it as mmCIF"
        )


def _words(text: bytes) -> Iterator[bytes]:
    """The words of each line that is not blank or a comment."""
    return (line.strip() for line in io.BytesIO(text) if line.strip() and not line.startswith(b"#"))
