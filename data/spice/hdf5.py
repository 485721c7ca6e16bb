"""Files of the SPICE HDF5 schema, with or without labels: read molecule by molecule, and written.

Quantities are converted from the units that the file declares to [Angstrom], [eV] and [eV/Angstrom].
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from data.errors import DataError
from data.files import replacing
from data.spice.label import Labelled
from data.spice.molecules import RawMolecule, with_bonds_checked
from data.spice.smiles import parse_mapped_smiles
from data.units import BOHR, ENERGY, GRADIENT, HARTREE, LENGTH, factor

SPICE_LEVEL = "wB97M-D3(BJ)/def2-TZVPPD"


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
        # Not file.values(): its iterator holds h5py's lock between two values, and other threads would wait forever.
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
    """Conformations that could not be made or labelled for a file of ours, by reason."""
    with _opened(Path(path)) as file:
        return json.loads(file.attrs.get("failures", "{}"))
