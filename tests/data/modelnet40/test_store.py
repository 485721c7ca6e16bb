"""The packed store gives back what was written, in the promised order, and never leaves half a file."""

import pickle

import h5py
import numpy as np
import pytest

from data.errors import DataError
from data.modelnet40.clouds import LabelledCloud
from data.modelnet40.store import CloudStore, write_store

CLASSES = ("chair", "table")


def clouds(train=5, test=4, validation=0, points=32):
    rng = np.random.default_rng(0)
    for split, count in (("test", test), ("train", train), ("validation", validation)):
        for name in CLASSES:
            for k in range(count):
                called = f"{name} {split} {k}"
                yield LabelledCloud(f"file: {called}", called, name, split, rng.normal(size=(points, 3)))


def write(path, items, classes=CLASSES):
    return write_store(
        path,
        list(items),
        classes=classes,
        source="off",
        dataset="test shapes",
        pose="canonical",
        up_axis="z",
        config={"seed": 1},
    )


def test_every_cloud_comes_back_with_its_label(tmp_path):
    counts = write(tmp_path / "a.h5", clouds())
    store = CloudStore(tmp_path / "a.h5")
    written = {cloud.name: cloud for cloud in clouds()}
    assert counts == {"train": {"chair": 5, "table": 5}, "test": {"chair": 4, "table": 4}}
    assert sorted(store.names) == sorted(written)
    batch = store.read(range(len(store)))
    for row, name in enumerate(store.names):
        np.testing.assert_array_equal(batch.points[row], written[name].points.astype(np.float32))
        assert store.classes[batch.label[row]] == written[name].class_name
    assert (store.source, store.dataset, store.pose, store.up_axis) == (
        "off",
        "test shapes",
        "canonical",
        "z",
    )
    assert store.config == {"seed": 1}


def test_a_read_keeps_the_order_asked_for_allows_repeats_and_takes_the_first_points(tmp_path):
    write(tmp_path / "a.h5", clouds())
    store = CloudStore(tmp_path / "a.h5")
    batch = store.read([7, 0, 7], points=10)
    assert batch.points.shape == (3, 10, 3)
    assert batch.points.dtype == np.float32
    for row, k in enumerate([7, 0, 7]):
        np.testing.assert_array_equal(batch.points[row], store.read([k]).points[0, :10])
    assert len(store.read([])) == 0


def test_train_comes_first_and_the_head_of_the_other_splits_has_every_class(tmp_path):
    write(tmp_path / "a.h5", clouds(validation=2))
    store = CloudStore(tmp_path / "a.h5")
    assert store.split_indices("train").tolist() == list(range(10))
    assert store.label[store.split_indices("test")].tolist() == [0, 1] * 4
    assert store.label[store.split_indices("validation")].tolist() == [0, 1] * 2


def test_a_store_pickles_as_its_path(tmp_path):
    write(tmp_path / "a.h5", clouds())
    store = CloudStore(tmp_path / "a.h5")
    content = pickle.dumps(store)
    assert len(content) < 1000
    np.testing.assert_array_equal(pickle.loads(content).read([3]).points, store.read([3]).points)


def test_a_class_is_found_by_name(tmp_path):
    write(tmp_path / "a.h5", clouds())
    store = CloudStore(tmp_path / "a.h5")
    assert store.class_index("table") == 1
    with pytest.raises(DataError, match=r"has no class 'boat': it has chair, table$"):
        store.class_index("boat")


def test_more_points_than_stored(tmp_path):
    write(tmp_path / "a.h5", clouds())
    with pytest.raises(DataError, match=r"has 32 points per cloud, fewer than the 300 asked for: prepare it"):
        CloudStore(tmp_path / "a.h5").read([0], points=300)


def test_a_cloud_of_an_unknown_class(tmp_path):
    with pytest.raises(
        DataError, match=r"file: table test 0 is of class 'table', which is not one of chair$"
    ):
        write(tmp_path / "a.h5", clouds(), ("chair",))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_split(tmp_path, split):
    with pytest.raises(DataError, match=f"no cloud is left for the {split} split"):
        write(tmp_path / "a.h5", clouds(**{split: 0}))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_nothing(tmp_path):
    odd = LabelledCloud("odd", "odd", "chair", "train", np.zeros((7, 3)))
    with pytest.raises(TypeError):
        write(tmp_path / "a.h5", [*clouds(), odd])
    assert list(tmp_path.iterdir()) == []


def test_stores_that_cannot_be_read(tmp_path):
    path = tmp_path / "a.h5"
    with pytest.raises(DataError, match="does not exist: prepare it with"):
        CloudStore(path)
    with h5py.File(path, "w"):
        pass
    with pytest.raises(DataError, match="is not of format"):
        CloudStore(path)
    write(path, clouds())
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(DataError, match=r"cannot be read .* delete it and prepare it again"):
        CloudStore(path)


def test_the_digest_tells_contents_apart(tmp_path):
    for name, points in (("a", 32), ("same", 32), ("other", 31)):
        write(tmp_path / f"{name}.h5", clouds(points=points))
    digest = {name: CloudStore(tmp_path / f"{name}.h5").digest for name in ("a", "same", "other")}
    assert digest["a"] == digest["same"] != digest["other"]
