"""Readers of the raw files: the SPICE HDF5 schema, with or without labels, and the extended XYZ of MACE-OFF.

Both stream molecule by molecule, convert to [Angstrom], [eV] and [eV/Angstrom] by what the file declares,
and refuse a file whose bond lengths say that its units are not the declared ones.
"""

import io
import itertools
import json
import os
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

import h5py
import numpy as np
from ase.data import atomic_numbers as NUMBER_OF
from ase.data import chemical_symbols as SYMBOLS
from ase.io.extxyz import key_val_str_to_dict

from data.errors import DataError
from data.files import replacing
from data.spice.label import Labelled
from data.spice.smiles import parse_mapped_smiles
from data.units import BOHR, ENERGY, GRADIENT, HARTREE, LENGTH, factor

SPICE_LEVEL = "wB97M-D3(BJ)/def2-TZVPPD"
BOND_RANGE = {6: (1.05, 1.15), 8: (0.90, 1.05)}  # median X-H distance [Angstrom], X by atomic number
_BOND_SAMPLE = 200  # molecules


@dataclass(frozen=True)
class RawMolecule:
    """m conformations of one molecule as a raw file has them; without labels energy and forces are None."""

    record: str  # where it stands, as errors name it
    name: str  # what it is: canonical SMILES where there is one; splits go by it
    subset: str
    smiles: str
    charge: int
    atomic_numbers: np.ndarray  # (n,)
    positions: np.ndarray  # (m, n, 3) [Angstrom]
    energy: np.ndarray | None  # (m,) [eV], total
    forces: np.ndarray | None  # (m, n, 3) [eV/Angstrom]
    bonds: np.ndarray | None = None  # (b, 2) rows, where a SMILES tells them


# ---- SPICE HDF5


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    if not path.exists():
        raise DataError(f"SPICE file {path} does not exist: fetch it with python -m data.fetch {path}.dvc")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(
            f"SPICE file {path} is truncated or not HDF5 ({error}): delete it and fetch it again"
        ) from error
    with file:
        yield file


def spice_level(path: str | os.PathLike) -> str:
    """The level of theory of a SPICE file's labels: SPICE's own unless the file says otherwise."""
    with _opened(Path(path)) as file:
        return str(file.attrs.get("labels", SPICE_LEVEL))


def read_spice(path: str | os.PathLike) -> Iterator[RawMolecule]:
    """Every group of a SPICE HDF5 file, in the file's order. Labels are read where the group has them.

    The stored gradient is minus the force. Units are read from the attribute `units` of each dataset.
    """
    path = Path(path)
    with _opened(path) as file:
        # Not file.values(): between two values that iterator holds h5py's lock, so that other threads wait forever.
        groups = (_read_group(path, file[name]) for name in list(file))
        try:
            yield from with_bonds_checked(groups, f"SPICE file {path}")
        except (OSError, RuntimeError, KeyError) as error:
            raise DataError(
                f"SPICE file {path} is damaged ({error}): delete it and fetch it again"
            ) from error


def count_spice(path: str | os.PathLike) -> int:
    """Number of groups."""
    with _opened(Path(path)) as file:
        return len(file)


def _read_group(path: Path, group: h5py.Group) -> RawMolecule:
    record = f"SPICE file {path}: group '{group.name[1:]}'"
    smiles = _text(_dataset(group, "smiles", record))
    mapped = parse_mapped_smiles(smiles, record)
    numbers = group["atomic_numbers"][:] if "atomic_numbers" in group else mapped.atomic_numbers
    positions = _quantity(group, "conformations", LENGTH, record)
    if (
        positions.ndim != 3
        or positions.shape[1:] != (len(numbers), 3)
        or len(mapped.atomic_numbers) != len(numbers)
    ):
        raise DataError(
            f"{record} has conformations of shape {positions.shape} but {len(numbers)} atomic numbers and "
            f"{len(mapped.atomic_numbers)} atoms in its smiles: fetch the file again"
        )
    energy = forces = None
    if "dft_total_energy" in group or "dft_total_gradient" in group:
        energy = _quantity(group, "dft_total_energy", ENERGY, record)
        forces = -_quantity(group, "dft_total_gradient", GRADIENT, record)
        if forces.shape != positions.shape or energy.shape != positions.shape[:1]:
            raise DataError(
                f"{record} has labels of shapes {energy.shape} and {forces.shape} for conformations of shape "
                f"{positions.shape}: fetch the file again"
            )
    subset = _text(group["subset"]) if "subset" in group else ""
    return RawMolecule(
        record=record,
        name=mapped.canonical,
        subset=subset,
        smiles=smiles,
        charge=mapped.charge,
        atomic_numbers=numbers,
        positions=positions,
        energy=energy,
        forces=forces,
        bonds=mapped.bonds,
    )


