"""The chains of the PDB that the settings admit, from the archive's own index files (spec proteina.md 2.1 and 2.2)."""

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.errors import DataError
from data.files import write_text
from data.pdb.chains import LETTERS
from data.pdb.settings import INDEX, PdbSettings

_ENTRY = r"[0-9][a-z0-9]{3}|pdb_[0-9a-z]{8}"  # entries name files, so nothing else is accepted as an entry
_HEADER = re.compile(rf">({_ENTRY})_(\S*)\s+mol:(\S*)", re.ASCII | re.IGNORECASE)
COLUMNS = ("entry", "chain", "method", "resolution", "sequence")


@dataclass(frozen=True)
class Listed:
    """One chain of the list. entry: in lower case. chain: author id. resolution: [Angstrom]. sequence: SEQRES."""

    entry: str
    chain: str
    method: str
    resolution: float
    sequence: str


def select(settings: PdbSettings, raw: Path) -> tuple[list[Listed], dict[str, int]]:
    """The chains that the settings admit, in the order of the index, and how many each filter in turn left out.

    The subsample comes before all filters, as upstream's does, but is drawn from `seed` by our own rule.
    """
    paths = {name: raw / name for name in INDEX}
    methods = dict(_entry_types(paths["pdb_entry_type.txt"]))
    resolutions = dict(_resolutions(paths["resolu.idx"]))
    bundles = set(_bundles(paths["pdb_bundle_index.txt"]))
    rows = list(_sequences(paths["pdb_seqres.txt.gz"]))
    left_out: dict[str, int] = {}

    def keep(reason: str, passes: list[bool]) -> None:
        nonlocal rows
        left_out[reason] = passes.count(False)
        rows = [row for row, good in zip(rows, passes, strict=True) if good]

    if settings.fraction < 1:
        drawn = np.random.default_rng(settings.seed).random(len(rows)) < settings.fraction
        keep("not in the subsample", drawn.tolist())
    if settings.methods is not None:
        keep("method", [methods.get(entry) in settings.methods for entry, *_ in rows])
    keep("sequence too long", [len(sequence) <= settings.max_sequence for *_, sequence in rows])
    keep("sequence too short", [len(sequence) >= settings.min_sequence for *_, sequence in rows])
    keep("no protein", [kind == "protein" for _, _, kind, _ in rows])
    if settings.max_resolution is not None:
        best = float("inf")
        keep(
            "resolution unknown or too low",
            [resolutions.get(entry, best) <= settings.max_resolution for entry, *_ in rows],
        )
    standard = set(LETTERS.values())
    keep("residues that are not standard", [set(sequence) <= standard for *_, sequence in rows])
    keep("in no single file", [entry not in bundles for entry, *_ in rows])
    chosen = [
        Listed(entry, chain, methods.get(entry, ""), resolutions.get(entry, float("nan")), sequence)
        for entry, chain, _, sequence in rows
    ]
    return chosen, left_out


def write_list(path: Path, chosen: list[Listed]) -> None:
    """Writes a table with tabs between COLUMNS; the file appears when complete."""
    lines = ["\t".join(COLUMNS)]
    lines += [f"{c.entry}\t{c.chain}\t{c.method}\t{c.resolution:g}\t{c.sequence}" for c in chosen]
    write_text(path, "\n".join(lines) + "\n")


def read_list(path: Path) -> list[Listed]:
    """The rows that `write_list` wrote."""
    lines = _lines(path, f"make it with python -m data.pdb.entries --out {path}")
    if next(lines, "").split("\t") != list(COLUMNS):
        raise DataError(f"list of entries {path} does not begin with {' '.join(COLUMNS)}: make it again")
    chosen = []
    for k, line in enumerate(lines, 2):
        words = line.split("\t")
        if not re.fullmatch(_ENTRY, words[0]):
            raise DataError(f"list of entries {path}, line {k}: {words[0][:80]!r} is not an entry of the PDB")
        try:
            entry, chain, method, resolution, sequence = words
            chosen.append(Listed(entry, chain, method, float(resolution), sequence))
        except ValueError as error:
            raise DataError(
                f"list of entries {path}, line {k} is not one of {len(COLUMNS)} columns"
            ) from error
    return chosen


def _sequences(path: Path) -> Iterator[tuple[str, str, str, str]]:
    """(entry, chain, molecule type, sequence) of every SEQRES chain."""
    header = None
    for k, line in enumerate(_lines(path), 1):
        if line.startswith(">"):
            header = _HEADER.match(line)
        if header is None:
            raise DataError(f"index {path}, line {k}: {line[:80]!r} lacks an entry, a chain or a mol: type")
        if not line.startswith(">"):
            yield header[1].lower(), header[2], header[3], line.strip()


def _entry_types(path: Path) -> Iterator[tuple[str, str]]:
    for line in _lines(path):
        words = line.split()
        if len(words) == 3:
            yield words[0].lower(), words[2]


def _resolutions(path: Path) -> Iterator[tuple[str, float]]:
    """Entries and their resolutions; rows whose third word is not a number, such as the heading, are skipped."""
    for line in _lines(path):
        words = line.split()
        try:
            entry, _, resolution = words
            if float(resolution) > 0:
                yield entry.lower(), float(resolution)
        except ValueError:
            continue


def _bundles(path: Path) -> Iterator[str]:
    """Entries that are too large for one file in PDB format."""
    for line in _lines(path):
        yield from re.findall(rf"\b(?:{_ENTRY})\b", line.lower())


def _lines(path: Path, remedy: str = "") -> Iterator[str]:
    """A text file, gzipped or not, line by line."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt") as file:
            for line in file:
                yield line.rstrip("\n")
    except FileNotFoundError as error:
        remedy = remedy or f"fetch it with python -m data.fetch {path}.dvc"
        raise DataError(f"index {path} does not exist: {remedy}") from error
    except (EOFError, OSError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"index {path} is truncated or damaged ({error}): fetch it again") from error
