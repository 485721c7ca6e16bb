"""Bad input: one sentence that names file, record and remedy, and nothing half-written."""

import tarfile

import h5py
import numpy as np
import pytest

from data.errors import DataError
from data.spice.prepare import prepare
from data.spice.settings import SpiceSettings
from data.validation import read
from tests.data.spice.raw_files import (
    METHANE,
    SILANE,
    WATER,
    conformations,
    spice_file,
    write_group,
    xyz_frame,
)

SPICE = {"source": "spice", "files": [{"name": "a.hdf5"}], "test_fraction": 0.5}
GEOMETRIES = SPICE | {"source": "geometries"}
MACE_OFF = {
    "source": "mace_off",
    "files": [{"name": "a.xyz", "split": "train"}, {"name": "b.xyz", "split": "test"}],
}


def refusal(tmp_path, block=SPICE):
    """The sentence with which `prepare` refuses; checks that it leaves nothing but the raw files."""
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(DataError) as caught:
        prepare(read(SpiceSettings, block, "data.spice"), tmp_path / "out.h5", tmp_path, 1)
    assert {path.name for path in tmp_path.iterdir()} == before
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def edited(tmp_path, edit, **options):
    path = spice_file(tmp_path / "a.hdf5", **options)
    with h5py.File(path, "a") as file:
        edit(file)
    return path


@pytest.mark.parametrize("block", [SPICE, GEOMETRIES])
def test_a_missing_file(tmp_path, block):
    assert refusal(tmp_path, block).endswith(
        f"does not exist: fetch it with python -m data.fetch {tmp_path}/a.hdf5.dvc"
    )


@pytest.mark.parametrize("block", [SPICE, GEOMETRIES])
def test_a_truncated_file(tmp_path, block):
    path = spice_file(tmp_path / "a.hdf5")
    path.write_bytes(path.read_bytes()[:-2000])
    sentence = refusal(tmp_path, block)
    assert f"SPICE file {path} is truncated or not HDF5" in sentence
    assert sentence.endswith("delete it and fetch it again")


@pytest.mark.parametrize("name", ["smiles", "conformations", "dft_total_gradient"])
def test_a_missing_dataset(tmp_path, name):
    path = edited(tmp_path, lambda file: file["molecule 0"].__delitem__(name))
    assert (
        refusal(tmp_path)
        == f"SPICE file {path}: group 'molecule 0' has no dataset '{name}': fetch the file again"
    )


def test_missing_labels(tmp_path):
    path = spice_file(tmp_path / "a.hdf5", labels=False)
    assert refusal(tmp_path) == (
        f"SPICE file {path}: group 'molecule 0' has no dataset 'dft_total_energy': "
        "set data.spice.source to geometries to label it with GFN2-xTB"
    )


def test_a_missing_unit(tmp_path):
    edited(tmp_path, lambda file: file["molecule 1/conformations"].attrs.__delitem__("units"))
    sentence = refusal(tmp_path)
    assert "group 'molecule 1' dataset 'conformations' has no attribute 'units'" in sentence
    assert sentence.endswith("fetch the file again")


def test_an_unknown_unit(tmp_path):
    edited(tmp_path, lambda file: file["molecule 1/dft_total_energy"].attrs.modify("units", "kcal/mol"))
    assert "dataset 'dft_total_energy' is in units 'kcal/mol', not one of hartree" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("true", "declared"), [("nanometers", "angstrom"), ("bohr", "angstrom"), ("angstrom", "bohr")]
)
def test_a_wrong_unit(tmp_path, true, declared):
    def lie(file):
        for group in file.values():
            group["conformations"].attrs["units"] = declared

    path = edited(tmp_path, lie, units=true)
    sentence = refusal(tmp_path)
    assert sentence.startswith(f"SPICE file {path} has a median C-H distance of ")
    assert "correct 'units' or convert the positions" in sentence


def test_coordinates_that_are_not_numbers(tmp_path):
    def spoil(file):
        file["molecule 0/conformations"][2, 3, 1] = np.nan

    path = edited(tmp_path, spoil)
    assert refusal(tmp_path) == (
        f"SPICE file {path}: group 'molecule 0', conformation 2: coordinates are not finite (atom 3): repair the file "
        "or its settings, or set data.spice.bad_records to skip to leave such records out"
    )


def test_labels_that_are_not_numbers(tmp_path):
    def spoil(file):
        file["molecule 0/dft_total_gradient"][1, 0, 0] = np.inf

    edited(tmp_path, spoil)
    assert "group 'molecule 0', conformation 1: energy or forces are not finite" in refusal(tmp_path)


def test_atoms_on_top_of_each_other(tmp_path):
    def spoil(file):
        file["molecule 1/conformations"][3, 1] = file["molecule 1/conformations"][3, 2] + 0.01

    edited(tmp_path, spoil)
    sentence = refusal(tmp_path, GEOMETRIES)
    assert (
        "group 'molecule 1', conformation 3: atoms on top of each other (atoms 1 and 2, 0.009 Angstrom"
        in sentence
    )


def test_an_element_without_reference_energy(tmp_path):
    path = spice_file(tmp_path / "a.hdf5", smiles=(METHANE, SILANE))
    assert refusal(tmp_path, SPICE | {"elements": ["H", "C", "Si"]}) == (
        f"SPICE file {path}: group 'molecule 1' has element Si, for which there is no reference energy: "
        "take Si out of data.spice.elements"
    )


