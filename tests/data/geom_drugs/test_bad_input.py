"""Damaged, hostile and senseless input: one sentence each, counted where the rest can be used."""

import os
import pickle

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Geometry import Point3D

from data.errors import DataError
from data.geom_drugs import faults, prepare
from data.geom_drugs.geom_msgpack import read_msgpack
from data.geom_drugs.geom_pickles import read_midi, read_rdkit_folder, read_split
from data.geom_drugs.settings import GeomDrugsSettings
from data.geom_drugs.smiles_lists import read_smiles
from data.geom_drugs.store import Ensembles
from data.validation import read
from tests.data.geom_drugs.raw_files import (
    archive,
    conformers,
    in_this_process,
    msgpacked,
    pickled,
    split_file,
    states,
)


@pytest.fixture(autouse=True)
def without_workers(monkeypatch):
    for module in ("data.geom_drugs.geom_pickles", "data.geom_drugs.geom_msgpack"):
        monkeypatch.setattr(f"{module}.map_in_processes", in_this_process)


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def moved(molecule: Chem.Mol, atom: int, position: tuple) -> Chem.Mol:
    copy = Chem.Mol(molecule)
    copy.GetConformer().SetAtomPosition(atom, Point3D(*position))
    return copy


def rdkit_folder(tmp_path, members: dict[str, bytes]):
    """What reading an archive of these members gives; the last is a sound one."""
    members = {f"drugs/{name}.pickle": content for name, content in members.items()}
    members["drugs/~.pickle"] = pickled("CO", conformers("CO", 1))
    made = read_rdkit_folder(
        archive(tmp_path / "x.tar.gz", members),
        split_file(tmp_path / "x.npy", list(range(len(members))), [], []),
    )
    *others, sound = made
    assert sound.ensemble is not None
    return others


