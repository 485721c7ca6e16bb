"""Bad input: one sentence that names file, chain and reason; files are listed and skipped, nothing is half-written."""

import gzip
import io
import tarfile

import pytest

from data.errors import DataError
from data.pdb import structures
from data.pdb.prepare import main, prepare
from data.pdb.settings import INDEX, PdbSettings
from data.pdb.store import ChainStore
from data.pdb.structures import read_chains
from data.validation import read
from tests.data.pdb.raw_files import chain, cif, pdb, residue, write

GOOD = {"a.pdb": pdb(chain(6)), "b.cif": cif(chain(6, sequence="CDEFGH"))}
STRUCTURES = {"source": "structures", "min_residues": 3, "validation_fraction": 0.3}
GENERATE = {"source": "generate", "chains": 4, "min_residues": 12, "max_residues": 16}
RCSB = {"source": "rcsb", "files": [{"name": "resolu.idx"}]}


def report(tmp_path, **files):
    """The report of a preparation of two good files and others."""
    raw = tmp_path / "raw"
    for name, content in {**GOOD, **files}.items():
        path = raw / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    block = STRUCTURES | {"files": [{"name": name} for name in [*GOOD, *files]]}
    return prepare(read(PdbSettings, block, "data.pdb"), tmp_path / "s.h5", raw, 1)


def fault(tmp_path, name, content):
    """The sentence in the report about a file, the only one that cannot be used."""
    found = report(tmp_path, **{name: content})
    (sentence,) = found["faults"]
    assert "\n" not in sentence
    assert found["counts"]["chains"] == 2
    assert found["read"]["files"] == 3
    return sentence


def refusal(block, tmp_path, raw="raw"):
    """The sentence with which a preparation refuses; it leaves no store."""
    with pytest.raises(DataError) as caught:
        prepare(read(PdbSettings, block, "data.pdb"), tmp_path / "s.h5", tmp_path / raw, 1)
    assert not (tmp_path / "s.h5").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


TRUNCATED = {
    "t.cif": cif(chain(6))[:-40],
    "lines.cif": cif(chain(6))[:-2],
    "t.cif.gz": gzip.compress(cif(chain(6)).encode())[:-9],
    "t.pdb": pdb(chain(6))[:-40],
    "lines.pdb": pdb(chain(6))[:-4],
    "t.ent.gz": b"\x1f\x8b" + b"\0" * 90,
}


@pytest.mark.parametrize("name", TRUNCATED)
def test_a_truncated_file(tmp_path, name):
    sentence = fault(tmp_path, name, TRUNCATED[name])
    assert sentence.startswith(f"structure {name} is truncated or damaged (")
    assert sentence.endswith("): fetch it again")


@pytest.mark.parametrize("form", [pdb, cif])
def test_a_file_cut_anywhere_gives_no_chain_but_a_fault(form):
    whole = form(chain(4, "A") + chain(4, "B")).encode()
    assert len(read_chains(whole.rstrip(), "t", "t").chains) == 2
    for cut in range(len(whole.rstrip())):
        reading = read_chains(whole[:cut], "t", "t")
        assert reading.chains == [], cut
        assert len(reading.faults) == 1, cut


def test_mmcif_of_more_categories_has_all_its_atoms_or_a_fault():
    """The archive ends every category with #, and has more of them after the atoms."""
    text = cif(chain(4)) + "loop_\n_pdbx_poly_seq_scheme.asym_id\n_pdbx_poly_seq_scheme.seq_id\nA 1\nA 2\n#\n"
    text = "data_T\n#\n" + text.removeprefix("data_TEST\n")
    for cut in [k for k, letter in enumerate(text, 1) if letter == "\n"]:
        reading = read_chains(text[:cut].encode(), "t", "t")
        assert reading.faults or len(reading.chains[0]) == 4, cut
    assert not reading.faults


@pytest.mark.parametrize(
    "content", ["", "<html>\n<title>502 Bad Gateway</title>\n", "\0\1\2\xff", "HEADER\nEND\n"]
)
def test_a_file_that_is_no_structure(tmp_path, content):
    assert fault(tmp_path, "t.cif", content) == "structure t.cif is neither mmCIF nor PDB: fetch it again"


def test_mmcif_without_atoms(tmp_path):
    assert fault(tmp_path, "t.cif", "data_T\n_cell.length_a 1\n#\n") == "structure t.cif has no atoms"


def test_a_structure_without_protein(tmp_path):
    atoms = residue(0, "DA", atoms=("P",)) + residue(1, "HOH", atoms=("O",), record="HETATM")
    assert fault(tmp_path, "t.pdb", pdb(atoms)) == "structure t.pdb has no protein chain"


