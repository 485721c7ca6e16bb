"""The list of entries by the archive's index, and their fetching: parallel, resumable, checksummed."""

import hashlib
import re
import sys
import threading

import pytest
import yaml
from werkzeug import Request, Response

from data.errors import DataError
from data.pdb import entries as module
from data.pdb import prepare as preparation
from data.pdb.entries import Ledger, entry_file, fetch_entries, listed, main
from data.pdb.index import Listed, read_list, select, write_list
from data.pdb.prepare import main as prepare
from data.pdb.settings import INDEX, PdbSettings
from data.pdb.store import ChainStore
from data.validation import read
from tests.data.pdb.raw_files import ARCHIVE, LONG, chain, cif, residue, write, write_entries, write_index

WANTED = ["1aaa", "1bbb", "5iii"]
PAPER = {
    "source": "rcsb",
    "methods": ["diffraction", "EM"],
    "max_resolution": 5.0,
    "validation_fraction": 0.4,
}


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr(module, "WAIT", 0.01)


@pytest.fixture
def raw(tmp_path):
    write_index(tmp_path / "raw")
    return tmp_path / "raw"


def config(raw, index=True, **changes):
    files = write_index(raw) if index else [{"name": name} for name in INDEX]
    return read(PdbSettings, PAPER | {"files": files, "min_residues": 10} | changes, "data.pdb")


class Archive:
    """An origin that counts what is asked of it, and may misbehave."""

    def __init__(self, server, folder):
        self.folder, self.asked, self.answers, self.lock = folder, [], {}, threading.Lock()
        server.expect_request(re.compile(r"/download/.*")).respond_with_handler(self.answer)
        self.url = server.url_for("/download")

    def answer(self, request: Request) -> Response:
        name = request.path.rsplit("/", 1)[1]
        with self.lock:
            self.asked.append(name)
            queued = self.answers.get(name)
            if queued:
                return queued.pop(0)
        path = self.folder / name
        return Response(path.read_bytes()) if path.exists() else Response(status=404)


@pytest.fixture
def archive(httpserver, tmp_path):
    return Archive(httpserver, write_entries(tmp_path / "archive"))


def test_the_filters_are_those_of_the_paper_in_their_order(raw):
    chosen, left_out = select(config(raw), raw)
    assert [(row.entry, row.chain) for row in chosen] == [
        ("1aaa", "A"),
        ("1aaa", "B"),
        ("1bbb", "A"),
        ("5iii", "A"),
    ]
    assert left_out == {
        "method": 1,  # 2ccc
        "sequence too long": 1,  # 3ggg L
        "sequence too short": 1,  # 3ggg A
        "no protein": 1,  # 1bbb N
        "resolution unknown or too low": 2,  # 2ddd, 2eee
        "residues that are not standard": 1,  # 3fff
        "in no single file": 1,  # 4hhh
    }
    assert chosen[0].resolution == 2.0
    assert chosen[2].method == "EM"


def test_the_lengths_admitted_are_51_to_255(raw):
    chosen, _ = select(config(raw, min_sequence=99, max_sequence=100), raw)
    assert sorted({len(row.sequence) for row in chosen}) == [99, 100]
    default = read(PdbSettings, PAPER | {"files": write_index(raw)}, "data.pdb")
    assert (default.min_sequence, default.max_sequence) == (51, 255)


def test_a_subsample_is_drawn_before_the_filters_by_the_seed(raw):
    halves = [select(config(raw, fraction=0.5, seed=seed), raw) for seed in range(6)]
    sizes = [left_out["not in the subsample"] for _, left_out in halves]
    assert len(set(sizes)) > 1
    assert all(0 < size < 12 for size in sizes)
    assert select(config(raw, fraction=0.5, seed=0), raw)[0] == halves[0][0]


