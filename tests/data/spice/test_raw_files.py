"""The raw readers: units as the file declares them, forces and not gradients, one answer from every form."""

import tarfile

import h5py
import numpy as np
import pytest

from data.spice.hdf5 import read_spice, write_spice
from data.spice.molecules import hydrogen_bond_lengths
from data.spice.reference_energies import SPICE_ATOMS, gfn2_atoms
from data.spice.smiles import parse_mapped_smiles
from data.spice.xyz import read_xyz
from tests.data.spice.raw_files import (
    AMMONIUM,
    METHANE,
    WATER,
    conformations,
    real_file,
    spice_file,
    xyz_frame,
)

HARTREE, FORCE = 27.211386245988, 51.4220674763  # [eV], hartree/bohr in [eV/Angstrom]


@pytest.mark.parametrize("units", ["bohr", "nanometers", "angstrom"])
def test_positions_are_in_angstrom_whatever_the_declared_unit(tmp_path, units):
    methane, water = read_spice(spice_file(tmp_path / "a.hdf5", units=units))
    np.testing.assert_allclose(methane.positions, conformations(METHANE, 4, 0), atol=1e-6)
    np.testing.assert_allclose(water.positions, conformations(WATER, 4, 1), atol=1e-6)


def test_forces_are_minus_the_gradient_and_energies_in_electronvolt(tmp_path):
    methane, _ = read_spice(spice_file(tmp_path / "a.hdf5"))
    np.testing.assert_allclose(methane.energy, HARTREE * np.array([-40, -41, -42, -43]), rtol=1e-12)
    np.testing.assert_allclose(methane.forces, -0.01 * FORCE, rtol=1e-6)


def test_a_file_without_labels_is_read_without_them(tmp_path):
    for molecule in read_spice(spice_file(tmp_path / "a.hdf5", labels=False, units="nanometers")):
        assert molecule.energy is None
        assert molecule.forces is None


def test_atoms_follow_the_map_of_the_smiles_not_its_order():
    mapped = parse_mapped_smiles("[H:3][O:2][C:1]([H:4])([H:5])[H:6]", "here")
    assert mapped.atomic_numbers.tolist() == [6, 8, 1, 1, 1, 1]
    assert sorted(map(sorted, mapped.bonds.tolist())) == [[0, 1], [0, 3], [0, 4], [0, 5], [1, 2]]
    assert (mapped.charge, mapped.canonical) == (0, "CO")
    assert parse_mapped_smiles(AMMONIUM, "here").charge == 1


def test_written_labels_read_back_to_single_precision(tmp_path):
    from data.spice.label import Labelled

    rng = np.random.default_rng(0)
    written = Labelled(
        "a/b", METHANE, np.array([6, 1, 1, 1, 1]), conformations(METHANE), rng.normal(size=4) - 1e3,
        rng.normal(size=(4, 5, 3)), {"lost": 2},
    )  # fmt: skip
    write_spice(tmp_path / "a.hdf5", [written], "GFN2-xTB")
    (read,) = read_spice(tmp_path / "a.hdf5")
    np.testing.assert_allclose(read.positions, written.positions, atol=1e-6)
    np.testing.assert_allclose(read.energy, written.energy, rtol=1e-14)
    np.testing.assert_allclose(read.forces, written.forces, atol=1e-5)


@pytest.mark.parametrize("prefix", ["", "REF_"])
def test_xyz_frames_are_read_with_either_name_of_their_labels(tmp_path, prefix):
    path = tmp_path / "a.xyz"
    path.write_text(xyz_frame(METHANE, prefix) + xyz_frame(WATER, prefix, charge=-1))
    methane, water = read_xyz(path)
    np.testing.assert_allclose(methane.positions, conformations(METHANE, 1), atol=1e-7)
    np.testing.assert_array_equal(methane.forces, np.tile([1.0, 2.0, 3.0], (1, 5, 1)))
    assert methane.energy.tolist() == [-1100.0]
    assert (methane.name, methane.subset, methane.charge) == (METHANE, "PubChem", 0)
    assert (water.atomic_numbers.tolist(), water.charge) == ([8, 1, 1], -1)


