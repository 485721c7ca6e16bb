"""Prepares the GEOM-Drugs store of a tier: `python -m data.geom_drugs.prepare --config block.yaml --out <store>.h5`.

block.yaml holds the `data.geom_drugs` block of the tier. Beside the store, <out>.report.json says what is in it and
what was left out. Finished ensembles are kept in <out>.work until the store is complete.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rdkit import Chem

from data.chemistry import GFN2, Quiet, nci_molecules
from data.chunks import finished_chunks
from data.command import advance, prepare_command, progress_bar
from data.errors import DataError
from data.files import write_text
from data.geom_drugs.channels import SYMBOLS
from data.geom_drugs.faults import Fault, LeftOut, Made
from data.geom_drugs.generate import Recipe, Task, generate
from data.geom_drugs.geom_msgpack import read_msgpack
from data.geom_drugs.geom_pickles import read_midi, read_rdkit_folder
from data.geom_drugs.settings import GeomDrugsSettings
from data.geom_drugs.smiles_lists import read_smiles
from data.geom_drugs.store import SPLITS, Ensemble, Ensembles, write_store

RAW_FOLDER = Path("data/geom_drugs/raw")
DATASETS = {
    "generate": "generated ensembles (ETKDG, MMFF94s)",
    "rdkit_folder": "GEOM-Drugs",
    "midi": "GEOM-Drugs, MiDi's conformers and split",
    "msgpack": "GEOM-Drugs, first release",
}
LEVELS = {
    "generate": f"{GFN2} at MMFF94s geometries",
    "rdkit_folder": f"{GFN2} (CREST)",
    "midi": "none",
    "msgpack": f"{GFN2} (CREST)",
}
# The published grid (Pinheiro et al. 2023) shows an atom up to this distance from the middle whatever the rotation
# (its centre is at 0.156 Angstrom, so one side sees less).
VOXMOL_REACH = 7.72  # [Angstrom]
CONFORMERS_AT_ONCE = 4096


def prepare(
    settings: GeomDrugsSettings, out: Path, raw: Path = RAW_FOLDER, workers: int | None = None
) -> dict:
    """Writes the store `out` and its report; returns the report. The result does not depend on `workers`."""
    out.parent.mkdir(parents=True, exist_ok=True)
    work = out.with_name(out.name + ".work")
    left_out = LeftOut()
    if settings.source == "generate":
        ensembles = _generated(settings, raw, work, workers, left_out)
    else:
        ensembles = _read(settings, raw, workers, left_out)
    provenance = {
        "source": settings.source,
        "dataset": DATASETS[settings.source],
        "energy_level": LEVELS[settings.source],
    }
    recorded = dataclasses.asdict(settings)
    counts = write_store(out, ensembles, config=recorded, splits=_splits(settings), **provenance)
    report = {
        **provenance,
        "counts": counts,
        "left_out": left_out.as_dict(),
        **_statistics(Ensembles(out)),
        "versions": _versions(),
        "config": recorded,
    }
    write_text(f"{out}.report.json", json.dumps(report, indent=1) + "\n")
    shutil.rmtree(work, ignore_errors=True)
    return report


def _generated(
    settings: GeomDrugsSettings, raw: Path, work: Path, workers: int | None, left_out: LeftOut
) -> Iterator[Ensemble]:
    """Ensembles of the molecules that the files list, and of NCI molecules that are not among those."""
    recipe = Recipe(settings.conformers, settings.duplicate_rmsd, settings.max_radius, settings.seed)
    tasks = [
        Task(record, smiles, file.split, recipe)
        for file in settings.files
        for record, smiles in read_smiles(raw / file.name)
    ]
    tasks += _nci_tasks(settings, recipe, {flat_smiles(task.smiles) for task in tasks})
    key = {"tasks": [dataclasses.asdict(task) for task in tasks], "versions": _versions()}
    digest = hashlib.blake2b(json.dumps(key).encode()).hexdigest()
    with progress_bar(len(tasks), "molecule", "generating") as bar:
        chunks = finished_chunks(
            tasks,
            generate,
            _write_chunk,
            work,
            {"tasks": digest},
            workers,
            lambda _, new: advance(bar, 1, new),
        )
    for chunk in chunks:
        store = Ensembles(chunk)
        left_out.add(Fault(**fault) for fault in store.config["faults"])
        yield from map(store.ensemble, range(len(store)))


def _nci_tasks(settings: GeomDrugsSettings, recipe: Recipe, listed: set[str]) -> list[Task]:
    found = [
        (record, smiles)
        for record, smiles in nci_molecules(
            set(settings.elements), settings.min_atoms, settings.max_atoms, settings.seed
        )
        if flat_smiles(smiles) not in listed
    ]
    if len(found) < settings.molecules:
        raise DataError(
            f"data.geom_drugs.molecules is {settings.molecules}, but RDKit's NCI file has only {len(found)} "
            "molecules of these elements and sizes: ask for fewer or allow more sizes"
        )
    return [
        Task(record, smiles, settings.drawn_split(flat_smiles(smiles)), recipe)
        for record, smiles in found[: settings.molecules]
    ]


def flat_smiles(smiles: str) -> str:
    """The SMILES without stereo, canonical; a SMILES that cannot be parsed is returned unchanged."""
    with Quiet():
        molecule = Chem.MolFromSmiles(smiles)
    return smiles if molecule is None else Chem.MolToSmiles(molecule, isomericSmiles=False)


def _write_chunk(path: Path, made: Sequence[Made]) -> None:
    """Writes ensembles as a store of their own, with the faults in its settings."""
    faults = [dataclasses.asdict(fault) for one in made for fault in one.faults]
    write_store(
        path,
        [one.ensemble for one in made if one.ensemble is not None],
        source="generate",
        dataset=DATASETS["generate"],
        energy_level=LEVELS["generate"],
        config={"faults": faults},
        splits=(),
    )


def _read(
    settings: GeomDrugsSettings, raw: Path, workers: int | None, left_out: LeftOut
) -> Iterator[Ensemble]:
    """Ensembles of the raw files."""
    limit = settings.conformers_per_molecule

    def split_of(smiles: str) -> str:
        return settings.drawn_split(flat_smiles(smiles))

    paths = {Path(file.name).suffix: raw / file.name for file in settings.files}
    if settings.source == "rdkit_folder":
        made = read_rdkit_folder(paths[".gz"], paths[".npy"], limit, workers)
    elif settings.source == "midi":
        made = (one for file in settings.files for one in read_midi(raw / file.name, file.split, limit))
    else:
        made = (
            one for file in settings.files for one in read_msgpack(raw / file.name, split_of, limit, workers)
        )
    with progress_bar(None, "molecule", "reading") as bar:
        for one in made:
            bar.update()
            left_out.add(one.faults)
            if one.ensemble is not None:
                yield one.ensemble


def _splits(settings: GeomDrugsSettings) -> list[str]:
    """Splits that must not be empty."""
    asked = {
        "train": True,
        "validation": settings.validation_fraction > 0,
        "test": settings.test_fraction > 0,
    }
    return [split for split in SPLITS if asked[split] or any(file.split == split for file in settings.files)]


def _statistics(store: Ensembles) -> dict:
    """A summary of the store for a person: sizes, elements, and molecules that VoxMol's published grid cannot show."""
    conformers = np.diff(store.conformer_offsets)
    molecule_of_atom = np.repeat(np.arange(len(store)), store.counts)
    numbers = np.asarray(store.atomic_numbers)
    elements = {}
    foreign = np.zeros(len(store), dtype=bool)
    for number in np.unique(numbers):
        symbol = Chem.GetPeriodicTable().GetElementSymbol(int(number))
        having = np.zeros(len(store), dtype=bool)
        having[molecule_of_atom[numbers == number]] = True
        elements[symbol] = {"atoms": int((numbers == number).sum())} | _counted(having, conformers)
        if symbol not in SYMBOLS:
            foreign |= having
    radii = _radii(store)
    far = radii > VOXMOL_REACH
    cut = {"molecules": len(np.unique(store.molecule[far])), "conformers": int(far.sum())}
    return {
        "atoms_per_molecule": _spread(store.counts),
        "conformers_per_molecule": _spread(conformers),
        "radius_angstrom": _spread(radii),
        "conformers_with_other_bonds": int((~np.asarray(store.same_graph)).sum()),
        "elements": elements,
        "voxmol": {
            f"of elements other than {' '.join(SYMBOLS)}": _counted(foreign, conformers),
            f"with atoms beyond {VOXMOL_REACH} Angstrom, in some rotations outside the grid": cut,
        },
    }


