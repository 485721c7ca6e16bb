"""Prepares the SPICE store of a tier: `python -m data.spice.prepare --config block.yaml --out <store>.h5`.

block.yaml holds the `data.spice` block of the tier. Beside the store, <out>.report.json says what is in it
and what was left out. Finished labels are kept in <out>.work until the store is complete.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.chunks import finished_chunks
from data.command import advance, prepare_command, progress_bar
from data.errors import DataError
from data.files import write_text
from data.processes import map_in_processes
from data.spice.filters import Dropped, selected, spread_conformations
from data.spice.generate import Recipe, candidates, generate
from data.spice.hdf5 import SPICE_LEVEL, count_spice, read_spice, spice_failures, spice_level, write_spice
from data.spice.label import LEVEL, Geometries, Labelled, label
from data.spice.molecules import RawMolecule
from data.spice.reference_energies import gfn2_atoms, spice_atoms, sum_of_atoms
from data.spice.settings import RawFile, SpiceSettings
from data.spice.splits import held_out
from data.spice.store import ConformationStore, LabelledMolecule, write_store
from data.spice.xyz import read_xyz

RAW_FOLDER = Path("data/spice/raw")


@dataclass(frozen=True)
class Part:
    """Labelled files that share a split (None: split by molecule)."""

    files: list[Path]
    split: str | None
    conformations_per_molecule: int | None = None


def prepare(settings: SpiceSettings, out: Path, raw: Path = RAW_FOLDER, workers: int | None = None) -> dict:
    """Writes the store `out` and its report; returns the report. The result does not depend on `workers`."""
    out.parent.mkdir(parents=True, exist_ok=True)
    work = out.with_name(out.name + ".work")
    dropped = Dropped()
    if settings.source == "generate":
        parts = _generated(settings, work, workers)
    elif settings.source == "geometries":
        parts = _labelled(settings, raw, work, workers, dropped)
    else:
        parts = [Part([raw / f.name], f.split, f.conformations_per_molecule) for f in settings.files]
    level, failed = _level(parts, settings), _failed(parts, settings)
    atoms = _isolated_atoms(level, settings.elements)
    counts = write_store(
        out,
        _packed(parts, settings, atoms, dropped),
        labels=level,
        source=settings.source,
        config=dataclasses.asdict(settings),
        test_molecules=lambda names: held_out(names, settings.test_fraction, settings.seed),
    )
    report = {
        "labels": level,
        "counts": counts,
        "failed": failed,
        "dropped": dropped.as_dict(),
        "isolated_atoms_eV": atoms,
        **_statistics(ConformationStore(out)),
        "versions": _versions(),
        "config": dataclasses.asdict(settings),
    }
    write_text(f"{out}.report.json", json.dumps(report, indent=1) + "\n")
    shutil.rmtree(work, ignore_errors=True)
    return report


def _generated(settings: SpiceSettings, work: Path, workers: int | None) -> list[Part]:
    recipe = Recipe(settings.conformers, settings.samples_per_conformer, settings.temperature, settings.seed)
    tasks = candidates(set(settings.elements), settings.min_atoms, settings.max_atoms, recipe)
    if len(tasks) < settings.molecules:
        raise DataError(
            f"data.spice.molecules is {settings.molecules}, but RDKit's NCI file has only {len(tasks)} "
            "molecules of these elements and sizes: ask for fewer or allow more sizes"
        )
    tasks = tasks[: settings.molecules]
    key = dataclasses.asdict(recipe) | {"molecules": [task.smiles for task in tasks], "versions": _versions()}
    samples = settings.conformers * settings.samples_per_conformer
    with progress_bar(len(tasks) * samples, "conformation", "generating") as bar:
        files = finished_chunks(
            tasks, generate, _write_chunk, work, key, workers, lambda _, new: advance(bar, samples, new)
        )
    return [Part(files, None)]


def _labelled(
    settings: SpiceSettings, raw: Path, work: Path, workers: int | None, dropped: Dropped
) -> list[Part]:
    """GFN2-xTB labels for the admitted geometries of every file, in a folder of chunks per file."""
    tasks: dict[RawFile, list[Geometries]] = {}
    for file in settings.files:
        molecules = (
            spread_conformations(m, file.conformations_per_molecule) for m in read_spice(raw / file.name)
        )
        tasks[file] = [
            Geometries(f"{k:06d}", molecule.smiles, molecule.atomic_numbers, molecule.positions)
            for k, molecule in enumerate(selected(molecules, settings, dropped))
        ]
    parts = []
    total = sum(len(task.positions) for of_file in tasks.values() for task in of_file)
    with progress_bar(total, "conformation", "labelling") as bar:
        for file, of_file in tasks.items():
            key = {
                "file": file.name,
                "content": hashlib.blake2b((raw / file.name).read_bytes()).hexdigest(),
                "config": dataclasses.asdict(settings),
                "versions": _versions(),
            }
            files = finished_chunks(
                of_file,
                label,
                _write_chunk,
                work / file.name,
                key,
                workers,
                lambda task, new: advance(bar, len(task.positions), new),
            )
            parts.append(Part(files, file.split))
    return parts


def _write_chunk(path: Path, molecules: Sequence[Labelled]) -> None:
    write_spice(path, molecules, LEVEL)


def _packed(
    parts: list[Part], settings: SpiceSettings, atoms: dict[str, float], dropped: Dropped
) -> Iterator[LabelledMolecule]:
    """The admitted molecules of all parts, with the energies of the isolated atoms subtracted."""
    for part in parts:
        for file in part.files:
            molecules = (
                spread_conformations(molecule, part.conformations_per_molecule)
                for molecule in _read(file, settings.source)
            )
            for molecule in selected(molecules, settings, dropped):
                if molecule.energy is None:
                    raise DataError(
                        f"{molecule.record} has no dataset 'dft_total_energy': set data.spice.source to "
                        "geometries to label it with GFN2-xTB"
                    )
                yield LabelledMolecule(
                    molecule=molecule.name,
                    atomic_numbers=molecule.atomic_numbers,
                    positions=molecule.positions,
                    forces=molecule.forces,
                    energy=molecule.energy - sum_of_atoms(molecule.atomic_numbers, atoms, molecule.record),
                    split=part.split,
                )


def _read(file: Path, source: str) -> Iterator[RawMolecule]:
    """The molecules of a labelled file, with a progress bar where the file is one of the large ones."""
    if source == "mace_off":
        size = file.stat().st_size if file.exists() else None
        with progress_bar(size, "B", f"reading {file.name}", unit_scale=True) as bar:
            yield from read_xyz(file, lambda done: bar.update(done - bar.n))
    elif source == "spice":
        with progress_bar(count_spice(file), "molecule", f"reading {file.name}") as bar:
            for molecule in read_spice(file):
                yield molecule
                bar.update()
    else:
        yield from read_spice(file)


def _level(parts: list[Part], settings: SpiceSettings) -> str:
    """The one level of theory of all parts."""
    if settings.source == "mace_off":
        return SPICE_LEVEL
    levels = {spice_level(file): file for part in parts for file in part.files}
    if len(levels) > 1:
        raise DataError(
            "data.spice.files mix levels of theory: "
            + ", ".join(f"{file} has {level}" for level, file in levels.items())
            + ": prepare a store of each"
        )
    level = next(iter(levels), LEVEL)
    if level not in (LEVEL, SPICE_LEVEL):
        raise DataError(f"SPICE file {levels[level]} has labels by {level}, not by {LEVEL} or {SPICE_LEVEL}")
    return level


def _isolated_atoms(level: str, elements: tuple[str, ...]) -> dict[str, float]:
    """Reference energies [eV]; a worker process, which has one thread, does the quantum chemistry."""
    if level == LEVEL:
        return next(map_in_processes(gfn2_atoms, [elements], 1))
    return spice_atoms(elements)


def _failed(parts: list[Part], settings: SpiceSettings) -> dict[str, int]:
    """Conformations that could not be made or labelled, by reason."""
    total: dict[str, int] = {}
    if settings.source in ("generate", "geometries"):
        for part in parts:
            for file in part.files:
                for reason, count in spice_failures(file).items():
                    total[reason] = total.get(reason, 0) + count
    return total


def _statistics(store: ConformationStore) -> dict:
    """Sizes and forces of the whole store, for a person."""
    rows = np.linspace(0, len(store) - 1, min(len(store), 5000)).astype(int)
    sample = store.read(rows)
    largest = np.maximum.reduceat(np.abs(sample.forces).max(1), np.cumsum(sample.counts) - sample.counts)
    quantiles = np.quantile(largest, [0.5, 0.9, 0.99, 1.0])
    return {
        "energy_mean_eV": store.energy_mean,
        "energy_std_eV": store.energy_std,
        "force_std_eV_per_angstrom": store.force_std,
        "largest_force_component_eV_per_angstrom": dict(
            zip(("median", "90%", "99%", "max"), map(float, quantiles), strict=True)
        ),
        "atoms_per_conformation": {
            "min": int(store.counts.min()),
            "mean": float(store.counts.mean()),
            "max": int(store.counts.max()),
        },
    }


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in ("rdkit", "tblite", "numpy", "h5py")}


def main(arguments: list[str] | None = None) -> int:
    def run(settings: SpiceSettings, options) -> str:
        report = prepare(settings, options.out, options.raw, options.workers)
        counts = report["counts"]
        return (
            f"{counts['conformations']} conformations of {counts['molecules']} molecules, "
            f"{counts['train']} train, {counts['test']} test, {sum(report['failed'].values())} failed"
        )

    return prepare_command("spice", __doc__.splitlines()[0], run, arguments)


if __name__ == "__main__":
    sys.exit(main())
