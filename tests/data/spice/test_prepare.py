"""Preparation: what is left out is counted, splits go by molecule, and a job that was killed goes on."""

import dataclasses
import json

import h5py
import numpy as np
import pytest
import yaml

from data import chunks
from data.processes import WorkerKilledError, map_in_processes
from data.spice import prepare
from data.spice.label import Geometries, Labelled
from data.spice.reference_energies import SPICE_ATOMS
from data.spice.settings import SpiceSettings
from data.spice.splits import held_out
from data.spice.store import ConformationStore
from data.validation import read
from tests.data.spice.raw_files import (
    AMMONIUM,
    METHANE,
    SILANE,
    WATER,
    conformations,
    real_file,
    spice_file,
    write_group,
    xyz_frame,
)

GENERATE = {
    "source": "generate",
    "molecules": 6,
    "min_atoms": 8,
    "max_atoms": 10,
    "conformers": 1,
    "samples_per_conformer": 2,
    "temperature": 500.0,
    "test_fraction": 0.3,
}
SPICE = {"source": "spice", "files": [{"name": "a.hdf5"}], "test_fraction": 0.5}


def run(block, out, raw, workers=1):
    return prepare.prepare(read(SpiceSettings, block, "data.spice"), out, raw, workers)


def test_a_generated_store_is_the_same_whatever_the_number_of_workers(tmp_path):
    reports = [run(GENERATE, tmp_path / f"{k}.h5", tmp_path, workers=k) for k in (1, 2)]
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()
    assert reports[0] == reports[1]
    assert json.loads((tmp_path / "1.h5.report.json").read_text()) == json.loads(json.dumps(reports[0]))
    counts = reports[0]["counts"]
    assert (counts["molecules"], counts["train"], counts["test"]) == (6, 8, 4)
    store = ConformationStore(tmp_path / "1.h5")
    assert store.labels == "GFN2-xTB"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "1.h5",
        "1.h5.report.json",
        "2.h5",
        "2.h5.report.json",
    ]


def test_energies_are_less_the_isolated_atoms(tmp_path):
    spice_file(tmp_path / "a.hdf5")
    run(SPICE, tmp_path / "out.h5", tmp_path)
    store = ConformationStore(tmp_path / "out.h5")
    (methane,) = [k for k, name in enumerate(store.names) if name == "C"]
    of_methane = np.sort(store.energy[store.molecule == methane])[::-1]
    atoms = SPICE_ATOMS["C"] + 4 * SPICE_ATOMS["H"]
    np.testing.assert_allclose(
        of_methane, 27.211386245988 * np.array([-40, -41, -42, -43]) - atoms, rtol=1e-12
    )