def test_a_chain_of_unknown_residues(tmp_path):
    text = cif([atom for k in range(5) for atom in residue(k, "UNK", "B")])
    assert fault(tmp_path, "t.cif", text) == "structure t.cif, chain B: its residues are unknown (UNK)"


def test_a_chain_without_c_alphas(tmp_path):
    text = cif([atom for k in range(5) for atom in residue(k, chain="B", atoms=("N",))])
    assert fault(tmp_path, "t.cif", text) == "structure t.cif, chain B: no residue has a C-alpha"


@pytest.mark.parametrize(
    ("form", "number"), [(pdb, "nan"), (pdb, "inf"), (cif, "nan"), (cif, "inf"), (cif, "-1e39")]
)
def test_coordinates_that_are_no_numbers_or_absurd(tmp_path, form, number):
    text = form(chain(5) + residue(5, number=52, insertion="B", at=(float(number), 0, 0)))
    suffix = {pdb: "pdb", cif: "cif"}[form]
    assert fault(tmp_path, f"t.{suffix}", text) == (
        f"structure t.{suffix}, chain A: the C-alpha of residue 52B has a coordinate that is not a number of at "
        "most 10000 Angstrom"
    )


def test_one_bad_chain_does_not_cost_the_others(tmp_path):
    bad = residue(7, chain="B", at=(float("nan"), 0, 0))
    found = report(tmp_path, **{"t.cif": cif(chain(5, "A", sequence="KLMNP") + bad)})
    assert "t_A" in ChainStore(tmp_path / "s.h5").names
    assert len(found["faults"]) == 1


def test_atoms_that_are_more_than_their_columns_can_number(tmp_path):
    """Writers that go on counting shift what follows by a column; gemmi would read other coordinates, or no atom."""
    rows = pdb(chain(2)).splitlines()
    rows[2:4] = [row.replace("ATOM  ", "ATOM  1", 1) for row in rows[2:4]]
    sentence = fault(tmp_path, "t.pdb", "\n".join([*rows, ""]))
    assert sentence.startswith(
        "structure t.pdb, line 3: the coordinates are not in the columns of the PDB format"
    )


def test_a_huge_assembly_is_read_as_any_other():
    """More atoms, and chains, than the PDB format has numbers and letters for."""
    count, n = 63, 1588
    rows = "".join(
        f"ATOM {c * n + k} C CA . ALA Z 1 {k} ? {3.8 * k:.3f} {c}.0 0.0 1.0 10.0 {k} c{c} 1\n"
        for c in range(count)
        for k in range(1, n + 1)
    )
    reading = read_chains((cif([])[:-3] + "\n" + rows + "#\n").encode(), "t", "t")
    assert reading.faults == []
    assert [found.chain for found in reading.chains] == [f"c{c}" for c in range(count)]
    assert sum(map(len, reading.chains)) == count * n > 99_999
    assert reading.chains[-1].coordinates[-1].tolist() == pytest.approx([0.38 * n, 6.2, 0])


def test_a_file_that_unpacks_to_more_than_any_entry_has(tmp_path, monkeypatch):
    monkeypatch.setattr(structures, "LARGEST", 1 << 20)
    bomb = gzip.compress(b"\n" * (2 << 20))
    assert (
        fault(tmp_path, "t.cif.gz", bomb)
        == "structure t.cif.gz has more than 1 MB of text, which no entry has"
    )


def test_a_name_that_comes_twice(tmp_path):
    found = report(tmp_path, **{"a.cif": cif(chain(9))})
    assert found["faults"] == ["structure a, chain A comes twice; the first is kept"]


def test_a_missing_file(tmp_path):
    assert refusal(STRUCTURES | {"files": [{"name": "a.pdb"}]}, tmp_path) == (
        f"structures {tmp_path}/raw/a.pdb do not exist: fetch them with python -m data.fetch {tmp_path}/raw/a.pdb.dvc"
    )


@pytest.mark.parametrize("keep", [100, 0.7])
def test_a_truncated_archive(tmp_path, keep):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for k in range(30):
            text = pdb(chain(20 + k)).encode()
            member = tarfile.TarInfo(f"s{k}.pdb")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    whole = buffer.getvalue()
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.tar.gz").write_bytes(whole[: keep if keep >= 1 else int(keep * len(whole))])
    sentence = refusal(STRUCTURES | {"files": [{"name": "a.tar.gz"}]}, tmp_path)
    assert sentence.startswith(f"archive {tmp_path}/raw/a.tar.gz is truncated or not a tar archive (")
    assert sentence.endswith("delete it and fetch it again")