def test_listing_fetching_and_preparing_make_a_store(raw, archive, tmp_path, capsys):
    block = PAPER | {"files": write_index(raw), "min_residues": 10, "origin": archive.url}
    (tmp_path / "paper.yaml").write_text(yaml.safe_dump(block))
    arguments = ["--config", str(tmp_path / "paper.yaml"), "--raw", str(raw)]
    assert main([*arguments, "--out", str(tmp_path / "paper.entries.tsv")]) == 0
    assert "3 entries (0 present, 2 fetched, 1 absent)" in capsys.readouterr().out
    assert (tmp_path / "paper.entries.tsv.absent").read_text() == "5iii\n"
    assert sorted(set(archive.asked)) == ["1aaa.cif.gz", "1bbb.cif.gz", "5iii.cif.gz"]
    assert prepare([*arguments, "--out", str(tmp_path / "paper.h5"), "--workers", "1"]) == 0
    assert sorted(ChainStore(tmp_path / "paper.h5").names) == ["1aaa_A", "1aaa_B", "1bbb_A"]
    report = yaml.safe_load((tmp_path / "paper.h5.report.json").read_text())
    assert report["faults"] == ["structure 5iii.cif.gz cannot be read: No such file or directory"]
    rows = read_list(tmp_path / "paper.entries.tsv")
    assert rows[0].sequence == ARCHIVE["1aaa"][0]["A"][1]


def test_an_entry_fetched_between_a_killed_preparation_and_the_next_is_read(
    raw, archive, tmp_path, monkeypatch
):
    block = config(raw, origin=archive.url)
    listed(block, tmp_path / "s.entries.tsv", raw)
    fetch_entries(["1aaa"], raw / "entries", archive.url)
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "write_store", lambda *args, **options: sys.exit("killed"))
        with pytest.raises(SystemExit):
            preparation.prepare(block, tmp_path / "s.h5", raw, 1)
    assert list((tmp_path / "s.h5.work").glob("chunk-*.npz"))
    fetch_entries(["1bbb"], raw / "entries", archive.url)
    report = preparation.prepare(block, tmp_path / "s.h5", raw, 1)
    assert report["faults"] == ["structure 5iii.cif.gz cannot be read: No such file or directory"]
    assert report["counts"]["chains"] == 3


def test_a_listed_chain_that_is_no_protein_is_a_fault(raw, archive, tmp_path):
    block = config(raw, origin=archive.url)
    listed(block, tmp_path / "s.entries.tsv", raw)
    sugar = residue(0, "NAG", "B", atoms=("C1",), record="HETATM") + residue(1, "DA", "A", atoms=("P",))
    write(raw / "entries/aa/1aaa.cif.gz", cif(sugar))
    fetch_entries(["1bbb"], raw / "entries", archive.url)
    write(raw / "entries/ii/5iii.cif.gz", cif(chain(60)))
    report = preparation.prepare(block, tmp_path / "s.h5", raw, 1)
    assert sorted(report["faults"]) == [
        f"structure 1aaa.cif.gz, chain {chain_id}: none of its residues is a standard one, though the list of "
        "entries names it"
        for chain_id in "AB"
    ]


def test_two_entries_of_one_molecule_are_in_one_split_though_other_parts_are_resolved(raw, tmp_path):
    rows = [Listed(f"1ab{k}", "A", "EM", 2.0, LONG if k < 4 else LONG[k:]) for k in range(8)]
    write_list(tmp_path / "s.entries.tsv", rows)
    for k, row in enumerate(rows):
        atoms = chain(60 + k, start=k, sequence=LONG[k : 60 + 2 * k])
        write(entry_file(raw / "entries", row.entry), cif(atoms))
    report = preparation.prepare(config(raw, validation_fraction=0.5), tmp_path / "s.h5", raw, 1)
    store = ChainStore(tmp_path / "s.h5")
    group = dict(zip(store.names, store.group.tolist(), strict=True))
    assert len({group[f"1ab{k}_A"] for k in range(4)}) == 1
    assert report["counts"]["groups"] == 5
    assert "equal SEQRES sequences" in report["grouping"]


ESCAPES = ["../../evil", "/tmp/evil", "1ab/", "..", "", "1abcd", "pdb_1abc", "1\u212abc"]