def test_charged_ion_pair_foreign_and_violent_records_are_left_out_and_counted(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        write_group(file, "a", METHANE, conformations(METHANE))
        write_group(file, "b", WATER, conformations(WATER))
        write_group(file, "c", AMMONIUM, conformations(AMMONIUM))
        write_group(file, "d", SILANE, conformations(SILANE))
        write_group(
            file, "e", WATER, conformations(WATER), subset="SPICE Ion Pairs Single Points Dataset v1.1"
        )
        file["a/dft_total_gradient"][2, 0, 0] = 1.5
    report = run(SPICE, tmp_path / "out.h5", tmp_path)
    assert report["counts"]["conformations"] == 7
    assert report["dropped"] == {
        "charged": {"conformations": 4, "molecules": 1},
        "element not in elements": {"conformations": 4, "molecules": 1},
        "force above max_force": {"conformations": 1, "molecules": 1},
        "ion pair": {"conformations": 4, "molecules": 1},
    }


def test_rows_that_are_not_in_the_order_of_the_smiles_are_left_out_and_counted(tmp_path):
    spice_file(tmp_path / "a.hdf5")
    with h5py.File(tmp_path / "a.hdf5", "a") as file:
        positions = file["molecule 0/conformations"][2]
        file["molecule 0/conformations"][2] = positions[[1, 0, 2, 3, 4]]  # C and H exchanged
    report = run(SPICE, tmp_path / "out.h5", tmp_path)
    assert report["dropped"] == {"bonds are not those of the smiles": {"conformations": 1, "molecules": 1}}


def test_the_real_ligand_pairs_have_167_conformations_out_of_order():
    from data.spice.filters import Dropped, selected
    from data.spice.hdf5 import read_spice

    for name, expected in (("amino-acid-ligand-test.hdf5", 167), ("des-monomers.hdf5", 0)):
        dropped = Dropped()
        everything = [dataclasses.replace(m, charge=0) for m in read_spice(real_file(name))]
        for _ in selected(everything, read(SpiceSettings, SPICE, "data.spice"), dropped):
            pass
        assert dropped.conformations.get("bonds are not those of the smiles", 0) == expected


def test_bad_records_are_skipped_and_counted_where_the_config_says_so(tmp_path):
    spice_file(tmp_path / "a.hdf5")
    with h5py.File(tmp_path / "a.hdf5", "a") as file:
        file["molecule 0/conformations"][1, 2, 0] = np.nan
        file["molecule 1/conformations"][3, 1] = file["molecule 1/conformations"][3, 2]
    report = run(SPICE | {"bad_records": "skip"}, tmp_path / "out.h5", tmp_path)
    assert report["counts"]["conformations"] == 6
    assert report["dropped"] == {
        "atoms on top of each other": {"conformations": 1, "molecules": 1},
        "coordinates are not finite": {"conformations": 1, "molecules": 1},
    }


def test_official_splits_are_kept_as_they_are(tmp_path):
    (tmp_path / "train.xyz").write_text("".join(xyz_frame(METHANE, seed=k) for k in range(5)))
    test = [(METHANE, 9), (METHANE, 8), (WATER, 0), (METHANE, 7), (WATER, 1)]
    (tmp_path / "test.xyz").write_text("".join(xyz_frame(smiles, seed=k) for smiles, k in test))
    block = {
        "source": "mace_off",
        "files": [{"name": "train.xyz", "split": "train"}, {"name": "test.xyz", "split": "test"}],
    }
    report = run(block, tmp_path / "out.h5", tmp_path)
    assert (report["counts"]["train"], report["counts"]["test"]) == (5, 5)
    assert report["labels"] == "wB97M-D3(BJ)/def2-TZVPPD"
    store = ConformationStore(tmp_path / "out.h5")
    for split, frames in (("train", [(METHANE, k) for k in range(5)]), ("test", test)):
        inside = store.read(store.split_indices(split)).positions
        in_file = np.concatenate([conformations(smiles, 1, k)[0] for smiles, k in frames])
        np.testing.assert_allclose(inside, in_file, atol=1e-6)


def test_no_frame_of_an_official_split_is_lost_to_its_forces_where_max_force_is_null(tmp_path):
    violent = xyz_frame().replace("3.0\n", "90.0\n", 1)
    (tmp_path / "a.xyz").write_text(violent + xyz_frame())
    block = {
        "source": "mace_off",
        "files": [{"name": "a.xyz", "split": "train"}, {"name": "a.xyz", "split": "test"}],
    }
    counts = [
        run(block | limit, tmp_path / "out.h5", tmp_path)["counts"] for limit in ({}, {"max_force": None})
    ]
    assert [(count["train"], count["test"]) for count in counts] == [(1, 1), (2, 2)]


def test_the_split_takes_the_asked_share_of_molecules_in_any_order():
    names = [str(k) for k in range(200)]
    chosen = held_out(names, 0.05, seed=0)
    assert len(chosen) == 10
    assert chosen == held_out(names[::-1], 0.05, seed=0)
    assert chosen != held_out(names, 0.05, seed=1)
    assert len(held_out(names[:3], 0.01, seed=0)) == 1


def test_a_limit_on_conformations_spreads_over_the_file(tmp_path):
    spice_file(tmp_path / "a.hdf5", count=10)
    block = SPICE | {"files": [{"name": "a.hdf5", "conformations_per_molecule": 2}]}
    run(block, tmp_path / "out.h5", tmp_path)
    store = ConformationStore(tmp_path / "out.h5")
    (water,) = [k for k, name in enumerate(store.names) if name == "O"]
    kept = store.read(np.flatnonzero(store.molecule == water)).positions.reshape(2, 3, 3)
    np.testing.assert_allclose(kept, conformations(WATER, 10, seed=1)[[0, 5]], atol=1e-6)


def test_real_monomers_are_labelled(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    with h5py.File(real_file("des-monomers.hdf5")) as source, h5py.File(raw / "a.hdf5", "w") as file:
        for name in ("C", "CO", "CCO", "O", "[NH4+]"):
            if name in source:
                source.copy(name, file)
    block = {
        "source": "geometries",
        "files": [{"name": "a.hdf5", "conformations_per_molecule": 2}],
        "test_fraction": 0.3,
    }
    report = run(block, tmp_path / "out.h5", raw)
    assert report["failed"] == {}
    assert [file["name"] for file in ConformationStore(tmp_path / "out.h5").config["files"]] == ["a.hdf5"]
    assert report["counts"]["conformations"] >= 4
    assert 0.1 < report["force_std_eV_per_angstrom"] < 2


def fake_label(geometries):
    """Stands in for the quantum chemistry; fails at the molecule named `poison`."""
    if geometries.name == "poison":
        raise OSError("killed")
    m, n = geometries.positions.shape[:2]
    return Labelled(
        geometries.name, geometries.smiles, geometries.atomic_numbers, geometries.positions,
        np.zeros(m), np.zeros((m, n, 3)), {},
    )  # fmt: skip


def test_a_killed_labelling_goes_on_with_the_chunks_it_has(tmp_path, monkeypatch):
    numbers = np.array([8, 1, 1])
    tasks = [Geometries(f"{k:03d}", WATER, numbers, conformations(WATER, 1, k)) for k in range(40)]
    poisoned = [*tasks[:20], Geometries("poison", WATER, numbers, conformations(WATER, 1)), *tasks[21:]]
    made = []

    def counting(function, items, workers):
        for item in items:
            made.append(item.name)
            yield function(item)

    def label_chunks(tasks, on_done=lambda *_: None, version=1):
        work = tmp_path / "work"
        return chunks.finished_chunks(
            tasks, fake_label, prepare._write_chunk, work, {"v": version}, 1, on_done
        )

    monkeypatch.setattr(chunks, "map_in_processes", counting)
    with pytest.raises(OSError, match="killed"):
        label_chunks(poisoned)
    assert len(made) == 21
    done = []
    paths = label_chunks(tasks, lambda task, new: done.append((task.name, new)))
    assert len(paths) == 3
    assert made[21:] == [task.name for task in tasks[16:]]
    assert done == [(task.name, k >= 16) for k, task in enumerate(tasks)]
    label_chunks(tasks, version=2)
    assert len(made) == 21 + 24 + 40


def _square_or_die(x):
    if x < 0:
        import os

        os._exit(9)
    return x * x


def test_results_come_in_order_and_a_worker_that_dies_says_what_to_do():
    assert list(map_in_processes(_square_or_die, range(20), 2)) == [x * x for x in range(20)]
    with pytest.raises(WorkerKilledError, match="run the same command again, finished work is kept"):
        list(map_in_processes(_square_or_die, [1, -1], 1))


def test_the_command_writes_store_and_report_and_speaks_one_sentence_on_error(tmp_path, capsys):
    spice_file(tmp_path / "a.hdf5")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(SPICE))
    command = ["--config", str(tmp_path / "c.yaml"), "--out", str(tmp_path / "o.h5"), "--raw", str(tmp_path)]
    assert prepare.main(command) == 0
    assert "8 conformations of 2 molecules, 4 train, 4 test, 0 failed" in capsys.readouterr().out
    (tmp_path / "a.hdf5").unlink()
    assert prepare.main(command) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("error: SPICE file")