def _dataset(group: h5py.Group, name: str, record: str) -> h5py.Dataset:
    if name not in group:
        raise DataError(f"{record} has no dataset '{name}': fetch the file again")
    return group[name]


def _quantity(group: h5py.Group, name: str, known: dict[str, float], record: str) -> np.ndarray:
    dataset = _dataset(group, name, record)
    scale = factor(dataset.attrs.get("units"), known, f"{record} dataset '{name}'")
    values = np.asarray(dataset[()], dtype=np.float64)
    return values if scale == 1.0 else values * scale


def _text(dataset: h5py.Dataset) -> str:
    value = np.ravel(dataset[()])[0]
    return value.decode() if isinstance(value, bytes) else str(value)


def write_spice(path: str | os.PathLike, molecules: Iterable[Labelled], labels: str) -> None:
    """Labelled molecules as a SPICE HDF5 file [bohr, hartree, hartree/bohr]; failures go to an attribute.

    The file appears under `path` only when complete. Molecules without a conformation get no group.
    """
    failures: dict[str, int] = {}
    text = h5py.string_dtype()
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["labels"] = labels
        for molecule in molecules:
            for reason, count in molecule.failures.items():
                failures[reason] = failures.get(reason, 0) + count
            if len(molecule.energy) == 0:
                continue
            group = file.create_group(molecule.name.replace("/", ""))
            group.create_dataset("subset", data=[labels], dtype=text)
            group.create_dataset("smiles", data=[molecule.smiles], dtype=text)
            group.create_dataset("atomic_numbers", data=molecule.atomic_numbers.astype(np.int16))
            for name, values, unit in (
                ("conformations", (molecule.positions / BOHR).astype(np.float32), "bohr"),
                ("dft_total_energy", molecule.energy / HARTREE, "hartree"),
                (
                    "dft_total_gradient",
                    (-molecule.forces * BOHR / HARTREE).astype(np.float32),
                    "hartree/bohr",
                ),
            ):
                group.create_dataset(name, data=values).attrs["units"] = unit
        file.attrs["failures"] = json.dumps(failures, sort_keys=True)


def spice_failures(path: str | os.PathLike) -> dict[str, int]:
    """Conformations that a file of ours lacks, by reason."""
    with _opened(Path(path)) as file:
        return json.loads(file.attrs.get("failures", "{}"))


# ---- extended XYZ