def test_nothing_left_after_the_filters(tmp_path):
    write(tmp_path / "raw/a.pdb", pdb(chain(9)))
    write(tmp_path / "raw/b.pdb", "nothing")
    block = STRUCTURES | {"files": [{"name": "a.pdb"}, {"name": "b.pdb"}], "min_residues": 10}
    assert refusal(block, tmp_path) == (
        f"store {tmp_path}/s.h5: no chain is left of 2 files (1 faults, too short: 1; the first fault: structure b.pdb "
        "is neither mmCIF nor PDB: fetch it again): widen the filters of data.pdb"
    )


def test_a_split_that_is_left_empty(tmp_path):
    write(tmp_path / "raw/a.pdb", pdb(chain(9)))
    sentence = refusal(STRUCTURES | {"files": [{"name": "a.pdb"}]}, tmp_path)
    assert "no chain is left for the train split" in sentence


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a_A b_A\n", "line 1: not a representative and a member with a tab between them"),
        ("a_A\tb_A\na_A\t\n", "line 2: not a representative and a member"),
        ("", "is empty"),
    ],
)
def test_a_cluster_file_that_is_none(tmp_path, text, problem):
    write(tmp_path / "raw/a.pdb", pdb(chain(9)))
    write(tmp_path / "raw/c.tsv", text)
    sentence = refusal(STRUCTURES | {"files": [{"name": "a.pdb"}], "clusters": "c.tsv"}, tmp_path)
    assert sentence.startswith(f"cluster file {tmp_path}/raw/c.tsv")
    assert problem in sentence


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (
            {"source": "download"},
            "data.pdb: source must be one of generate, structures, rcsb, not 'download'",
        ),
        (GENERATE | {"chain": 3}, "data.pdb: chain is not a known key: did you mean chains?"),
        (GENERATE | {"chains": 1}, "data.pdb: chains: 1 is less than the minimum of 2"),
        (GENERATE | {"max_residues": 3}, "needs max_residues, at least min_residues"),
        (GENERATE | {"min_residues": 3}, "must be at least 8"),
        (
            GENERATE | {"validation_fraction": 0.0},
            "validation_fraction: 0.0 is less than or equal to the minimum of 0",
        ),
        (STRUCTURES, "data.pdb: source structures needs files"),
        (RCSB, "data.pdb: source rcsb needs pdb_seqres.txt.gz among files"),
        (
            STRUCTURES | {"files": [{"name": "a"}], "methods": ["xray"]},
            "data.pdb: methods.0 must be one of diffraction, EM, NMR, other, not 'xray'",
        ),
        (
            RCSB | {"files": [{"name": name} for name in INDEX], "fraction": 0.0},
            "data.pdb: fraction: 0.0 is less than or equal to the minimum of 0",
        ),
        (
            STRUCTURES | {"files": [{"name": "a"}], "chains": 4},
            "data.pdb: chains belongs to source generate, not to structures: leave it out",
        ),
        *(
            (
                STRUCTURES | {"files": [{"name": "a"}], key: value},
                f"data.pdb: {key} belongs to source rcsb, not to",
            )
            for key, value in {"min_sequence": 4, "max_sequence": 9, "fraction": 0.5, "origin": "o"}.items()
        ),
        *(
            (
                GENERATE | {key: value},
                f"data.pdb: {key} belongs to source structures or rcsb, not to generate",
            )
            for key, value in {
                "files": [{"name": "a"}],
                "methods": ["EM"],
                "clusters": "c",
                "split_gap": 4.5,
            }.items()
        ),
    ],
)
def test_a_block_that_makes_no_sense(block, problem):
    with pytest.raises(DataError, match=r"data\.pdb") as caught:
        read(PdbSettings, block, "data.pdb")
    assert problem in str(caught.value)


def test_the_command_says_it_in_one_line(tmp_path, capsys):
    (tmp_path / "block.yaml").write_text("{source: structures, files: [{name: a.pdb}]}")
    arguments = [
        "--config",
        str(tmp_path / "block.yaml"),
        "--out",
        str(tmp_path / "s.h5"),
        "--raw",
        str(tmp_path),
    ]
    assert main(arguments) == 1
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .startswith(f"error: structures {tmp_path}/a.pdb do not exist")
    )


def test_a_store_of_another_format(tmp_path):
    (tmp_path / "s.h5").write_bytes(b"no store")
    with pytest.raises(DataError, match="cannot be read"):
        ChainStore(tmp_path / "s.h5")
    with pytest.raises(DataError, match=r"does not exist: prepare it with python -m data\.pdb\.prepare"):
        ChainStore(tmp_path / "t.h5")
