"""Structures to C-alpha chains: which atoms, in which units, of which residues."""

import gzip
import tarfile

import numpy as np
import pytest

from data.pdb.chains import segments
from data.pdb.structures import load_reading, read_chains, save_reading
from tests.data.pdb.raw_files import chain, cif, pdb, real_archive, residue

FORMATS = [pdb, cif]


def read(text, **options):
    return read_chains(text.encode() if isinstance(text, str) else text, "a", "a", **options)


def only(text):
    reading = read(text)
    assert reading.faults == []
    (found,) = reading.chains
    return found


@pytest.mark.parametrize("form", FORMATS)
def test_c_alphas_come_in_nanometres_with_the_authors_numbers(form):
    atoms = residue(0, "MET", number=-3, at=(1.0, 2.0, 3.0)) + residue(1, "TRP", number=7, at=(4.0, 5.0, 6.0))
    found = only(form(atoms))
    assert np.allclose(found.coordinates, [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    assert found.numbers.tolist() == [-3, 7]
    assert (found.name, found.entry, found.chain, found.sequence) == ("a_A", "a", "A", "MW")


@pytest.mark.parametrize("form", FORMATS)
def test_every_protein_chain_is_one_and_others_are_none(form):
    atoms = [
        *chain(3, "A"),
        *chain(4, "B"),
        *residue(0, "DA", "C", atoms=("P",)),
        *residue(9, "HOH", "A", atoms=("O",), record="HETATM"),
    ]
    assert [(c.chain, len(c)) for c in read(form(atoms)).chains] == [("A", 3), ("B", 4)]
    assert [(c.chain, len(c)) for c in read(form(atoms), wanted={"B": "A" * 9}).chains] == [("B", 4)]
    assert read(form(atoms), wanted={"B": "A" * 9}).chains[0].seqres == "A" * 9


@pytest.mark.parametrize("form", FORMATS)
def test_residues_that_are_not_standard_or_have_no_c_alpha_are_passed_over(form):
    atoms = [
        *residue(0),
        *residue(1, "MSE", record="HETATM"),
        *residue(2, "UNK"),
        *residue(3, atoms=("N",)),
        *residue(4, "GLY"),
    ]
    reading = read(form(atoms))
    assert reading.chains[0].numbers.tolist() == [1, 5]
    assert reading.residues_without_ca == 1


@pytest.mark.parametrize("form", FORMATS)
def test_of_alternate_locations_the_likeliest_is_taken_and_of_equals_the_first(form):
    def at(x, alt, occupancy, k):
        return residue(k, at=(x, 0.0, 0.0), atoms=("CA",), alt=alt, occupancy=occupancy)

    atoms = [*at(1, "A", 0.3, 0), *at(2, "B", 0.7, 0), *at(3, "A", 0.5, 1), *at(4, "B", 0.5, 1)]
    reading = read(form(atoms))
    assert np.allclose(reading.chains[0].coordinates[:, 0], [0.2, 0.3])
    assert reading.alternate_locations == 2


@pytest.mark.parametrize("form", FORMATS)
def test_two_kinds_of_residue_under_one_number_are_one_residue(form):
    atoms = [
        *residue(0),
        *residue(1, "SER", alt="A", occupancy=0.4, atoms=("CA",)),
        *residue(1, "THR", alt="B", occupancy=0.6, atoms=("CA",)),
        *residue(2),
    ]
    assert only(form(atoms)).sequence == "ATA"


@pytest.mark.parametrize("form", FORMATS)
def test_insertion_codes_leave_residues_in_the_order_of_the_file(form):
    atoms = [atom for k, code in enumerate(["", "A", "B"]) for atom in residue(k, number=52, insertion=code)]
    reading = read(form(atoms))
    assert reading.chains[0].numbers.tolist() == [52] * 3
    assert np.allclose(reading.chains[0].coordinates[:, 0], [0, 0.38, 0.76])
    assert reading.insertion_codes == 2


@pytest.mark.parametrize("form", FORMATS)
def test_the_first_model_counts(form):
    atoms = [atom | {"model": 1} for atom in chain(3)] + [atom | {"model": 2} for atom in chain(3, start=9)]
    assert only(form(atoms)).coordinates[0, 0] == 0


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("X-RAY DIFFRACTION", "diffraction"),
        ("ELECTRON MICROSCOPY", "EM"),
        ("SOLUTION NMR", "NMR"),
        ("EPR", "other"),
    ],
)
def test_the_method_and_the_resolution_are_read(method, kind):
    found = only(cif(chain(2), method, 2.25))
    assert (found.method, found.resolution) == (kind, 2.25)
    assert only(pdb(chain(2), resolution=3.1)).resolution == 3.1
    assert np.isnan(only(pdb(chain(2))).resolution)


@pytest.mark.parametrize("form", FORMATS)
def test_a_gzipped_file_reads_as_a_plain_one(form):
    text = form(chain(4)).encode()
    assert only(gzip.compress(text)).sequence == only(text).sequence == "AAAA"


def test_a_chain_is_split_where_no_bond_can_be():
    found = only(pdb(chain(3) + chain(2, start=10) + chain(4, start=20)))
    parts = list(segments(found, 0.45))
    assert [part.name for part in parts] == ["a_A.1", "a_A.2", "a_A.3"]
    assert [part.numbers.tolist() for part in parts] == [[1, 2, 3], [11, 12], [21, 22, 23, 24]]
    assert np.allclose(np.concatenate([part.coordinates for part in parts]), found.coordinates)
    assert list(segments(found, None)) == [found]
    assert found.breaks().tolist() == [2, 4]


def test_what_was_read_comes_back_from_disk(tmp_path):
    reading = read(pdb(chain(3) + residue(3, atoms=("N",))))
    reading.add(read(b"nothing"))
    save_reading(tmp_path / "chunk.npz", reading)
    again = load_reading(tmp_path / "chunk.npz")
    assert (again.files, again.faults, again.residues_without_ca) == (2, reading.faults, 1)
    assert np.array_equal(again.chains[0].coordinates, reading.chains[0].coordinates)
    assert again.chains[0].sequence == "AAA"


def test_real_structures_have_the_c_alphas_of_their_columns():
    """Against the fixed columns of the format, read without a library."""
    checked = 0
    with tarfile.open(real_archive(), "r:gz") as archive:
        for member in archive:
            if not member.isfile():
                continue
            content = archive.extractfile(member).read()
            (found,) = read(content).chains
            rows = [
                line
                for line in content.decode().splitlines()
                if line.startswith("ATOM") and line[12:16] == " CA " and line[16] in " A"
            ]
            points = np.array([[float(line[k : k + 8]) for k in (30, 38, 46)] for line in rows])
            assert np.allclose(found.coordinates, points / 10, atol=1e-9)
            assert found.numbers.tolist() == [int(line[22:26]) for line in rows]
            checked += 1
            if checked == 25:
                break
    assert checked == 25