def _counted(having: np.ndarray, conformers: np.ndarray) -> dict[str, int]:
    """Counts of the molecules in the mask `having` (M,) and of their conformers; `conformers` (M,): per molecule."""
    return {"molecules": int(having.sum()), "conformers": int(conformers[having].sum())}


def _radii(store: Ensembles) -> np.ndarray:
    """(C,) distance of each conformer's farthest atom from the mean of all [Angstrom]."""
    radii = []
    for first in range(0, store.conformers, CONFORMERS_AT_ONCE):
        some = store.read(np.arange(first, min(first + CONFORMERS_AT_ONCE, store.conformers)))
        starts = np.cumsum(some.counts) - some.counts
        x = some.positions.astype(float)
        middles = np.add.reduceat(x, starts) / some.counts[:, None]
        distances = np.linalg.norm(x - np.repeat(middles, some.counts, axis=0), axis=-1)
        radii.append(np.maximum.reduceat(distances, starts))
    return np.concatenate(radii)


def _spread(values: Sequence[float] | np.ndarray) -> dict[str, float]:
    return {"min": float(np.min(values)), "mean": float(np.mean(values)), "max": float(np.max(values))}


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in ("rdkit", "tblite", "numpy", "h5py")}


def main(arguments: list[str] | None = None) -> int:
    def run(settings: GeomDrugsSettings, options) -> str:
        report = prepare(settings, options.out, options.raw, options.workers)
        counts = report["counts"]
        splits = ", ".join(f"{counts[split]} {split}" for split in SPLITS)
        gone = sum(reason["molecules"] for reason in report["left_out"].values())
        return (
            f"{counts['conformers']} conformers of {counts['molecules']} molecules of {report['dataset']}; "
            f"molecules: {splits}, {gone} left out"
        )

    return prepare_command("geom_drugs", __doc__.splitlines()[0], run, arguments)


if __name__ == "__main__":
    sys.exit(main())
