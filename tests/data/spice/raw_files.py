"""Small raw files in the schemas of SPICE and MACE-OFF, and the real ones where they are at hand."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

DATA_DIR = Path(os.environ.get("DATA_DIR", Path(__file__).parents[4] / "shared" / "data"))
REAL = {
    "des-monomers.hdf5": "27628930695f3db3ba692d7bfcb7ede0",
    "amino-acid-ligand-test.hdf5": "5c16154add6a4989956fb616db01c602",
    "solvated-amino-acids.hdf5": "c258c24235f341ba72de1135e47cd15b",
    "water.hdf5": "4757e64ad1f10fb6f69a8fa7d9d3fa5f",
}

METHANE = "[C:1]([H:2])([H:3])([H:4])[H:5]"
WATER = "[O:1]([H:2])[H:3]"
SILANE = "[Si:1]([H:2])([H:3])([H:4])[H:5]"
AMMONIUM = "[N+:1]([H:2])([H:3])([H:4])[H:5]"
_TETRAHEDRON = np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 3**0.5
ANGSTROM = {  # [Angstrom]
    METHANE: 1.09 * _TETRAHEDRON,
    SILANE: 1.48 * _TETRAHEDRON,
    AMMONIUM: 1.03 * _TETRAHEDRON,
    WATER: np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]),
}
PER_ANGSTROM = {"angstrom": 1.0, "nanometers": 0.1, "bohr": 1 / 0.529177210903}


def real_file(name):
    """Path of a raw SPICE file, wherever it is kept; skips the test where there is none."""
    md5 = REAL[name]
    path = DATA_DIR / "dvc-remote" / "files" / "md5" / md5[:2] / md5[2:]
    if not path.exists():
        pytest.skip(f"{name} is not at {path}: set DATA_DIR to the folder that holds dvc-remote")
    return path


def conformations(smiles, count=4, seed=0):
    """Slightly displaced copies (count, n, 3) [Angstrom]."""
    return ANGSTROM[smiles] + np.random.default_rng(seed).normal(
        scale=0.01, size=(count, *ANGSTROM[smiles].shape)
    )


def write_group(file, name, smiles, positions, units="bohr", labels=True, subset="SPICE Test Set"):
    """One SPICE group; positions (m, n, 3) [Angstrom] stored in `units`, gradients 0.01 hartree/bohr."""
    group = file.create_group(name)
    text = h5py.string_dtype()
    group.create_dataset("smiles", data=[smiles], dtype=text)
    group.create_dataset("subset", data=[subset], dtype=text)
    stored = group.create_dataset("conformations", data=(positions * PER_ANGSTROM[units]).astype(np.float32))
    stored.attrs["units"] = units
    if labels:
        energy = group.create_dataset("dft_total_energy", data=-40.0 - np.arange(len(positions)))
        energy.attrs["units"] = "hartree"
        gradient = group.create_dataset("dft_total_gradient", data=np.full(positions.shape, 0.01, np.float32))
        gradient.attrs["units"] = "hartree/bohr"
    return group


def spice_file(path, smiles=(METHANE, WATER), count=4, **options):
    """A SPICE file with one group per SMILES, named by its index."""
    with h5py.File(path, "w") as file:
        for k, one in enumerate(smiles):
            write_group(file, f"molecule {k}", one, conformations(one, count, seed=k), **options)
    return path


def xyz_frame(smiles=METHANE, prefix="", charge=0, seed=0):
    """One extended XYZ frame as MACE-OFF has them: energy -1100 eV, forces (1, 2, 3) eV/Angstrom on every atom."""
    symbols = {METHANE: "CHHHH", WATER: "OHH", AMMONIUM: "NHHHH"}[smiles]
    lines = [
        str(len(symbols)),
        f'Properties=species:S:1:pos:R:3:{prefix}forces:R:3 {prefix}energy=-1100.0 smiles="{smiles}" '
        f'config_type="PubChem" total_charge={charge} pbc="F F F"',
    ]
    for symbol, (x, y, z) in zip(symbols, conformations(smiles, 1, seed)[0], strict=True):
        lines.append(f"{symbol} {x:.8f} {y:.8f} {z:.8f} 1.0 2.0 3.0")
    return "\n".join(lines) + "\n"
