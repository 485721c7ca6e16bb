"""Preparation, source by source: what ends in the store and in the report."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from data.fetch import read_pointer
from data.modelnet40.prepare import RAW_FOLDER, main, prepare
from data.modelnet40.settings import Modelnet40Settings
from data.modelnet40.store import CloudStore
from data.validation import read
from tests.data.modelnet40.raw_files import CLASSES, off_archive, random_clouds, release_archive, voxel_file

PARAMETRIC = {"source": "parametric", "points": 300, "train_per_class": 3, "test_per_class": 2}
VOXELS = {
    "source": "voxel_clouds",
    "points": 48,
    "files": [{"name": "train.npz", "split": "train"}, {"name": "test.npz", "split": "test"}],
}
HDF5 = {"source": "hdf5", "points": 300, "files": [{"name": "a.zip"}]}
OFF = {"source": "off", "points": 300, "files": [{"name": "a.zip"}]}


REAL = Path(os.environ.get("DATA_DIR", "../shared/data")) / "modelnet" / "modelnet10_vox24_test.npz"


def prepared(tmp_path, block, workers=1, name="out.h5"):
    report = prepare(read(Modelnet40Settings, block, "data.modelnet40"), tmp_path / name, tmp_path, workers)
    assert json.loads((tmp_path / f"{name}.report.json").read_text()) == json.loads(json.dumps(report))
    return CloudStore(tmp_path / name), report


def test_generated_shapes(tmp_path):
    store, report = prepared(tmp_path, PARAMETRIC)
    assert report["clouds"] == {"train": 3 * 16, "test": 2 * 16}
    assert report["best_accuracy_without_orientation"] == 0.5
    assert store.points == 300
    assert (store.dataset, store.up_axis) == ("generated shapes", "z")
    assert store.label[store.split_indices("test")[:16]].tolist() == list(range(16))


def test_generated_shapes_of_some_classes(tmp_path):
    store, report = prepared(tmp_path, PARAMETRIC | {"classes": ["table", "chair", "chair_tipped"]})
    assert store.classes == ("chair", "chair_tipped", "table")
    assert report["best_accuracy_without_orientation"] == pytest.approx(2 / 3)


def test_voxel_clouds_of_too_few_voxels_are_left_out(tmp_path):
    for split, seed in (("train", 0), ("test", 1)):
        voxel_file(tmp_path / f"{split}.npz", seed)
    store, report = prepared(tmp_path, VOXELS)
    assert report["clouds"] == {"train": 5, "test": 5}
    assert report["left_out"][0] == "train.npz row 5 (table) has 15 surface voxels, fewer than 16"
    assert len(report["left_out"]) == 2
    assert store.classes == CLASSES
    stored = random_clouds(6, 64, 0).astype(np.float16)[:5, :48].astype(np.float32)
    np.testing.assert_array_equal(store.read(store.split_indices("train")).points, stored)


def test_the_release_keeps_its_splits_its_labels_and_its_first_points(tmp_path):
    release_archive(tmp_path / "a.zip")
    store, report = prepared(tmp_path, HDF5 | {"classes": ["chair", "table", "sofa"]})
    assert report["clouds"] == {"train": 9, "test": 4}
    train = store.read(store.split_indices("train"))
    assert [store.classes[k] for k in train.label] == ["chair", "sofa", "table"] * 2 + [
        "table",
        "chair",
        "sofa",
    ]
    np.testing.assert_array_equal(train.points[:6], random_clouds(6, 2048, 0)[:, :300])
    assert "ply_data_train1.h5 row 2" in store.names
    assert store.up_axis == "y"


def test_the_release_has_forty_classes(tmp_path):
    release_archive(tmp_path / "a.zip")
    store, _ = prepared(tmp_path, HDF5)
    assert len(store.classes) == 40
    assert store.class_index("chair") == 8


def test_meshes_are_sampled_the_same_by_any_number_of_workers_and_in_any_folder(tmp_path):
    off_archive(tmp_path / "a.zip")
    one, report = prepared(tmp_path, OFF, 1)
    assert report["clouds"] == {"train": 6, "test": 3}
    assert one.classes == CLASSES
    (tmp_path / "elsewhere").mkdir()
    off_archive(tmp_path / "elsewhere" / "a.zip")
    two, _ = prepared(tmp_path / "elsewhere", OFF, 2)
    np.testing.assert_array_equal(one.read(range(9)).points, two.read(range(9)).points)
    other, _ = prepared(tmp_path, OFF | {"seed": 1}, 1, "other.h5")
    assert not np.array_equal(one.read(range(9)).points, other.read(range(9)).points)


def test_validation_is_a_stratified_share_of_train_and_leaves_test_alone(tmp_path):
    block = PARAMETRIC | {"train_per_class": 8, "classes": ["chair", "cup", "lamp"]}
    plain, _ = prepared(tmp_path, block)
    split, report = prepared(tmp_path, block | {"validation_fraction": 0.25}, name="split.h5")
    assert report["clouds_by_class"]["validation"] == {"chair": 2, "cup": 2, "lamp": 2}
    assert report["clouds_by_class"]["train"] == {"chair": 6, "cup": 6, "lamp": 6}
    for store in (plain, split):
        assert len(store.split_indices("test")) == 6
    np.testing.assert_array_equal(
        plain.read(plain.split_indices("test")).points, split.read(split.split_indices("test")).points
    )
    assert sorted(plain.names) == sorted(split.names)


def test_bad_shapes_are_skipped_and_told_when_asked(tmp_path):
    off_archive(tmp_path / "a.zip", {"ModelNet40/chair/train/chair_0001.off": b"OFF\n0 0 0\n"})
    _, report = prepared(tmp_path, OFF | {"bad_records": "skip"})
    assert report["clouds"] == {"train": 5, "test": 3}
    (reason,) = report["left_out"]
    assert reason.endswith("chair_0001.off is an empty mesh: 0 vertices and 0 faces")


def test_the_command_prepares_and_tells(tmp_path, capsys):
    (tmp_path / "block.yaml").write_text(yaml.safe_dump(PARAMETRIC | {"classes": ["chair", "cup"]}))
    arguments = ["--config", str(tmp_path / "block.yaml"), "--out", str(tmp_path / "a.h5"), "--workers", "1"]
    assert main(arguments) == 0
    assert "6 train, 4 test clouds of generated shapes, 0 left out" in capsys.readouterr().out
    (tmp_path / "block.yaml").write_text("{source: nowhere, points: 9}")
    assert main(arguments) == 1
    assert capsys.readouterr().err.startswith("error: data.modelnet40: source must be one of")


@pytest.mark.skipif(not REAL.exists(), reason=f"no {REAL}: set DATA_DIR")
def test_the_real_voxel_clouds(tmp_path):
    voxel_file(tmp_path / "train.npz", class_names=np.array(["chair", "sofa", "bed"]))
    (tmp_path / "test.npz").symlink_to(REAL.resolve())
    store, report = prepared(tmp_path, VOXELS)
    counts = report["clouds_by_class"]["test"]
    assert (counts["bathtub"], counts["chair"], counts["desk"], counts["dresser"]) == (50, 100, 85, 86)
    assert report["clouds"]["test"] == 907
    assert store.read([0]).points.dtype == np.float32


def test_every_raw_file_is_held_to_a_checksum():
    pointers = [read_pointer(path) for path in sorted((Path(__file__).parents[3] / RAW_FOLDER).glob("*.dvc"))]
    assert len(pointers) == 4
    for pointer in pointers:
        assert pointer.md5
        assert pointer.path.name == f"{pointer.target.name}.dvc"
        assert bool(pointer.origin) == pointer.target.name.startswith(("ModelNet40", "modelnet40"))
