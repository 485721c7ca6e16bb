"""Reader of extended XYZ files in [Angstrom], [eV] and [eV/Angstrom], as MACE-OFF releases them."""

import io
import itertools
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np
from ase.data import atomic_numbers as NUMBER_OF
from ase.io.extxyz import key_val_str_to_dict

from data.errors import DataError
from data.spice.molecules import RawMolecule, with_bonds_checked


def read_xyz(path: str | os.PathLike, on_bytes: Callable[[int], None] | None = None) -> Iterator[RawMolecule]:
    """Every frame of an extended XYZ file, or of the first .xyz of a .tar.gz, as a molecule with m = 1.

    on_bytes: is called now and then with the bytes read so far of the file on disk, for a progress bar. Energy and
    forces are taken from `energy`, `forces` or `REF_energy`, `REF_forces` [eV, eV/Angstrom]. ASE's own reader seeks,
    which a compressed archive does not allow, and its errors name no frame: so frames are separated here, and ASE
    parses their comment lines.
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