def test_damaged_members_are_left_out_and_named(tmp_path):
    whole = pickled("CCO", conformers("CCO", 2))
    made = rdkit_folder(
        tmp_path, {"a": whole[:300], "b": b"", "c": pickle.dumps({"smiles": "C"}), "d": b"\xff" * 50}
    )
    for name, one in zip("abcd", made, strict=True):
        (fault,) = one.faults
        assert one.ensemble is None
        assert fault.reason == faults.UNREADABLE
        assert fault.sentence.startswith(
            f"archive {tmp_path}/x.tar.gz: member drugs/{name}.pickle is damaged"
        )


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_wants_to_call_something_is_refused_and_calls_nothing(tmp_path, protocol):
    content = {"smiles": "C", "conformers": Hostile(tmp_path / "made")}
    with pytest.raises(
        DataError, match=r"member drugs/a.pickle holds (posix|nt|os).mkdir, and only containers"
    ):
        rdkit_folder(tmp_path, {"a": pickle.dumps(content, protocol)})
    (tmp_path / "x.pickle").write_bytes(pickle.dumps([("C", Hostile(tmp_path / "made"))], protocol))
    with pytest.raises(DataError, match="it is not GEOM's"):
        list(read_midi(tmp_path / "x.pickle", "train"))
    np.save(tmp_path / "y.npy", np.array([Hostile(tmp_path / "made")], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="only arrays of numbers are read"):
        read_split(tmp_path / "y.npy")
    assert not (tmp_path / "made").exists()


def test_bytes_that_are_no_molecule_cost_a_conformer(tmp_path):
    molecules = conformers("CCO", 3)
    content = {"smiles": "CCO", "conformers": states(molecules)}
    whole = pickle.dumps(content, 3)
    start = whole.index(molecules[0].ToBinary()[:40])
    (made,) = rdkit_folder(tmp_path, {"a": whole[:start] + b"\0" * 8 + whole[start + 8 :]})
    assert len(made.ensemble.positions) == 2
    assert [fault.reason for fault in made.faults] == [faults.UNREADABLE]
    assert made.faults[0].conformers == 1


def test_conformers_without_numbers_or_of_other_atoms_are_left_out(tmp_path):
    sound = conformers("CCO", 2)
    bad = [moved(sound[0], 1, (np.nan, 0.0, 0.0)), *conformers("CCN", 1), Chem.Mol(sound[0])]
    bad[2].RemoveAllConformers()
    (made,) = rdkit_folder(tmp_path, {"a": pickled("CCO", [sound[0], sound[1], *bad])})
    assert len(made.ensemble.positions) == 2
    assert sorted(fault.reason for fault in made.faults) == sorted(
        [faults.NOT_FINITE, faults.OTHER_ATOMS, faults.UNREADABLE]
    )
    assert all(
        f"member drugs/a.pickle, conformer {k}" in "".join(f.sentence for f in made.faults)
        for k in (1, 2, 3)  # by weight
    )
    assert made.ensemble.weights.sum() == pytest.approx(1)


def test_a_conformer_that_has_reacted_is_marked(tmp_path):
    sound, reacted = conformers("OCCN", 2)
    editable = Chem.RWMol(reacted)
    hydrogen = next(a.GetIdx() for a in editable.GetAtomWithIdx(0).GetNeighbors() if a.GetAtomicNum() == 1)
    editable.RemoveBond(0, hydrogen)
    editable.AddBond(3, hydrogen, Chem.BondType.SINGLE)
    (made,) = rdkit_folder(tmp_path, {"a": pickled("OCCN", [editable.GetMol(), sound])})
    assert made.ensemble.same_graph.tolist() == [True, False]


def test_molecules_without_a_usable_conformer_or_smiles_are_left_out(tmp_path):
    flat = moved(conformers("CCO", 1)[0], 0, (np.inf, 0.0, 0.0))
    made = rdkit_folder(
        tmp_path,
        {"a": pickled("CCO", []), "b": pickled("CCO", [flat]), "c": pickled("CC(O", conformers("CCO", 1))},
    )
    assert [one.ensemble for one in made] == [None] * 3
    assert [one.faults[-1].reason for one in made] == [
        faults.NO_CONFORMER,
        faults.NO_CONFORMER,
        faults.UNPARSABLE,
    ]
    assert made[0].faults[0].sentence.endswith("member drugs/a.pickle (CCO) has no conformer")
    assert "unparsable SMILES 'CC(O'" in made[2].faults[0].sentence


def test_unknown_elements_are_kept(tmp_path):
    (made,) = rdkit_folder(tmp_path, {"a": pickled("C[Si](C)(C)C", conformers("C[Si](C)(C)C", 1))})
    assert 14 in made.ensemble.atomic_numbers


def test_what_is_left_out_is_counted_in_the_report(tmp_path):
    members = {
        "drugs/a.pickle": pickled("CCO", conformers("CCO", 2)),
        "drugs/b.pickle": b"damaged",
        "drugs/c.pickle": pickled("CCO", []),
    }
    archive(tmp_path / "x.tar.gz", members)
    split_file(tmp_path / "x.npy", [0, 1, 2], [], [])
    block = {"source": "rdkit_folder", "files": [{"name": "x.tar.gz"}, {"name": "x.npy"}]}
    report = prepare.prepare(read(GeomDrugsSettings, block, "data.geom_drugs"), tmp_path / "x.h5", tmp_path)
    counted = {reason: entry["molecules"] for reason, entry in report["left_out"].items()}
    assert counted == {faults.UNREADABLE: 1, faults.NO_CONFORMER: 1}
    assert len(Ensembles(tmp_path / "x.h5")) == 1


def test_a_cut_archive_and_other_files_are_refused(tmp_path):
    whole = archive(tmp_path / "x.tar.gz", {"drugs/a.pickle": os.urandom(50_000)})
    split = split_file(tmp_path / "x.npy", [0], [], [])
    whole.write_bytes(whole.read_bytes()[:20_000])
    with pytest.raises(
        DataError, match=r"x.tar.gz is truncated or not a tar.gz file .*: delete it and fetch it again"
    ):
        list(read_rdkit_folder(whole, split))
    whole.write_text("<html>")
    with pytest.raises(DataError, match=r"is truncated or not a tar\.gz file"):
        list(read_rdkit_folder(whole, split))
    with pytest.raises(DataError, match=r"absent.tar.gz does not exist: fetch it"):
        list(read_rdkit_folder(tmp_path / "absent.tar.gz", split))


def test_an_archive_of_another_date_is_refused(tmp_path):
    path = archive(tmp_path / "x.tar.gz", {"drugs/a.pickle": b""})
    with pytest.raises(DataError, match=r"has 1 files drugs/\*.pickle but .* splits 3"):
        list(read_rdkit_folder(path, split_file(tmp_path / "x.npy", [0, 1], [2], [])))


def test_split_files_that_are_none_are_refused(tmp_path):
    for parts in ([[0, 1]], [[0, 1], [1], [2]], [[0.5], [0], [1]]):
        content = np.empty(len(parts), dtype=object)
        content[:] = [np.array(part) for part in parts]
        np.save(tmp_path / "x.npy", content, allow_pickle=True)
        with pytest.raises(DataError, match=r"three arrays of indices|each once"):
            read_split(tmp_path / "x.npy")
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01")
    with pytest.raises(DataError, match=r"truncated or not a .npy file"):
        read_split(tmp_path / "x.npy")


def test_midis_file_may_hold_molecules_that_are_none(tmp_path):
    content = [("CCO", conformers("CCO", 1)), ("CCO", 5), "C", ("CCO", ["text"]), ("CCO", [])]
    (tmp_path / "x.pickle").write_bytes(pickle.dumps(content))
    made = list(read_midi(tmp_path / "x.pickle", "train"))
    assert [one.ensemble is None for one in made] == [False, True, True, True, True]
    assert [one.faults[0].reason for one in made[1:]] == [faults.UNREADABLE] * 3 + [faults.NO_CONFORMER]
    assert made[1].faults[0].sentence.startswith(f"pickle {tmp_path}/x.pickle: molecule 1 is damaged")
    (tmp_path / "x.pickle").write_bytes(pickle.dumps(content)[:200])
    with pytest.raises(DataError, match="is truncated or not a pickle"):
        list(read_midi(tmp_path / "x.pickle", "train"))


def test_the_msgpack_archive_may_hold_molecules_that_are_none(tmp_path):
    import msgpack

    batch = msgpack.unpackb(msgpacked({"CCO": conformers("CCO", 2)}))
    batch["CCN"] = batch["CCO"]  # whose coordinates are another molecule's
    batch["CC(O"] = batch["CCO"]
    batch["C"] = {"conformers": [{"xyz": [[6, 0, 0]]}]}
    batch["O"] = {"conformers": []}
    path = archive(tmp_path / "x.tar.gz", {"drugs_crude.msgpack": msgpack.packb(batch)})
    made = list(read_msgpack(path, lambda smiles: "train"))
    assert made[0].ensemble is not None
    assert [one.faults[0].reason for one in made[1:]] == [
        faults.NOT_ITS_SMILES,
        faults.UNPARSABLE,
        faults.UNREADABLE,
        faults.NO_CONFORMER,
    ]
    for content in (msgpack.packb(batch)[:-40] + b"\xc1" * 40, msgpack.packb([1, 2])):
        path = archive(tmp_path / "x.tar.gz", {"drugs_crude.msgpack": content})
        with pytest.raises(DataError, match=r"is damaged|does not hold mappings"):
            list(read_msgpack(path, lambda smiles: "train"))


def packed_molecules(tmp_path, content: bytes | dict, **options) -> list:
    """What reading a msgpack archive gives."""
    import msgpack

    content = msgpack.packb(content) if isinstance(content, dict) else content
    path = archive(tmp_path / "x.tar.gz", {"drugs_crude.msgpack": content})
    return list(read_msgpack(path, lambda smiles: "train" if smiles.strip() else "test", **options))


@pytest.mark.parametrize("cut", [-1, -9, -40, 5, 1])
def test_a_msgpack_archive_that_ends_early_is_refused(tmp_path, cut):
    batch = msgpacked({"CCO": conformers("CCO", 1)})
    with pytest.raises(
        DataError, match=r"drugs_crude.msgpack, of \d+ bytes, ends amid its molecules: fetch it"
    ):
        packed_molecules(tmp_path, batch + msgpacked({"CCN": conformers("CCN", 1)})[:cut])
    with pytest.raises(DataError, match=r"drugs_crude.msgpack, of 0 bytes, ends"):
        packed_molecules(tmp_path, b"")


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        *((number, faults.UNREADABLE) for number in (999, -1, 0, 6.5)),
        *((number, faults.NOT_FINITE) for number in (float("nan"), float("inf"))),
    ],
)
def test_atomic_numbers_of_no_element_cost_a_conformer(tmp_path, number, reason):
    import msgpack

    batch = msgpack.unpackb(msgpacked({"CCO": conformers("CCO", 3)}))
    batch["CCO"]["conformers"][1]["xyz"][4][0] = number
    (made,) = packed_molecules(tmp_path, batch)
    assert len(made.ensemble.positions) == 2
    assert [(fault.reason, fault.molecules, fault.conformers) for fault in made.faults] == [(reason, 0, 1)]
    assert made.faults[0].sentence.startswith(f"archive {tmp_path}/x.tar.gz: molecule CCO, conformer 0: ")


