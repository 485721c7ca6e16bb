"""From files to a store: filters, groups, splits, and a preparation that goes on where it was killed."""

import json
import pickle
import tarfile

import numpy as np
import pytest
import yaml

from data.pdb import prepare as module
from data.pdb.chains import Chain
from data.pdb.groups import group_chains, split_groups
from data.pdb.prepare import main, prepare
from data.pdb.settings import PdbSettings
from data.pdb.store import SPLITS, ChainStore
from data.validation import read
from tests.data.pdb.raw_files import chain, cif, pdb, real_archive, residue, write

STRUCTURES = {"source": "structures", "min_residues": 3, "validation_fraction": 0.3}


def sequence(k):
    """Ten letters that no other k has."""
    return "".join("ACDEFGHIKL"[(k + j * (k + 1)) % 10] for j in range(9)) + "MNPQRSTVWY"[k % 10]


@pytest.fixture
def raw(tmp_path):
    """Ten structures of ten residues in files of all kinds, and a tar archive of two more."""
    folder = tmp_path / "raw"
    for k in range(10):
        form, suffix = [(pdb, ".pdb"), (cif, ".cif"), (pdb, ".ent.gz"), (cif, ".cif.gz")][k % 4]
        write(folder / f"s{k}{suffix}", form(chain(10, sequence=sequence(k))))
    with tarfile.open(folder / "more.tar.gz", "w:gz") as archive:
        for k in (10, 11):
            path = write(tmp_path / f"s{k}.pdb", pdb(chain(12 + k, "ABC"[k - 10])))
            archive.add(path, f"folder/s{k}.pdb")
        archive.add(write(tmp_path / "README", "no structure"), "folder/README")
    return folder


def prepared(raw, out, block=None, workers=1, **changes):
    files = [{"name": path.name} for path in sorted(raw.iterdir())]
    return prepare(
        read(PdbSettings, {**STRUCTURES, "files": files, **(block or {}), **changes}, "data.pdb"),
        out,
        raw,
        workers,
    )


def test_a_store_has_every_chain_once_centred_and_by_split(raw, tmp_path):
    report = prepared(raw, tmp_path / "s.h5")
    store = ChainStore(tmp_path / "s.h5")
    assert len(store) == report["counts"]["chains"] == 12
    assert report["counts"]["train"] + report["counts"]["validation"] == 12
    assert report["read"]["files"] == 12
    assert sorted(store.names) == sorted([*(f"s{k}_A" for k in range(10)), "s10_A", "s11_B"])
    chains = store.read(range(12))
    for name, x, letters in zip(
        store.names, chains.parts(chains.coordinates), chains.parts(chains.letters), strict=True
    ):
        assert np.allclose(x.mean(0), 0, atol=1e-6)
        assert np.allclose(np.diff(x[:, 0]), 0.38, atol=1e-6)
        k = int(name[1:].split("_")[0])
        if k < 10:
            assert bytes(letters).decode() == sequence(k)
    assert (np.diff(store.split) >= 0).all()
    assert store.variance == pytest.approx(
        np.square(
            np.concatenate([chains.parts(chains.coordinates)[k] for k in store.split_indices("train")])
        ).mean()
    )


def test_a_store_reads_in_any_order_and_pickles_as_its_path(raw, tmp_path):
    prepared(raw, tmp_path / "s.h5")
    store = pickle.loads(pickle.dumps(ChainStore(tmp_path / "s.h5")))
    some, others = store.read([5, 0, 5]), store.read([0, 5])
    assert len(some) == 3
    first, second, third = some.parts(some.coordinates)
    assert np.array_equal(first, third)
    assert np.array_equal(second, others.parts(others.coordinates)[0])


def test_the_result_depends_on_no_number_of_processes(raw, tmp_path, monkeypatch):
    alone = prepared(raw, tmp_path / "one.h5")
    monkeypatch.setattr(module, "FILES_PER_CHUNK", 5)
    together = prepared(raw, tmp_path / "two.h5", workers=2)
    assert alone["digest"] == together["digest"]
    assert alone["read"] == together["read"]


