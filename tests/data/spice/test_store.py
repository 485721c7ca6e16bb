"""The packed store gives back what was written, in the promised order, and never leaves half a file."""

import dataclasses
import pickle

import h5py
import numpy as np
import pytest

from data.errors import DataError
from data.spice.store import ConformationStore, LabelledMolecule, write_store


def molecules(count=12, conformations=3, seed=0, split=None):
    rng = np.random.default_rng(seed)
    for k in range(count):
        n = int(rng.integers(2, 9))
        yield LabelledMolecule(
            molecule=f"molecule {k}",
            atomic_numbers=rng.integers(1, 10, n),
            positions=rng.normal(size=(conformations, n, 3)),
            forces=rng.normal(size=(conformations, n, 3)),
            energy=rng.normal(size=conformations),
            split=split,
        )


def hold_out(names):
    return set(names[::3])


def write(path, items, **options):
    options = {
        "labels": "GFN2-xTB",
        "source": "test",
        "config": {"seed": 1},
        "test_molecules": hold_out,
    } | options
    return write_store(path, items, **options)


def test_every_conformation_comes_back_with_its_labels(tmp_path):
    counts = write(tmp_path / "a.h5", molecules())
    store = ConformationStore(tmp_path / "a.h5")
    written = {item.molecule: item for item in molecules()}
    assert len(store) == counts["conformations"] == 36
    names, seen = store.names, {}
    for c in range(len(store)):
        item = written[names[store.molecule[c]]]
        k = seen.setdefault(item.molecule, 0)
        seen[item.molecule] += 1
        one = store.read([c])
        np.testing.assert_array_equal(one.positions, item.positions[k].astype(np.float32))
        np.testing.assert_array_equal(one.forces, item.forces[k].astype(np.float32))
        np.testing.assert_array_equal(one.atomic_numbers, item.atomic_numbers)
        np.testing.assert_array_equal(one.energy, item.energy[k : k + 1])
    assert (store.labels, store.config) == ("GFN2-xTB", {"seed": 1})


def test_a_read_concatenates_in_the_order_asked_for_and_allows_repeats(tmp_path):
    write(tmp_path / "a.h5", molecules())
    store = ConformationStore(tmp_path / "a.h5")
    batch = store.read([7, 0, 7])
    parts = [store.read([c]) for c in (7, 0, 7)]
    for field in ("positions", "forces", "atomic_numbers", "counts", "energy"):
        np.testing.assert_array_equal(
            getattr(batch, field), np.concatenate([getattr(p, field) for p in parts])
        )
    assert len(store.read([])) == 0


def test_statistics_are_those_of_the_train_split(tmp_path):
    write(tmp_path / "a.h5", molecules())
    store = ConformationStore(tmp_path / "a.h5")
    train = store.read(store.split_indices("train"))
    assert store.energy_mean == pytest.approx(train.energy.mean())
    assert store.energy_std == pytest.approx(train.energy.std())
    assert store.force_std == pytest.approx(np.sqrt(np.mean(train.forces.astype(float) ** 2)))


def test_no_molecule_is_in_both_splits_and_the_test_split_starts_with_one_of_each(tmp_path):
    write(tmp_path / "a.h5", molecules())
    store = ConformationStore(tmp_path / "a.h5")
    train, test = (store.molecule[store.split_indices(split)] for split in ("train", "test"))
    assert not set(train) & set(test)
    assert len(set(test[:4])) == len(set(test)) == 4


def test_declared_splits_are_kept_even_where_a_molecule_is_in_both(tmp_path):
    items = [*molecules(count=2, split="train"), *molecules(count=2, seed=5, split="test")]
    counts = write(tmp_path / "a.h5", items, test_molecules=None)
    assert (counts["train"], counts["test"], counts["molecules"]) == (6, 6, 2)


def test_declared_splits_keep_the_order_in_which_they_came(tmp_path):
    items = [
        *molecules(count=9, split="train"),
        *molecules(count=9, seed=5, split="test"),
        *molecules(seed=7),
    ]
    write(tmp_path / "a.h5", items)
    store = ConformationStore(tmp_path / "a.h5")
    for split, first in (("train", items[:9]), ("test", items[9:18])):
        declared = np.concatenate([item.energy for item in first])
        np.testing.assert_array_equal(store.energy[store.split_indices(split)][: len(declared)], declared)


def digest_of(path, items, **options):
    write(path, items, **options)
    return ConformationStore(path).digest


def test_the_digest_is_of_the_content_whatever_the_path_and_config(tmp_path):
    one = digest_of(tmp_path / "a.h5", molecules())
    other = digest_of(
        tmp_path / "folder/b.h5", molecules(), config={"seed": 2}, labels="other", source="other"
    )
    assert one == other
    assert len(one) == 32


@pytest.mark.parametrize("array", ["positions", "forces", "energy", "atomic_numbers"])
def test_the_digest_changes_with_the_last_number_of_an_array(tmp_path, array):
    items = list(molecules())
    changed = getattr(items[-1], array).copy()
    changed.flat[-1] += 1
    others = [*items[:-1], dataclasses.replace(items[-1], **{array: changed})]
    assert digest_of(tmp_path / "a.h5", items) != digest_of(tmp_path / "b.h5", others)


def test_the_digest_changes_with_splits_and_order(tmp_path):
    items = list(molecules())
    variants = {
        "as they are": (items, hold_out),
        "another split": (items, lambda names: set(names[1::3])),
        "molecules in another order": (items[::-1], lambda names: hold_out(names[::-1])),
        "conformations in another order": (
            [
                dataclasses.replace(
                    item, positions=item.positions[::-1], forces=item.forces[::-1], energy=item.energy[::-1]
                )
                for item in items
            ],
            hold_out,
        ),
    }
    digests = {
        digest_of(tmp_path / "a.h5", given, test_molecules=chosen) for given, chosen in variants.values()
    }
    assert len(digests) == len(variants)


def test_a_store_survives_pickling(tmp_path):
    write(tmp_path / "a.h5", molecules())
    store = ConformationStore(tmp_path / "a.h5")
    copy = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(copy.read([3, 5]).positions, store.read([3, 5]).positions)


def test_writing_twice_gives_the_same_bytes(tmp_path):
    for name in ("a.h5", "b.h5"):
        write(tmp_path / name, molecules())
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_a_source_that_fails_midway_leaves_nothing_behind(tmp_path):
    def failing():
        yield from molecules(count=3)
        raise DataError("broken input")

    with pytest.raises(DataError, match="broken input"):
        write(tmp_path / "a.h5", failing())
    assert list(tmp_path.iterdir()) == []


def test_an_empty_split_is_refused(tmp_path):
    with pytest.raises(DataError, match="no conformation is left for the test split"):
        write(tmp_path / "a.h5", molecules(), test_molecules=None)
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_foreign_or_missing_store_is_named_with_its_remedy(tmp_path):
    path = tmp_path / "a.h5"
    with pytest.raises(DataError, match=r"a\.h5 does not exist: prepare it"):
        ConformationStore(path)
    write(path, molecules())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"a\.h5 cannot be read .*: delete it and prepare it again"):
        ConformationStore(path)
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(DataError, match=r"a\.h5 is not of format"):
        ConformationStore(path)
