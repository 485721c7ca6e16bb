"""The packed store gives back what it was given, by molecule and by conformer, through memory maps."""

import dataclasses
import json
import pickle

import h5py
import numpy as np
import pytest

from data.errors import DataError
from data.geom_drugs.store import Ensemble, Ensembles, write_store

PROVENANCE = {"source": "test", "dataset": "made up", "energy_level": "none", "config": {"seed": 1}}


def chain(n: int, k: int, seed: int, split: str = "train") -> Ensemble:
    """A chain of n atoms of random elements with k random conformers, the last the heaviest."""
    rng = np.random.default_rng(seed)
    energies = np.arange(k, dtype=float)[::-1]
    return Ensemble(
        smiles=f"chain {seed}",
        atomic_numbers=rng.integers(1, 18, n).astype(np.uint8),
        formal_charges=rng.integers(-1, 2, n).astype(np.int8),
        chirality=rng.integers(0, 3, n).astype(np.uint8),
        bonds=np.stack([np.arange(n - 1), np.arange(1, n)], 1),
        bond_orders=np.ones(n - 1, np.uint8),
        bond_stereo=np.zeros(n - 1, np.uint8),
        positions=rng.standard_normal((k, n, 3)),
        energies=energies,
        weights=np.exp(-energies) / np.exp(-energies).sum(),
        same_graph=rng.random(k) < 0.5,
        split=split,
    )


@pytest.fixture
def ensembles() -> list[Ensemble]:
    return [
        chain(5, 3, 0, "train"),
        chain(2, 1, 1, "test"),
        chain(9, 4, 2, "train"),
        chain(3, 2, 3, "validation"),
    ]


@pytest.fixture
def store(tmp_path, ensembles) -> Ensembles:
    write_store(tmp_path / "x.h5", ensembles, **PROVENANCE)
    return Ensembles(tmp_path / "x.h5")


def test_every_molecule_comes_back_with_its_conformers_by_falling_weight(store, ensembles):
    assert len(store) == 4
    assert store.conformers == 10
    assert store.counts.tolist() == [5, 2, 9, 3]
    assert store.smiles == [ensemble.smiles for ensemble in ensembles]
    for row, given in enumerate(ensembles):
        back = store.ensemble(row)
        assert (back.smiles, back.split) == (given.smiles, given.split)
        for name in ("atomic_numbers", "formal_charges", "chirality", "bonds", "bond_orders", "bond_stereo"):
            assert np.array_equal(getattr(back, name), getattr(given, name)), name
        for name in ("energies", "weights", "same_graph"):
            assert np.array_equal(getattr(back, name), getattr(given, name)[::-1]), name
        assert np.array_equal(back.positions, given.positions[::-1].astype(np.float32))
        assert np.array_equal(store.elements(row), given.atomic_numbers)


def test_conformers_are_read_in_the_order_asked_for(store, ensembles):
    asked = [9, 0, 4, 0]
    batch = store.read(asked)
    assert batch.molecule.tolist() == [3, 0, 2, 0]
    assert batch.counts.tolist() == [3, 5, 9, 5]
    assert len(batch) == 4
    starts = np.cumsum(batch.counts) - batch.counts
    heaviest = ensembles[2].positions[-1].astype(np.float32)
    assert np.array_equal(batch.positions[starts[2] : starts[2] + 9], heaviest)
    assert np.array_equal(batch.atomic_numbers[starts[2] : starts[2] + 9], ensembles[2].atomic_numbers)
    assert len(store.read([]).positions) == 0


def test_a_split_lists_one_conformer_of_every_molecule_before_the_second_of_any(store):
    assert store.split_molecules("train").tolist() == [0, 2]
    assert store.split_conformers("train").tolist() == [0, 4, 1, 5, 2, 6, 7]
    assert store.split_conformers("train", at_most=2).tolist() == [0, 4, 1, 5]
    assert store.split_conformers("test").tolist() == [3]


def test_arrays_are_mapped_and_the_store_pickles_as_its_path(store):
    again = pickle.loads(pickle.dumps(store))
    assert len(pickle.dumps(store)) < 500
    assert isinstance(again.positions, np.memmap)
    assert np.array_equal(again.positions, store.positions)
    assert again.config == {"seed": 1}


def test_the_digest_names_the_content_and_nothing_else(tmp_path, ensembles, store):
    write_store(tmp_path / "y.h5", ensembles, **{**PROVENANCE, "source": "another"})
    assert Ensembles(tmp_path / "y.h5").digest == store.digest
    write_store(tmp_path / "z.h5", [*ensembles[:3], chain(3, 2, 4, "test")], **PROVENANCE)
    assert Ensembles(tmp_path / "z.h5").digest != store.digest


def test_a_store_may_be_empty_where_no_split_is_asked_for(tmp_path):
    counts = write_store(tmp_path / "x.h5", [], **PROVENANCE, splits=())
    store = Ensembles(tmp_path / "x.h5")
    assert (len(store), store.conformers, counts["atoms"]) == (0, 0, 0)
    assert store.positions.shape == (0, 3)


def test_a_killed_writing_leaves_no_store(tmp_path, ensembles):
    def dying():
        yield ensembles[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_store(tmp_path / "x.h5", dying(), **PROVENANCE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"positions": np.zeros((0, 5, 3)), "energies": [], "weights": [], "same_graph": []},
            "has no conformer",
        ),
        (
            {"positions": np.full((3, 5, 3), np.nan)},
            "conformer 0 has coordinates of atom 0 that are not numbers",
        ),
        ({"weights": np.ones(2)}, r"has weights of shape \(2,\), not \(3,\)"),
    ],
)
def test_an_ensemble_that_makes_no_sense_is_refused(tmp_path, ensembles, change, message):
    with pytest.raises(DataError, match=message):
        write_store(tmp_path / "x.h5", [dataclasses.replace(ensembles[0], **change)], **PROVENANCE)


def test_a_store_that_lacks_a_split_is_refused(tmp_path):
    with pytest.raises(DataError, match="no molecule is left for the train split"):
        write_store(tmp_path / "x.h5", [chain(3, 1, 0, "test")], **PROVENANCE)
    with pytest.raises(DataError, match="no molecule is left for the test split"):
        write_store(tmp_path / "x.h5", [chain(3, 1, 0)], **PROVENANCE, splits=("train", "test"))


def test_other_files_are_refused(tmp_path, store):
    with pytest.raises(DataError, match=r"does not exist: prepare it with python -m data.geom_drugs.prepare"):
        Ensembles(tmp_path / "absent.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(DataError, match="cannot be read"):
        Ensembles(tmp_path / "text.h5")
    with h5py.File(store.path, "r+") as file:
        file.attrs["format"] = "ensemble-store-0"
    with pytest.raises(DataError, match="is not of format ensemble-store-1"):
        Ensembles(store.path)


def test_units_and_provenance_are_in_the_file(store):
    with h5py.File(store.path) as file:
        assert file["positions"].attrs["units"] == "angstrom"
        assert file["energies"].attrs["units"] == "kcal/mol"
        assert json.loads(file.attrs["config"]) == {"seed": 1}
    assert (store.source, store.dataset, store.energy_level) == ("test", "made up", "none")