@pytest.mark.parametrize("entry", ESCAPES)
def test_an_entry_of_the_index_that_is_no_name_of_one_is_refused(raw, entry):
    write(
        raw / "pdb_seqres.txt.gz",
        f">1aaa_A mol:protein length:60  X\n{LONG[:60]}\n>{entry}_A mol:protein\n{LONG}\n",
    )
    with pytest.raises(DataError) as caught:
        select(config(raw, index=False), raw)
    assert str(caught.value).startswith(
        f"index {raw}/pdb_seqres.txt.gz, line 3: '>{entry}_A mol:protein' lacks an entry"
    )


@pytest.mark.parametrize("entry", ESCAPES)
def test_an_entry_of_the_list_that_is_no_name_of_one_is_refused(tmp_path, entry):
    path = tmp_path / "s.entries.tsv"
    write_list(path, [Listed("1abc", "A", "EM", 2.0, LONG), Listed(entry, "A", "EM", 2.0, LONG)])
    with pytest.raises(DataError) as caught:
        read_list(path)
    assert str(caught.value) == f"list of entries {path}, line 3: {entry!r} is not an entry of the PDB"


def test_an_entry_has_four_letters_or_the_twelve_of_the_new_kind(raw, tmp_path):
    headers = [">1AbC_AA mol:protein length:100", ">pdb_00001Abc_A mol:protein length:100"]
    write(raw / "pdb_seqres.txt.gz", "".join(f"{header}\n{LONG}\n" for header in headers))
    block = config(raw, index=False, methods=None, max_resolution=None)
    chosen, _ = select(block, raw)
    assert [(row.entry, row.chain) for row in chosen] == [("1abc", "AA"), ("pdb_00001abc", "A")]
    write_list(tmp_path / "s.entries.tsv", chosen)
    assert [row.entry for row in read_list(tmp_path / "s.entries.tsv")] == ["1abc", "pdb_00001abc"]
    assert [entry_file(tmp_path, row.entry).parent.name for row in chosen] == ["ab", "ab"]


def test_an_answer_without_end_is_given_up_early(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_SENT", 1 << 20)
    monkeypatch.setattr(module, "TRIES", 1)
    sent = []
    parts = (sent.append(k) or bytes(1 << 20) for k in range(200))
    archive.answers["1aaa.cif.gz"] = [Response(parts)]
    with pytest.raises(DataError) as caught:
        fetch_entries(["1aaa"], tmp_path / "entries", archive.url)
    assert "the first is 1aaa (more than 1 MB came, too much for one entry): run it again" in str(
        caught.value
    )
    assert len(sent) < 100
    assert not (tmp_path / "entries/aa").exists()


def test_an_entry_that_unpacks_to_more_than_any_has_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 1 << 20)
    write(tmp_path / "archive/1aaa.cif.gz", "data_1AAA\n" + "\n" * (4 << 20))
    with pytest.raises(DataError, match=r"1aaa \(more than 1 MB of text, too much for one entry\)"):
        fetch_entries(["1aaa"], tmp_path / "entries", str(tmp_path / "archive"))


def test_what_is_there_is_not_fetched_again_and_the_ledger_has_its_checksum(archive, tmp_path):
    folder = tmp_path / "entries"
    assert fetch_entries(WANTED, folder, archive.url)["fetched"] == ["1aaa", "1bbb"]
    asked = len(archive.asked)
    again = fetch_entries([*WANTED, "2ccc"], folder, archive.url)
    assert (again["present"], again["fetched"], again["absent"]) == (["1aaa", "1bbb"], ["2ccc"], ["5iii"])
    assert len(archive.asked) == asked + 2
    content = (folder / "aa/1aaa.cif.gz").read_bytes()
    assert f"{hashlib.md5(content).hexdigest()}  aa/1aaa.cif.gz" in (folder / "md5sums").read_text()


