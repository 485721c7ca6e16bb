"""From each source to a store: what is kept, in which split, and what the report counts."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Geometry import Point3D

from data.errors import DataError
from data.geom_drugs import faults, prepare
from data.geom_drugs.channels import ATOMIC_NUMBERS, SYMBOLS
from data.geom_drugs.graphs import molecule_of
from data.geom_drugs.settings import GeomDrugsSettings
from data.geom_drugs.smiles_lists import read_smiles
from data.geom_drugs.store import Ensembles
from data.processes import map_in_processes
from data.validation import read
from models.voxmol.voxels import GridConfig
from tests.data.geom_drugs.raw_files import (
    archive,
    conformers,
    in_this_process,
    msgpacked,
    pickled,
    split_file,
)

SMILES = ["CCO", "C[C@H](N)C(=O)O", "C/C=C/Cl", "c1ccncc1", "C[NH3+]", "CS(C)=O"]
GENERATE = {
    "source": "generate",
    "molecules": 6,
    "min_atoms": 5,
    "max_atoms": 10,
    "conformers": 1,
    "validation_fraction": 0.3,
    "seed": 0,
}


NCI = [(f"NCI {k}", "C" * (1 + k // 2) + "O" * (k % 2)) for k in range(20)]


@pytest.fixture(autouse=True)
def few_molecules_in_this_process(monkeypatch):
    """Workers cost seconds to start, and so does reading NCI's file; neither is what is tested here."""
    for module in ("data.chunks", "data.geom_drugs.geom_pickles", "data.geom_drugs.geom_msgpack"):
        monkeypatch.setattr(f"{module}.map_in_processes", in_this_process)
    monkeypatch.setattr(prepare, "nci_molecules", lambda elements, smallest, largest, seed: NCI)


@pytest.fixture
def raw(tmp_path):
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


def prepared(tmp_path, raw, **block):
    out = tmp_path / "x.h5"
    report = prepare.prepare(read(GeomDrugsSettings, block, "data.geom_drugs"), out, raw, 1)
    assert json.loads(Path(f"{out}.report.json").read_text()) == json.loads(json.dumps(report))
    return Ensembles(out), report


def test_listed_molecules_and_nci_molecules_are_made(tmp_path, raw):
    (raw / "list.csv").write_text("smiles,n_conformers\nC[NH3+],3\nCC(C,1\nCC(C)=O,1\n")
    store, report = prepared(tmp_path, raw, **GENERATE, files=[{"name": "list.csv", "split": "test"}])
    test = store.split_molecules("test")
    assert [store.smiles[row] for row in test] == ["C[NH3+]", "CC(C)=O"]
    assert len(store) == 8
    assert report["left_out"][faults.UNPARSABLE]["examples"] == [
        f"list {raw}/list.csv, line 3 has the unparsable SMILES 'CC(C'"
    ]
    assert report["dataset"] == store.dataset == "generated ensembles (ETKDG, MMFF94s)"
    assert store.energy_level == "GFN2-xTB at MMFF94s geometries"
    assert report["counts"]["test"] == 2
    assert report["elements"]["N"]["molecules"] == sum(7 in store.elements(row) for row in range(len(store)))
    assert not (tmp_path / "x.h5.work").exists()
    for row in range(len(store)):
        ensemble = store.ensemble(row)
        made = Chem.RemoveHs(molecule_of(ensemble))
        flat = prepare.flat_smiles(ensemble.smiles)
        assert Chem.MolToSmiles(made, isomericSmiles=False) == flat
        assert ensemble.weights.sum() == pytest.approx(1)


def test_a_listed_molecule_is_not_made_again_for_training(tmp_path, raw):
    store, _ = prepared(tmp_path, raw, **GENERATE)
    known = store.smiles[int(store.split_molecules("train")[0])]
    (raw / "list.csv").write_text(f"smiles\n{known}\n")
    store, _ = prepared(tmp_path, raw, **GENERATE, files=[{"name": "list.csv", "split": "test"}])
    assert store.smiles.count(known) == 1


