"""Prepares the store of C-alpha chains of a tier: generate or read them, filter, group and split them, pack them.

`python -m data.pdb.prepare --config block.yaml --out data/pdb/prepared/mini.h5 --workers 2`, where the YAML file
holds the `data.pdb` block of the tier. Beside the store, <store>.report.json says what is in it and lists what could
not be read. Files that were read are kept in <store>.work until the store is complete. The entries of source rcsb must
be listed and fetched first, by data.pdb.entries.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import re
import shutil
import sys
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.chunks import claim
from data.command import prepare_command, progress_bar
from data.errors import DataError
from data.files import write_text
from data.pdb.chains import GAP, Chain, radius_of_gyration, segments
from data.pdb.entries import entry_file
from data.pdb.generate import generate
from data.pdb.groups import group_chains, read_clusters, split_groups
from data.pdb.index import read_list
from data.pdb.settings import PdbSettings
from data.pdb.store import ChainStore, write_store
from data.pdb.structures import LARGEST, Reading, load_reading, read_chains, save_reading
from data.processes import map_in_processes

RAW_FOLDER = Path("data/pdb/raw")
FILES_PER_CHUNK = 64
BYTES_PER_CHUNK = 1 << 26  # of contents in memory; a larger file is a chunk of its own
DATASETS = {
    "generate": "generated C-alpha traces",
    "structures": "protein chains from structure files",
    "rcsb": "protein chains of the PDB",
}
_COUNTED = ("residues_without_ca", "alternate_locations", "insertion_codes")
_STRUCTURE = re.compile(r"\.(pdb|ent|cif|mmcif)(\.gz)?$", re.IGNORECASE)
_ARCHIVE = re.compile(r"\.(tar|tgz|tar\.gz)$", re.IGNORECASE)


@dataclass(frozen=True)
class File:
    """One structure to read.

    name: for reports. content: the bytes, or the path of the file. wanted: author ids of chains -> SEQRES; None: all.
    """

    name: str
    entry: str
    content: bytes | Path
    wanted: dict[str, str] | None = None


def prepare(settings: PdbSettings, out: Path, raw: Path = RAW_FOLDER, workers: int | None = None) -> dict:
    """Writes the store `out` and its report; returns the report. The result does not depend on `workers`."""
    work = out.with_name(out.name + ".work")
    faults: list[str] = []
    seen: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    if settings.source == "generate":
        read: Iterable[Chain] = progress_bar(
            settings.chains,
            "chain",
            "generating",
            iterable=generate(settings.chains, settings.min_residues, settings.max_residues, settings.seed),
        )
    else:
        read = _read(settings, out, raw, work, workers, faults, seen)
    chains = list(_admitted(read, settings, left_out, faults))
    clusters = read_clusters(raw / settings.clusters) if settings.clusters else None
    if not chains:
        raise DataError(
            f"store {out}: no chain is left of {seen['files']} files ({len(faults)} faults, "
            f"{', '.join(f'{reason}: {count}' for reason, count in left_out.items()) or 'nothing filtered'}"
            f"{'; the first fault: ' + faults[0] if faults else ''}): widen the filters of data.pdb"
        )
    groups, grouping = group_chains(chains, clusters, by_entry=settings.source == "structures")
    counts = write_store(
        out,
        chains,
        groups,
        split_groups(groups, settings.validation_fraction, settings.test_fraction, settings.seed),
        source=settings.source,
        dataset=DATASETS[settings.source],
        grouping=grouping,
        config=dataclasses.asdict(settings),
    )
    report = {
        "dataset": DATASETS[settings.source],
        "counts": counts,
        "grouping": grouping,
        "read": {kind: seen[kind] for kind in ("files", "chains", *_COUNTED)},
        "left_out": dict(left_out),
        "faults": faults,
        **_statistics(ChainStore(out), chains),
        "versions": {name: importlib.metadata.version(name) for name in ("gemmi", "numpy", "h5py")},
        "config": dataclasses.asdict(settings),
    }
    write_text(f"{out}.report.json", json.dumps(report, indent=1) + "\n")
    shutil.rmtree(work, ignore_errors=True)
    return report


def _read(
    settings: PdbSettings,
    out: Path,
    raw: Path,
    work: Path,
    workers: int | None,
    faults: list[str],
    seen: Counter[str],
) -> Iterator[Chain]:
    """The chains of all files, in the order of the files; adds to `faults` and `seen`."""
    if settings.source == "rcsb":
        listing = out.with_suffix(".entries.tsv")
        files: Iterable[File] = _entries(listing, raw / "entries")
        key = {"list": _digest(listing)}
    else:
        files = (file for name in settings.files for file in _files(raw / name.name))
        key = {"files": {name.name: _digest(raw / name.name) for name in settings.files}}
    claim(work, key | {"versions": {name: importlib.metadata.version(name) for name in ("gemmi", "numpy")}})
    readings = _readings(files, work, workers)
    for reading in progress_bar(None, f"x {FILES_PER_CHUNK} files", "reading", iterable=readings):
        seen["files"] += reading.files
        seen["chains"] += len(reading.chains)
        for kind in _COUNTED:
            seen[kind] += getattr(reading, kind)
        faults += reading.faults
        yield from reading.chains


def _readings(files: Iterable[File], work: Path, workers: int | None) -> Iterator[Reading]:
    """The readings of the files, in order, by chunks that are kept in `work`."""

    def tasks() -> Iterator[tuple[Path, list[File]]]:
        for k, chunk in enumerate(_chunks(files)):
            path = work / f"chunk-{k:06d}-{_state(chunk)}.npz"
            yield path, [] if path.exists() else chunk

    finished = map(_finish, tasks()) if workers == 1 else map_in_processes(_finish, tasks(), workers)
    return map(load_reading, finished)


def _chunks(files: Iterable[File]) -> Iterator[list[File]]:
    """The files in order, in chunks of FILES_PER_CHUNK, or of fewer whose contents reach BYTES_PER_CHUNK."""
    chunk: list[File] = []
    held = 0
    for file in files:
        size = len(file.content) if isinstance(file.content, bytes) else 0
        if chunk and (len(chunk) == FILES_PER_CHUNK or held + size > BYTES_PER_CHUNK):
            yield chunk
            chunk, held = [], 0
        chunk.append(file)
        held += size
    if chunk:
        yield chunk


def _state(chunk: list[File]) -> str:
    """A digest of the names of these files and, for files on disk, of their sizes and dates."""
    state = hashlib.blake2b(digest_size=8)
    for file in chunk:
        about = None
        if isinstance(file.content, Path) and file.content.exists():
            found = file.content.stat()
            about = found.st_size, found.st_mtime_ns
        state.update(json.dumps([file.name, about]).encode())
    return state.hexdigest()


def _finish(task: tuple[Path, list[File]]) -> Path:
    """Reads the files of a chunk, unless that was done before."""
    path, files = task
    if not path.exists():
        whole = Reading(files=0)
        for file in files:
            whole.add(_read_file(file))
        save_reading(path, whole)
    return path


def _read_file(file: File) -> Reading:
    if isinstance(file.content, bytes):
        return read_chains(file.content, file.name, file.entry, file.wanted)
    try:
        with file.content.open("rb") as opened:
            content = opened.read(LARGEST + 1)
    except OSError as error:
        return Reading(faults=[f"structure {file.name} cannot be read: {error.strerror}"])
    return read_chains(content, file.name, file.entry, file.wanted)


def _files(path: Path) -> Iterator[File]:
    """A structure, or the structures in a tar archive; nothing is unpacked to disk."""
    if not path.exists():
        raise DataError(f"structures {path} do not exist: fetch them with python -m data.fetch {path}.dvc")
    if not _ARCHIVE.search(path.name):
        yield File(path.name, _STRUCTURE.sub("", path.name), path)
        return
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                if member.isfile() and _STRUCTURE.search(member.name):
                    content = archive.extractfile(member).read(LARGEST + 1)
                    yield File(member.name, _STRUCTURE.sub("", Path(member.name).name), content)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"archive {path} is truncated or not a tar archive ({error}): delete it and fetch it again"
        ) from error


def _entries(listing: Path, folder: Path) -> Iterator[File]:
    """The listed entries, each with the chains that the list names."""
    wanted: dict[str, dict[str, str]] = {}
    for row in read_list(listing):
        wanted.setdefault(row.entry, {})[row.chain] = row.sequence
    for entry, chains in wanted.items():
        path = entry_file(folder, entry)
        yield File(path.name, entry, path, chains)


def _digest(path: Path) -> str:
    """Digest of a file's content; "" if there is no file, which is an error when it is read."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _admitted(
    chains: Iterable[Chain], settings: PdbSettings, left_out: Counter[str], faults: list[str]
) -> Iterator[Chain]:
    """The chains that pass the filters, cut at gaps if the settings say so. A repeated name is a fault."""
    gap = None if settings.split_gap is None else settings.split_gap / 10
    names = set()
    for chain in chains:
        if chain.name in names:
            faults.append(f"structure {chain.entry}, chain {chain.chain} comes twice; the first is kept")
            continue
        names.add(chain.name)
        for part in segments(chain, gap):
            reason = _unwanted(part, settings)
            if reason:
                left_out[reason] += 1
            else:
                yield part