def test_a_file_that_a_killed_fetch_left_without_a_line_in_the_ledger_is_checked_and_kept(archive, tmp_path):
    folder = tmp_path / "entries"
    fetch_entries(WANTED, folder, archive.url)
    lines = (folder / "md5sums").read_text()
    (folder / "md5sums").write_text(lines.splitlines()[0] + "\n" + "0123")  # the second line was cut
    asked = len(archive.asked)
    assert len(fetch_entries(WANTED[:2], folder, archive.url)["fetched"]) == 1
    assert len(archive.asked) == asked
    assert len(Ledger(folder / "md5sums").known) == 2


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-30], lambda content: b"<html>busy</html>", None]
)
def test_an_answer_that_is_damaged_is_asked_for_again(archive, tmp_path, damage):
    whole = (archive.folder / "1aaa.cif.gz").read_bytes()
    archive.answers["1aaa.cif.gz"] = [Response(status=503) if damage is None else Response(damage(whole))]
    assert fetch_entries(["1aaa"], tmp_path / "entries", archive.url)["fetched"] == ["1aaa"]
    assert (tmp_path / "entries/aa/1aaa.cif.gz").read_bytes() == whole
    assert archive.asked.count("1aaa.cif.gz") == 2


def test_what_could_not_be_had_is_said_in_the_end_and_the_rest_is_kept(archive, tmp_path):
    archive.answers["1aaa.cif.gz"] = [Response(status=503) for _ in range(3)]
    with pytest.raises(DataError) as caught:
        fetch_entries(WANTED, tmp_path / "entries", archive.url)
    assert str(caught.value) == (
        f"1 of 3 entries could not be fetched from {archive.url}, the first is 1aaa (503 SERVICE UNAVAILABLE): run it "
        "again, what came is kept"
    )
    assert fetch_entries(WANTED[:2], tmp_path / "entries", archive.url) == {
        "present": ["1bbb"],
        "fetched": ["1aaa"],
        "absent": [],
    }


def test_other_bytes_than_the_ledger_says_are_refused(archive, tmp_path):
    folder = tmp_path / "entries"
    write(folder / "md5sums", f"{'0' * 32}  aa/1aaa.cif.gz\n")
    with pytest.raises(DataError, match=f"its checksum is .*, the ledger has {'0' * 32}"):
        fetch_entries(["1aaa"], folder, archive.url)
    assert not (folder / "aa/1aaa.cif.gz").exists()


def test_a_dead_origin_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"1 of 1 entries could not be fetched from http://127\.0\.0\.1:9"):
        fetch_entries(["1aaa"], tmp_path / "entries", "http://127.0.0.1:9")


def test_a_folder_serves_as_an_origin(tmp_path):
    source = write_entries(tmp_path / "archive")
    outcome = fetch_entries(WANTED, tmp_path / "entries", str(source))
    assert (outcome["fetched"], outcome["absent"]) == (["1aaa", "1bbb"], ["5iii"])


def test_an_empty_list_and_a_broken_index_are_one_sentence(raw, tmp_path, capsys):
    block = PAPER | {"files": write_index(raw), "max_resolution": 0.5}
    (tmp_path / "paper.yaml").write_text(yaml.safe_dump(block))
    arguments = [
        "--config",
        str(tmp_path / "paper.yaml"),
        "--raw",
        str(raw),
        "--out",
        str(tmp_path / "p.entries.tsv"),
    ]
    assert main(arguments) == 1
    assert "no chain of" in (said := capsys.readouterr().err)
    assert "passes the filters of data.pdb (method: 1, " in said
    (raw / "pdb_seqres.txt.gz").write_bytes((raw / "pdb_seqres.txt.gz").read_bytes()[:-9])
    assert main(arguments) == 1
    assert "pdb_seqres.txt.gz is truncated or damaged" in capsys.readouterr().err
    write(raw / "pdb_seqres.txt.gz", ">1aaa_A\nACD\n")
    assert main(arguments) == 1
    assert "lacks an entry, a chain or a mol: type" in capsys.readouterr().err
    (raw / "resolu.idx").unlink()
    assert main(arguments) == 1
    assert f"index {raw}/resolu.idx does not exist: fetch it with" in capsys.readouterr().err
    assert not (tmp_path / "p.entries.tsv").exists()


def test_a_list_that_is_missing_or_none_is_one_sentence(raw, tmp_path):
    with pytest.raises(
        DataError, match=r"t.tsv does not exist: make it with python -m data.pdb.entries --out"
    ):
        read_list(tmp_path / "t.tsv")
    with pytest.raises(DataError, match="does not begin with entry chain method"):
        read_list(write(tmp_path / "t.tsv", "a\tb\n"))