def test_a_molecule_larger_than_the_limit(tmp_path):
    spice_file(tmp_path / "a.hdf5", smiles=(WATER, METHANE))
    sentence = refusal(tmp_path, SPICE | {"max_atoms": 4})
    assert "group 'molecule 1', conformation 0: larger than max_atoms (5 atoms, the limit is 4)" in sentence
    assert "set data.spice.bad_records to skip" in sentence


def test_a_smiles_that_does_not_map_its_atoms(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        write_group(file, "x", "C([H])([H])([H])[H]", conformations(METHANE))
    assert "group 'x' has a smiles whose atoms are not mapped 1 to 5: fetch the file again" in refusal(
        tmp_path
    )


def test_a_smiles_of_another_molecule(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        write_group(file, "x", WATER, conformations(METHANE))
    assert "group 'x' has conformations of shape (4, 5, 3) but 3 atomic numbers" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda frame: frame.replace("5", "five", 1), "frame 1 is malformed (invalid literal"),
        (lambda frame: frame.replace("H ", "Qq ", 1), "frame 1 is malformed (unknown element Qq)"),
        (
            lambda frame: "\n".join(frame.splitlines()[:-2]) + "\n",
            "malformed (5 atoms announced, 3 lines found)",
        ),
        (lambda frame: frame.replace(" 1.0 2.0 3.0", "", 1), "fewer than the 7 columns of Properties"),
        (
            lambda frame: frame.replace(" 1.0 2.0 3.0", " 1.0 2.0 3,0", 1),
            "frame 1 is malformed (could not convert",
        ),
        (lambda frame: frame.replace("energy=", "other="), "no energy or no forces"),
        (lambda frame: frame.replace(":forces:R:3", ":other:R:3"), "no energy or no forces"),
        (lambda frame: frame.replace(":pos:R:3", ":place:R:3"), "Properties lacks pos"),
    ],
)
def test_a_malformed_xyz_frame(tmp_path, spoil, complaint):
    (tmp_path / "a.xyz").write_text(xyz_frame() + spoil(xyz_frame()))
    (tmp_path / "b.xyz").write_text(xyz_frame())
    sentence = refusal(tmp_path, MACE_OFF)
    assert sentence.startswith(f"XYZ file {tmp_path}/a.xyz: frame 1 is malformed")
    assert complaint in sentence
    assert sentence.endswith("repair it or fetch the file again")


def test_a_blank_line_between_xyz_frames(tmp_path):
    (tmp_path / "a.xyz").write_text(xyz_frame() + "\n" + xyz_frame())
    (tmp_path / "b.xyz").write_text(xyz_frame())
    assert refusal(tmp_path, MACE_OFF) == (
        f"XYZ file {tmp_path}/a.xyz: frame 1 is a blank line, with more below it: repair it or fetch the file again"
    )


def test_a_missing_xyz_file(tmp_path):
    assert "a.xyz does not exist: fetch it" in refusal(tmp_path, MACE_OFF)


def test_a_truncated_archive(tmp_path):
    rng = np.random.default_rng(0)
    frames = "".join(xyz_frame(seed=int(seed)) for seed in rng.integers(0, 10**6, 300))
    (tmp_path / "a.xyz").write_text(frames)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a.xyz", "a.xyz")
    (tmp_path / "a.tar.gz").write_bytes((tmp_path / "a.tar.gz").read_bytes()[:8000])
    block = MACE_OFF | {"files": [{"name": "a.tar.gz", "split": "train"}]}
    assert "a.tar.gz is truncated or damaged" in refusal(tmp_path, block)


def test_an_archive_without_xyz(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz"):
        pass
    block = MACE_OFF | {"files": [{"name": "a.tar.gz", "split": "train"}]}
    assert "a.tar.gz has no .xyz file in it: fetch it again" in refusal(tmp_path, block)


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        (
            {"source": "spicy"},
            "data.spice: source must be one of generate, geometries, spice, mace_off, not 'spicy'",
        ),
        ({"source": "spice", "test_fraction": 0.1}, "source spice needs files"),
        (
            SPICE | {"test_fraction": 1.5},
            "data.spice: test_fraction: 1.5 is greater than or equal to the maximum of 1",
        ),
        (SPICE | {"colour": 1}, "data.spice: colour is not a known key"),
        (SPICE | {"files": [{"name": "a", "size": 1}]}, "data.spice: files.0.size is not a known key"),
        (SPICE | {"elements": ["Xx"]}, "data.spice.elements.0: 'Xx' is not an element"),
        (
            SPICE | {"bad_records": "maybe"},
            "data.spice: bad_records must be one of refuse, skip, not 'maybe'",
        ),
        ({"source": "mace_off", "files": [{"name": "a"}]}, "needs a split, train or test"),
        ({"source": "generate", "molecules": 3}, "source generate needs min_atoms"),
        ("mini", "data.spice: the whole must be of type object"),
    ],
)
def test_settings_that_make_no_sense(block, complaint):
    with pytest.raises(DataError, match=complaint.replace("(", r"\(")):
        read(SpiceSettings, block, "data.spice")


def test_more_molecules_than_there_are(tmp_path):
    block = {
        "source": "generate", "molecules": 10**6, "min_atoms": 8, "max_atoms": 9, "conformers": 1,
        "samples_per_conformer": 1, "temperature": 500.0, "test_fraction": 0.1,
    }  # fmt: skip
    assert "ask for fewer or allow more sizes" in refusal(tmp_path, block)