def test_a_killed_preparation_goes_on_and_reads_no_file_twice(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FILES_PER_CHUNK", 4)
    whole = prepared(raw, tmp_path / "whole.h5")
    read, read_file = [], module._read_file

    def failing(file):
        if len(read) == 6:
            raise KeyboardInterrupt
        read.append(file.name)
        return read_file(file)

    monkeypatch.setattr(module, "_read_file", failing)
    with pytest.raises(KeyboardInterrupt):
        prepared(raw, tmp_path / "s.h5")
    assert not (tmp_path / "s.h5").exists()
    assert (tmp_path / "s.h5.work").exists()
    monkeypatch.setattr(module, "_read_file", lambda file: read.append(file.name) or read_file(file))
    assert prepared(raw, tmp_path / "s.h5")["digest"] == whole["digest"]
    assert len(read) == 6 + 8  # of the second chunk's files two were read before, and are again
    assert not (tmp_path / "s.h5.work").exists()


def test_filters_count_what_they_leave_out(tmp_path):
    raw = tmp_path / "raw"
    write(raw / "a.cif", cif(chain(10), "SOLUTION NMR", 2.0))
    write(raw / "b.cif", cif(chain(10, sequence="C" * 10), resolution=6.0))
    write(raw / "c.cif", cif(chain(2)))
    write(raw / "d.cif", cif(chain(30)))
    write(raw / "e.cif", cif(chain(5) + chain(5, start=9) + chain(5, start=18)))
    write(raw / "f.cif", cif(chain(8, sequence="D" * 8)))
    write(raw / "g.cif", cif(chain(8, sequence="E" * 8)))
    limits = {"methods": ["diffraction", "EM"], "max_resolution": 5.0, "max_residues": 20, "max_breaks": 1}
    report = prepared(raw, tmp_path / "s.h5", limits)
    assert report["left_out"] == {
        "method": 1,
        "resolution unknown or too low": 1,
        "too short": 1,
        "too long": 1,
        "too many gaps": 1,
    }
    assert report["counts"]["chains"] == 2
    split = prepared(raw, tmp_path / "s.h5", limits, split_gap=4.5)
    assert {"e_A.1", "e_A.2", "e_A.3"} < set(ChainStore(tmp_path / "s.h5").names)
    assert split["counts"]["chains"] == 5
    assert split["gaps"] == 0


def traces(*names):
    return [Chain(f"{e}_{c}", e, c, np.zeros((3, 3)), np.zeros(3), *texts) for e, c, *texts in names]


def test_equal_sequences_and_one_structure_are_of_one_group():
    chains = traces(
        ("a", "A", "AAA"), ("a", "B", "CCC"), ("b", "A", "CCC"), ("c", "A", "DDD"), ("d", "A", "AAA")
    )
    groups, text = group_chains(chains, None, by_entry=True)
    assert len(set(groups)) == 2
    assert groups[0] == groups[1] == groups[2] == groups[4]
    assert "no sequence clusters" in text
    groups, _ = group_chains(chains, None, by_entry=False)
    assert groups[0] == groups[4]
    assert groups[1] == groups[2]
    assert len(set(groups)) == 3


def test_chains_of_one_molecule_are_of_one_group_whatever_part_is_resolved():
    chains = traces(("1aaa", "A", "CDE", "ACDEF"), ("1bbb", "A", "DEF", "ACDEF"), ("1ccc", "A", "CDE", "CDE"))
    groups, text = group_chains(chains, None, by_entry=False)
    assert groups[0] == groups[1] != groups[2]
    assert text == "random splits that no two equal SEQRES sequences straddle; no sequence clusters"


def test_nothing_is_said_of_sequences_where_there_are_none():
    groups, text = group_chains(traces(("a", "", ""), ("b", "", "")), None, by_entry=False)
    assert len(set(groups)) == 2
    assert text == "random splits; no sequences"


def test_a_chunk_has_few_files_or_few_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FILES_PER_CHUNK", 3)
    monkeypatch.setattr(module, "BYTES_PER_CHUNK", 10)
    sizes = [4, 4, 4, 30, 1, 1, 1, 1, 10]
    files = [module.File(str(k), str(k), b"x" * size) for k, size in enumerate(sizes)]
    chunks = list(module._chunks([*files, module.File("on disk", "d", tmp_path)]))
    assert [[len(file.content) for file in chunk] for chunk in chunks[:-1]] == [
        [4, 4],
        [4],
        [30],
        [1, 1, 1],
        [1],
    ]
    assert [file.name for file in chunks[-1]] == ["8", "on disk"]


def test_the_report_counts_what_was_met(tmp_path):
    raw = tmp_path / "raw"
    write(raw / "a.cif", cif(chain(8)))
    odd = [
        *chain(8, sequence="C" * 8),
        *residue(8, atoms=("N",)),
        *residue(9, alt="A", occupancy=0.4, atoms=("CA",)),
        *residue(9, alt="B", occupancy=0.6, atoms=("CA",)),
        *residue(10, number=10, insertion="A"),
        *residue(11, number=10, insertion="B"),
    ]
    for name, form in {"b.cif": cif, "c.pdb": pdb}.items():
        write(raw / name, form(odd))
    read = prepared(raw, tmp_path / "s.h5")["read"]
    assert read == {
        "files": 3,
        "chains": 3,
        "residues_without_ca": 2,
        "alternate_locations": 2,
        "insertion_codes": 4,
    }


def test_the_report_of_chains_without_bonds_is_json(tmp_path):
    raw = tmp_path / "raw"
    for k in range(2):
        name = ("ALA", "CYS")[k]
        write(raw / f"s{k}.pdb", pdb([a for j in range(4) for a in residue(j, name, at=(5.0 * j, 0, 0))]))
    prepared(raw, tmp_path / "s.h5")

    def refused(text):
        raise AssertionError(f"{text} is no JSON")

    report = json.loads((tmp_path / "s.h5.report.json").read_text(), parse_constant=refused)
    assert report["bond_nm"] is None
    assert report["gaps"] == 6


def test_clusters_of_a_file_are_the_groups(raw, tmp_path):
    pairs = [(f"s{k - k % 2}_A", f"S{k}_A") for k in range(10)]
    write(raw / "clusters.tsv", "".join(f"{representative}\t{member}\n" for representative, member in pairs))
    files = [{"name": path.name} for path in sorted(raw.iterdir()) if path.suffix != ".tsv"]
    config = read(PdbSettings, STRUCTURES | {"files": files, "clusters": "clusters.tsv"}, "data.pdb")
    report = prepare(config, tmp_path / "s.h5", raw, 1)
    store = ChainStore(tmp_path / "s.h5")
    group = dict(zip(store.names, store.group.tolist(), strict=True))
    split = dict(zip(store.names, store.split.tolist(), strict=True))
    for k in range(0, 10, 2):
        assert group[f"s{k}_A"] == group[f"s{k + 1}_A"]
        assert split[f"s{k}_A"] == split[f"s{k + 1}_A"]
    assert report["counts"]["groups"] == 7
    assert report["grouping"] == store.grouping == "sequence clusters read from a file, 2 chains in none"


def test_splits_are_of_groups_in_the_shares_asked_for_and_drawn_by_name():
    groups = [f"group {k}" for k in range(1000)]
    splits = split_groups(groups, 0.019, 0.001, seed=0)
    assert [sum(s == name for s in splits.values()) for name in SPLITS] == [980, 19, 1]
    assert split_groups(groups[::-1], 0.019, 0.001, seed=0) == splits
    assert split_groups(groups, 0.019, 0.001, seed=1) != splits


def test_a_split_that_is_held_out_begins_with_one_chain_of_every_group(tmp_path):
    raw = tmp_path / "raw"
    for k in range(8):
        write(raw / f"s{k}.pdb", pdb(chain(9, "A", sequence=sequence(k)[:9]) + chain(9, "B") + chain(9, "C")))
    files = [{"name": f"s{k}.pdb"} for k in range(8)]
    pairs = [(f"s{k}_A", f"s{k}_{c}") for k in range(8) for c in "ABC"]
    write(raw / "clusters.tsv", "".join(f"{representative}\t{member}\n" for representative, member in pairs))
    block = STRUCTURES | {"files": files, "clusters": "clusters.tsv", "validation_fraction": 0.5}
    prepare(read(PdbSettings, block, "data.pdb"), tmp_path / "s.h5", raw, 1)
    store = ChainStore(tmp_path / "s.h5")
    held_out = store.group[store.split_indices("validation")]
    assert len(held_out) == 12
    assert len(set(held_out[:4].tolist())) == len(set(held_out[4:8].tolist())) == 4


def test_generated_chains_are_prepared_and_the_command_says_what_it_did(tmp_path, capsys):
    block = {"source": "generate", "chains": 6, "min_residues": 12, "max_residues": 16, "seed": 0}
    (tmp_path / "block.yaml").write_text(yaml.safe_dump(block))
    out = tmp_path / "s.h5"
    assert main(["--config", str(tmp_path / "block.yaml"), "--out", str(out)]) == 0
    assert f"{out}: 6 chains of generated C-alpha traces, 5 train, 1 validation" in capsys.readouterr().out
    report = json.loads((tmp_path / "s.h5.report.json").read_text())
    assert report["bond_nm"]["mean"] == pytest.approx(0.381, abs=1e-3)
    assert report["grouping"] == "random splits; no sequences"
    assert ChainStore(out).dataset == "generated C-alpha traces"


def test_the_real_structures_become_chains_of_proteins(tmp_path):
    (tmp_path / "bm5_unbound.tar.gz").symlink_to(real_archive())
    block = {
        "source": "structures",
        "files": [{"name": "bm5_unbound.tar.gz"}],
        "split_gap": 4.5,
        "min_residues": 50,
        "max_residues": 256,
    }
    report = prepare(read(PdbSettings, block, "data.pdb"), tmp_path / "s.h5", tmp_path, 1)
    assert report["faults"] == []
    assert report["read"]["files"] == 460
    assert report["counts"]["chains"] == 547
    assert report["gaps"] == 0
    assert report["bond_nm"]["mean"] == pytest.approx(0.380, abs=1e-3)
    assert report["mean_square_coordinate_nm2"] == pytest.approx(1.0, abs=0.05)