def _unwanted(chain: Chain, settings: PdbSettings) -> str | None:
    if settings.source == "structures":  # the list of entries was made with these filters
        if settings.methods is not None and chain.method not in settings.methods:
            return "method"
        if settings.max_resolution is not None and not chain.resolution <= settings.max_resolution:
            return "resolution unknown or too low"
    if len(chain) < settings.min_residues:
        return "too short"
    if settings.max_residues is not None and len(chain) > settings.max_residues:
        return "too long"
    if settings.max_breaks is not None and len(chain.breaks()) > settings.max_breaks:
        return "too many gaps"
    return None


def _statistics(store: ChainStore, chains: Sequence[Chain]) -> dict:
    """Sizes and shapes of the stored chains, for a person."""
    bonds = np.concatenate([np.linalg.norm(np.diff(chain.coordinates, axis=0), axis=1) for chain in chains])
    whole = bonds[bonds <= GAP]
    radii = [radius_of_gyration(chain.coordinates) for chain in chains]
    return {
        "digest": store.digest,
        "mean_square_coordinate_nm2": store.variance,
        "residues_per_chain": {
            "min": int(store.counts.min()),
            "mean": float(store.counts.mean()),
            "max": int(store.counts.max()),
        },
        "radius_of_gyration_nm": {"mean": float(np.mean(radii)), "max": float(np.max(radii))},
        "bond_nm": {"mean": float(whole.mean()), "std": float(whole.std())} if len(whole) else None,
        "gaps": int((bonds > GAP).sum()),
        "chains_with_gaps": sum(bool(len(chain.breaks())) for chain in chains),
    }


def main(arguments: list[str] | None = None) -> int:
    def run(settings: PdbSettings, options) -> str:
        report = prepare(settings, options.out, options.raw, options.workers)
        counts = report["counts"]
        return (
            f"{counts['chains']} chains of {report['dataset']}, {counts['train']} train, "
            f"{counts['validation']} validation, {counts['test']} test; {sum(report['left_out'].values())} left out, "
            f"{len(report['faults'])} could not be used"
        )

    return prepare_command("pdb", __doc__.splitlines()[0], run, arguments)


if __name__ == "__main__":
    sys.exit(main())