def test_workers_do_not_change_the_store(tmp_path, raw, monkeypatch):
    one, _ = prepared(tmp_path, raw, **GENERATE)
    monkeypatch.setattr("data.chunks.map_in_processes", map_in_processes)
    (tmp_path / "two").mkdir()
    block = tmp_path / "block.yaml"
    block.write_text(json.dumps(GENERATE))
    out = tmp_path / "two" / "x.h5"
    assert prepare.main(["--config", str(block), "--out", str(out), "--workers", "2"]) == 0
    assert Ensembles(out).digest == one.digest


def test_a_killed_preparation_goes_on_where_it_was(tmp_path, raw, monkeypatch):
    made = []
    whole = prepare.generate

    def dying(task):
        made.append(task.smiles)
        if len(made) == 18:
            raise KeyboardInterrupt
        return whole(task)

    block = {**GENERATE, "molecules": 20}
    monkeypatch.setattr(prepare, "generate", dying)
    with pytest.raises(KeyboardInterrupt):
        prepared(tmp_path, raw, **block)
    assert not (tmp_path / "x.h5").exists()
    prepared(tmp_path, raw, **block)
    assert len(made) == 18 + 4  # sixteen were kept


def test_the_archive_is_split_by_its_sorted_names(tmp_path, raw):
    molecules = {smiles: conformers(smiles, 3) for smiles in SMILES}
    names = {smiles: f"rdkit_folder/drugs/{smiles.replace('/', '_')}.pickle" for smiles in SMILES}
    members = {names[smiles]: pickled(smiles, molecules[smiles]) for smiles in reversed(SMILES)}
    members["rdkit_folder/qm9/C.pickle"] = pickled("C", conformers("C", 1))
    members["rdkit_folder/summary_drugs.json"] = b"{}"
    archive(raw / "rdkit_folder.tar.gz", members)
    split_file(raw / "split0.npy", [5, 2, 0], [1, 4], [3])
    files = [{"name": "rdkit_folder.tar.gz"}, {"name": "split0.npy"}]
    store, report = prepared(tmp_path, raw, source="rdkit_folder", files=files, conformers_per_molecule=2)
    ordered = sorted(SMILES, key=names.get)
    for split, indices in (("train", [0, 2, 5]), ("validation", [1, 4]), ("test", [3])):
        found = {store.smiles[row] for row in store.split_molecules(split)}
        assert found == {ordered[index] for index in indices}
    for row in range(len(store)):
        ensemble = store.ensemble(row)
        assert len(ensemble.positions) == (3 if ensemble.split == "test" else 2)
        second = molecules[ensemble.smiles][1].GetConformer().GetPositions()
        np.testing.assert_allclose(ensemble.positions[0], second, atol=1e-6)
        np.testing.assert_allclose(ensemble.energies[:2], [0, 0.5])
        assert Chem.MolToSmiles(Chem.RemoveHs(molecule_of(ensemble))) == Chem.CanonSmiles(ensemble.smiles)
    assert report["left_out"] == {}
    assert report["dataset"] == "GEOM-Drugs"


def test_midis_pickles_are_read_without_energies(tmp_path, raw):
    import pickle

    for name, chosen in (("train", SMILES[:3]), ("val", SMILES[3:4]), ("test", SMILES[4:])):
        content = [(smiles, conformers(smiles, 3)) for smiles in chosen]
        (raw / f"{name}_data.pickle").write_bytes(pickle.dumps(content, 2))
    files = [
        {"name": f"{name}_data.pickle", "split": split}
        for name, split in (("train", "train"), ("val", "validation"), ("test", "test"))
    ]
    store, report = prepared(tmp_path, raw, source="midi", files=files, conformers_per_molecule=2)
    assert store.smiles == SMILES
    assert [report["counts"][split] for split in ("train", "validation", "test")] == [3, 1, 2]
    assert np.isnan(store.energies).all()
    shares = [1 / 2] * 4 + [1 / 3] * 2  # all three conformers of a test molecule
    for row, share in enumerate(shares):
        assert (store.ensemble(row).weights == share).all()
    first = conformers(SMILES[0], 3)[0].GetConformer().GetPositions()
    np.testing.assert_allclose(store.ensemble(0).positions[0], first, atol=1e-6)