def read_xyz(path: str | os.PathLike, on_bytes: Callable[[int], None] | None = None) -> Iterator[RawMolecule]:
    """Every frame of an extended XYZ file, or of the first .xyz of a .tar.gz, as a molecule with m = 1.

    on_bytes: told now and then how many bytes of the file on disk have been read, for a progress bar.

    Energy and forces are taken from `energy`, `forces` or `REF_energy`, `REF_forces` [eV, eV/Angstrom].
    ASE's own reader finds its frames by seeking, which a compressed archive does not allow, and names no
    frame when it fails: the frames are cut here, and ASE parses their comment lines.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"XYZ file {path} does not exist: fetch it with python -m data.fetch {path}.dvc")
    with open(path, "rb") as file:
        yield from with_bonds_checked(_read_frames(path, file, on_bytes), f"XYZ file {path}")


def _read_frames(path: Path, file: BinaryIO, on_bytes: Callable[[int], None] | None) -> Iterator[RawMolecule]:
    with _text_lines(path, file) as lines:
        for frame in itertools.count():
            if on_bytes is not None and frame % 256 == 0:
                on_bytes(file.tell())
            record = f"XYZ file {path}: frame {frame}"
            first = lines.readline()
            if not first.strip():
                if any(line.strip() for line in lines):
                    raise DataError(
                        f"{record} is a blank line, with more below it: repair it or fetch the file again"
                    )
                return
            try:
                count = int(first)
                comment = lines.readline()
                rows = [line.split() for line in itertools.islice(lines, count)]
                molecule = _parse_frame(record, count, key_val_str_to_dict(comment), rows)
            except (ValueError, IndexError) as error:
                if isinstance(error, DataError):
                    raise
                raise DataError(
                    f"{record} is malformed ({error}): repair it or fetch the file again"
                ) from error
            yield molecule


@contextmanager
def _text_lines(path: Path, file: BinaryIO) -> Iterator[TextIO]:
    if not path.name.endswith((".tar.gz", ".tgz")):
        yield io.TextIOWrapper(file, encoding="utf-8")
        return
    try:
        with tarfile.open(fileobj=file, mode="r:gz") as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(".xyz"):
                    yield io.TextIOWrapper(archive.extractfile(member), encoding="utf-8")
                    return
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(f"XYZ archive {path} is truncated or damaged ({error}): fetch it again") from error
    raise DataError(f"XYZ archive {path} has no .xyz file in it: fetch it again")


def _parse_frame(record: str, count: int, info: dict, rows: list[list[str]]) -> RawMolecule:
    if count < 1 or len(rows) < count:
        raise ValueError(f"{count} atoms announced, {len(rows)} lines found")
    columns = _columns(info)
    width = max(stop for _, stop in columns.values())
    if any(len(row) < width for row in rows):
        raise ValueError(f"an atom line has fewer than the {width} columns of Properties")
    symbols = [row[columns["species"][0]] for row in rows]
    unknown = set(symbols) - NUMBER_OF.keys()
    if unknown:
        raise ValueError(f"unknown element {sorted(unknown)[0]}")
    energy = next((info[key] for key in ("energy", "REF_energy") if key in info), None)
    force_key = next((key for key in ("forces", "REF_forces") if key in columns), None)
    if energy is None or force_key is None:
        raise ValueError("no energy or no forces, neither plain nor with the prefix REF_")
    smiles = str(info.get("smiles", ""))
    return RawMolecule(
        record=record,
        name=smiles or _formula(symbols),
        subset=str(info.get("config_type", "")),
        smiles=smiles,
        charge=round(float(info.get("total_charge", info.get("charge", 0)))),
        atomic_numbers=np.array([NUMBER_OF[symbol] for symbol in symbols]),
        positions=_numbers(rows, columns["pos"])[None],
        energy=np.array([float(energy)]),
        forces=_numbers(rows, columns[force_key])[None],
    )


def _columns(info: dict) -> dict[str, tuple[int, int]]:
    """Column range of each property; `info` is the parsed comment line."""
    fields = str(info.get("Properties", "species:S:1:pos:R:3")).split(":")
    columns, start = {}, 0
    for name, width in zip(fields[::3], fields[2::3], strict=True):
        columns[name] = (start, start + int(width))
        start += int(width)
    for name in ("species", "pos"):
        if name not in columns:
            raise ValueError(f"Properties lacks {name}")
    return columns


def _numbers(rows: list[list[str]], span: tuple[int, int]) -> np.ndarray:
    return np.array([row[slice(*span)] for row in rows], dtype=np.float64)


def _formula(symbols: list[str]) -> str:
    return "".join(f"{symbol}{symbols.count(symbol)}" for symbol in sorted(set(symbols)))


# ---- both


def with_bonds_checked(molecules: Iterable[RawMolecule], file: str) -> Iterator[RawMolecule]:
    """The same molecules; a DataError where the median C-H bond of the first ones is not that of a molecule.

    O-H bonds stand in where there is no C-H (water). Catches a unit that is declared wrongly.
    """
    molecules = iter(molecules)
    first = list(itertools.islice(molecules, _BOND_SAMPLE))
    for element, (low, high) in BOND_RANGE.items():
        lengths = [hydrogen_bond_lengths(molecule, element) for molecule in first]
        if sum(map(len, lengths)) == 0:
            continue
        median = float(np.median(np.concatenate(lengths)))
        if not low <= median <= high:
            raise DataError(
                f"{file} has a median {SYMBOLS[element]}-H distance of {median:.3g} Angstrom, which should be "
                f"{low}-{high}: its unit is not the declared one, so correct 'units' or convert the positions"
            )
        break
    yield from itertools.chain(first, molecules)


def hydrogen_bond_lengths(molecule: RawMolecule, element: int) -> np.ndarray:
    """Distances [Angstrom] to their nearest heavy atom of the H where it is `element` (conformation 0)."""
    x = molecule.positions[0] if len(molecule.positions) else np.full((1, 3), np.nan)
    heavy = molecule.atomic_numbers > 1
    if not np.isfinite(x).all() or not heavy.any() or heavy.all():
        return np.zeros(0)
    distances = np.linalg.norm(x[~heavy][:, None] - x[heavy][None], axis=-1)
    nearest = distances.argmin(1)
    return distances.min(1)[molecule.atomic_numbers[heavy][nearest] == element]