def test_keys_and_weights_of_no_meaning_cost_a_molecule(tmp_path):
    import msgpack

    batch = msgpack.unpackb(msgpacked({"CCO": conformers("CCO", 1)}))
    sound = batch["CCO"]
    heavy = {"conformers": [{**sound["conformers"][0], "boltzmannweight": "much"}]}
    made = packed_molecules(tmp_path, {5: sound, None: sound, "": sound, "CO": heavy, "CCO": sound})
    assert [one.ensemble is None for one in made] == [True, True, True, True, False]
    assert [one.faults[0].reason for one in made[:4]] == [faults.UNPARSABLE] * 3 + [faults.UNREADABLE]
    with pytest.raises(DataError, match="is damaged"):
        packed_molecules(tmp_path, b"\x81\x91\x05\x05")  # a mapping whose key is a list


def test_what_rdkit_fails_at_is_counted_and_the_others_are_read(tmp_path, monkeypatch):
    def failing(*_):
        raise RuntimeError("Invariant Violation\nof some kind")

    batch = msgpacked({"CCO": conformers("CCO", 2)})
    with monkeypatch.context() as patch:
        patch.setattr("data.geom_drugs.geom_msgpack.bonds_of_distances", failing)
        (made,) = packed_molecules(tmp_path, batch)
    assert [fault.reason for fault in made.faults] == [faults.NOT_PROCESSED] * 2 + [faults.NO_CONFORMER]
    assert made.faults[0].sentence.endswith("conformer 0: no bonds can be told (Invariant Violation)")
    with monkeypatch.context() as patch:
        patch.setattr("data.geom_drugs.geom_msgpack.graph_in_space", failing)
        (made,) = packed_molecules(tmp_path, batch)
    assert [fault.reason for fault in made.faults] == [faults.NOT_PROCESSED]
    monkeypatch.setattr("data.geom_drugs.assemble.graph_of", failing)
    made = rdkit_folder(tmp_path, {"a": pickled("CCO", conformers("CCO", 3))})
    assert len(made[0].ensemble.positions) == 1
    assert [fault.reason for fault in made[0].faults] == [faults.NOT_PROCESSED] * 2