def test_blank_lines_at_the_end_of_an_xyz_file_are_no_frames(tmp_path):
    (tmp_path / "a.xyz").write_text(xyz_frame() + "\n  \n")
    assert len(list(read_xyz(tmp_path / "a.xyz"))) == 1


def test_ase_reads_the_same_from_an_xyz_file(tmp_path):
    from ase.io import iread

    path = tmp_path / "a.xyz"
    path.write_text("".join(xyz_frame(smiles, seed=k) for k, smiles in enumerate([METHANE, WATER, METHANE])))
    for ours, theirs in zip(read_xyz(path), iread(path), strict=True):
        np.testing.assert_array_equal(ours.positions[0], theirs.positions)
        np.testing.assert_array_equal(ours.atomic_numbers, theirs.numbers)
        np.testing.assert_array_equal(ours.forces[0], theirs.get_forces())
        assert ours.energy[0] == theirs.get_potential_energy()


def test_an_archive_streams_as_the_file_in_it(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text("".join(xyz_frame(METHANE, seed=k) for k in range(5)))
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(path, "folder/a.xyz")
    plain, packed = list(read_xyz(path)), list(read_xyz(tmp_path / "a.tar.gz"))
    assert len(plain) == len(packed) == 5
    for a, b in zip(plain, packed, strict=True):
        np.testing.assert_array_equal(a.positions, b.positions)


@pytest.mark.parametrize(
    ("name", "groups", "element", "low", "high"),
    [
        ("des-monomers.hdf5", 378, 6, 1.08, 1.11),
        ("amino-acid-ligand-test.hdf5", 200, 6, 1.08, 1.11),
        ("solvated-amino-acids.hdf5", 26, 6, 1.08, 1.11),
        ("water.hdf5", 1, 8, 0.93, 1.0),
    ],
)
def test_real_spice_geometries_have_the_bonds_of_molecules(name, groups, element, low, high):
    molecules = list(read_spice(real_file(name)))
    assert len(molecules) == groups
    assert low < np.median(np.concatenate([hydrogen_bond_lengths(m, element) for m in molecules])) < high
    assert all(molecule.energy is None for molecule in molecules)


def test_gfn2_atoms_bind_into_a_molecule():
    from data.spice.label import gfn2

    numbers, positions = np.array([6, 1, 1, 1, 1]), conformations(METHANE, 1)[0]
    energy, forces = gfn2(numbers, positions)
    atoms = gfn2_atoms(["C", "H"])
    assert -25 < energy - atoms["C"] - 4 * atoms["H"] < -15  # atomisation energy of methane: 18 eV
    np.testing.assert_allclose(forces.sum(0), 0, atol=1e-6)


def test_gfn2_forces_are_minus_the_slope_of_the_energy():
    from data.spice.label import gfn2

    numbers, x = np.array([8, 1, 1]), conformations(WATER, 1)[0]
    step = np.zeros_like(x)
    step[1, 0] = 1e-3
    slope = (gfn2(numbers, x + step)[0] - gfn2(numbers, x - step)[0]) / 2e-3
    assert gfn2(numbers, x)[1][1, 0] == pytest.approx(-slope, abs=1e-3)


def test_the_spice_table_has_the_ten_elements_of_mace_off():
    assert list(SPICE_ATOMS) == ["H", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I"]
    assert SPICE_ATOMS["H"] == pytest.approx(-0.49876 * 27.2114, rel=1e-5)


def test_units_are_read_not_assumed(tmp_path):
    """The same stored numbers mean another geometry under another declared unit, and are then refused."""
    path = spice_file(tmp_path / "a.hdf5", units="nanometers")
    with h5py.File(path, "a") as file:
        for group in file.values():
            group["conformations"].attrs["units"] = "bohr"
    with pytest.raises(ValueError, match=r"C-H distance of 0\.05"):
        list(read_spice(path))