def test_the_msgpack_archive_is_put_in_the_order_of_its_smiles(tmp_path, raw):
    molecules = {smiles: conformers(smiles, 3) for smiles in SMILES}
    archive(raw / "drugs_crude.msgpack.tar.gz", {"drugs_crude.msgpack": msgpacked(molecules)})
    store, report = prepared(
        tmp_path, raw, source="msgpack", files=[{"name": "drugs_crude.msgpack.tar.gz"}], test_fraction=0.4
    )
    assert report["left_out"] == {}
    assert set(store.smiles) == set(SMILES)
    for row in range(len(store)):
        ensemble = store.ensemble(row)
        assert Chem.MolToSmiles(Chem.RemoveHs(molecule_of(ensemble))) == Chem.CanonSmiles(ensemble.smiles)
        x = ensemble.positions[0]
        lengths = np.linalg.norm(x[ensemble.bonds[:, 0]] - x[ensemble.bonds[:, 1]], axis=-1)
        assert lengths.max() < 2.0
    assert len(store.split_molecules("test")) >= 1


def test_the_report_counts_what_the_published_grid_does_not_show(tmp_path, raw):
    grid = GridConfig()
    assert pytest.approx(grid.origin * grid.resolution, abs=0.01) == prepare.VOXMOL_REACH
    numbers = [Chem.GetPeriodicTable().GetAtomicNumber(symbol) for symbol in SYMBOLS]
    assert tuple(numbers) == ATOMIC_NUMBERS

    carbons, silane = conformers("CCC", 4), conformers("C[SiH2]CI", 2)
    for k, molecule in enumerate(carbons):  # the last two reach farther than the grid
        x = molecule.GetConformer().GetPositions()
        x *= (7.0 + 0.5 * k) / np.linalg.norm(x - x.mean(0), axis=-1).max()
        for row, position in enumerate((x + 100).tolist()):
            molecule.GetConformer().SetAtomPosition(row, Point3D(*position))
    members = {"drugs/a.pickle": pickled("CCC", carbons), "drugs/b.pickle": pickled("C[SiH2]CI", silane)}
    archive(raw / "x.tar.gz", members)
    split_file(raw / "x.npy", [0, 1], [], [])
    files = [{"name": "x.tar.gz"}, {"name": "x.npy"}]
    _, report = prepared(tmp_path, raw, source="rdkit_folder", files=files)
    assert report["elements"]["C"] == {"atoms": 5, "molecules": 2, "conformers": 6}
    assert report["elements"]["Si"] == {"atoms": 1, "molecules": 1, "conformers": 2}
    assert report["elements"]["I"] == {"atoms": 1, "molecules": 1, "conformers": 2}
    assert list(report["voxmol"].values()) == [
        {"molecules": 1, "conformers": 2},
        {"molecules": 1, "conformers": 2},
    ]
    assert report["radius_angstrom"]["max"] == pytest.approx(8.5, abs=1e-4)


def test_splits_depend_on_the_molecule_alone():
    config = read(GeomDrugsSettings, {**GENERATE, "test_fraction": 0.2}, "data.geom_drugs")
    drawn = [config.drawn_split(f"molecule {k}") for k in range(2000)]
    assert drawn == [config.drawn_split(f"molecule {k}") for k in range(2000)]
    assert drawn.count("test") == pytest.approx(400, abs=60)
    assert drawn.count("validation") == pytest.approx(600, abs=60)


def test_more_molecules_than_there_are_is_refused(tmp_path, raw):
    with pytest.raises(DataError, match=r"molecules is 5000, but RDKit's NCI file has only 20 molecules"):
        prepared(tmp_path, raw, **{**GENERATE, "molecules": 5000})


@pytest.mark.skipif("DATA_DIR" not in os.environ, reason="DATA_DIR does not name the folder of public files")
def test_the_official_test_molecules_are_a_thousand():
    folder = Path(os.environ["DATA_DIR"], "geom")
    listed = read_smiles(folder / "test_smiles.csv")
    assert len({smiles for _, smiles in listed}) == 1000
    assert all(Chem.MolFromSmiles(smiles) for _, smiles in listed)
    with (folder / "test_smiles_corrected.csv").open() as file:
        corrected = [row["corrected_smiles"] for row in csv.DictReader(file)]
    assert sum(a == b for (_, a), b in zip(listed, corrected, strict=True)) == 988