def test_damaged_conformers_do_not_count_towards_the_limit(tmp_path):
    import msgpack

    sound = conformers("CCO", 4)
    bad = moved(sound[1], 1, (np.nan, 0.0, 0.0))  # of largest weight
    members = {"drugs/a.pickle": pickled("CCO", [sound[0], bad, *sound[2:]])}
    split = split_file(tmp_path / "x.npy", [0], [], [])
    (made,) = read_rdkit_folder(archive(tmp_path / "x.tar.gz", members), split, 2)
    assert len(made.ensemble.positions) == 2
    assert [fault.reason for fault in made.faults] == [faults.NOT_FINITE]

    (tmp_path / "x.pickle").write_bytes(pickle.dumps([("CCO", [bad, *sound])]))
    for name, kept in (("train", 2), ("test", 4)):
        (made,) = read_midi(tmp_path / "x.pickle", name, 2)
        assert len(made.ensemble.positions) == kept

    batch = msgpack.unpackb(msgpacked({"CCO": sound, " CCO": sound, "CCO ": sound}))
    for content in batch.values():
        content["conformers"][1]["xyz"][0][1] = float("nan")
    made = packed_molecules(tmp_path, batch, limit=2)
    assert [len(one.ensemble.positions) for one in made] == [2, 2, 2]


def test_a_list_without_smiles_is_refused(tmp_path):
    (tmp_path / "x.csv").write_text("name,count\nwater,1\n")
    with pytest.raises(DataError, match="has no column 'smiles'"):
        read_smiles(tmp_path / "x.csv")
    with pytest.raises(DataError, match=r"absent.csv does not exist: fetch it"):
        read_smiles(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ([], "data.geom_drugs: the whole must be of type object"),
        ({"source": "dream"}, "source must be one of generate, rdkit_folder, midi, msgpack, not 'dream'"),
        ({"source": "generate"}, "source generate needs molecules"),
        ({"source": "midi"}, "source midi needs files"),
        ({"source": "midi", "files": [{"name": "x"}]}, "needs a split"),
        ({"source": "rdkit_folder", "files": [{"name": "x.tar.gz"}]}, "needs two files"),
        (
            {"source": "msgpack", "files": [{"name": "x"}], "test_fraction": 1.0},
            "test_fraction: 1.0 is greater",
        ),
        (
            {"source": "msgpack", "files": [{"name": "x"}], "test_fraction": 0.5, "validation_fraction": 0.5},
            "leave some to train on",
        ),
        ({"source": "generate", "elements": ["Xx"]}, "elements.0: 'Xx' is not an element"),
        ({"source": "generate", "size": 3}, "size is not a known key"),
    ],
)
def test_settings_that_make_no_sense_are_refused(block, message):
    with pytest.raises(DataError, match=message):
        read(GeomDrugsSettings, block, "data.geom_drugs")
