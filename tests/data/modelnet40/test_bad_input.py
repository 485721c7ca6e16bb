"""Bad input: one sentence that names file, record and remedy, and nothing half-written."""

import numpy as np
import pytest

from data.errors import DataError
from data.modelnet40.prepare import prepare
from data.modelnet40.settings import Modelnet40Settings
from data.validation import read
from tests.data.modelnet40.raw_files import (
    TETRAHEDRON,
    hdf5_bytes,
    off_archive,
    random_clouds,
    release_archive,
    voxel_file,
)
from tests.data.modelnet40.test_prepare import HDF5, OFF, PARAMETRIC, VOXELS

ONE_VOXEL_FILE = VOXELS | {"files": [{"name": "a.npz", "split": "train"}]}


def refusal(tmp_path, block):
    """The sentence with which `prepare` refuses; checks that it leaves nothing but the raw files."""
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(DataError) as caught:
        prepare(read(Modelnet40Settings, block, "data.modelnet40"), tmp_path / "out.h5", tmp_path, 1)
    assert {path.name for path in tmp_path.iterdir()} == before
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


# ---- clouds


def spoilt(row, value):
    clouds = random_clouds(6, 64, 0)
    clouds[row, 5] = value
    return clouds


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_cloud_with_a_coordinate_that_is_no_number(tmp_path, value):
    voxel_file(tmp_path / "a.npz", points=spoilt(2, value))
    sentence = refusal(tmp_path, ONE_VOXEL_FILE)
    assert sentence.startswith(f"cloud file {tmp_path}/a.npz row 2 has a coordinate that is not a number")
    assert "bad_records" in sentence


def test_a_bad_point_beyond_those_that_are_kept_is_found_too(tmp_path):
    clouds = random_clouds(6, 64, 0)
    clouds[1, 60] = np.nan
    voxel_file(tmp_path / "a.npz", points=clouds)
    assert "a.npz row 1 has a coordinate that is not a number" in refusal(tmp_path, ONE_VOXEL_FILE)


def test_a_cloud_with_too_few_points(tmp_path):
    voxel_file(tmp_path / "a.npz")
    sentence = refusal(tmp_path, ONE_VOXEL_FILE | {"points": 300})
    assert sentence.endswith(
        "a.npz row 0 has 64 points, fewer than data.modelnet40.points 300: ask for fewer"
    )


def test_a_cloud_with_all_its_points_at_one_place(tmp_path):
    voxel_file(tmp_path / "a.npz", points=np.zeros((6, 64, 3), np.float16))
    assert "a.npz row 0 has all its points at one place" in refusal(tmp_path, ONE_VOXEL_FILE)


@pytest.mark.parametrize("block", [VOXELS, ONE_VOXEL_FILE])
def test_a_missing_cloud_file_has_no_public_origin(tmp_path, block):
    sentence = refusal(tmp_path, block)
    assert "does not exist: it has no public origin; data/modelnet40/README.md says where" in sentence


@pytest.mark.parametrize("name", ["points", "label", "class_names", "surface_voxels"])
def test_a_cloud_file_without_an_array(tmp_path, name):
    voxel_file(tmp_path / "a.npz", **{name: None})
    assert f"a.npz has no array '{name}': bring it again" in refusal(tmp_path, ONE_VOXEL_FILE)


def test_a_truncated_cloud_file(tmp_path):
    path = voxel_file(tmp_path / "a.npz")
    path.write_bytes(path.read_bytes()[:500])
    assert "a.npz is truncated or not an npz file" in refusal(tmp_path, ONE_VOXEL_FILE)


def test_a_cloud_file_with_pickles_is_not_opened(tmp_path):
    voxel_file(tmp_path / "a.npz", class_names=np.array(["chair", None], dtype=object))
    assert "a.npz is truncated or not an npz file (Object arrays cannot be loaded" in refusal(
        tmp_path, ONE_VOXEL_FILE
    )


def test_a_cloud_file_with_arrays_of_different_lengths(tmp_path):
    voxel_file(tmp_path / "a.npz", label=np.zeros(5, np.uint8))
    assert "a.npz has arrays of different lengths" in refusal(tmp_path, ONE_VOXEL_FILE)


def test_a_cloud_of_an_unknown_class(tmp_path):
    voxel_file(tmp_path / "a.npz", class_names=np.array(["chair", "boat", "table"]))
    assert "a.npz row 1 is of the unknown class 'boat'" in refusal(tmp_path, ONE_VOXEL_FILE)
    voxel_file(tmp_path / "a.npz", class_names=np.array(["chair", "table"]))
    assert "a.npz has the unknown class 2: it names 2 classes" in refusal(tmp_path, ONE_VOXEL_FILE)


def test_a_source_without_a_test_split(tmp_path):
    voxel_file(tmp_path / "a.npz")
    assert "no cloud is left for the test split" in refusal(tmp_path, ONE_VOXEL_FILE)


# ---- archives


@pytest.mark.parametrize("block", [HDF5, OFF])
def test_a_missing_archive(tmp_path, block):
    assert refusal(tmp_path, block).endswith(
        f"does not exist: fetch it with python -m data.fetch {tmp_path}/a.zip.dvc"
    )


@pytest.mark.parametrize(("block", "archive"), [(HDF5, release_archive), (OFF, off_archive)])
def test_a_truncated_archive(tmp_path, block, archive):
    path = archive(tmp_path / "a.zip")
    path.write_bytes(path.read_bytes()[:-100])
    sentence = refusal(tmp_path, block)
    assert f"archive {path} is truncated or not a zip file" in sentence
    assert sentence.endswith("delete it and fetch it again")


def test_an_archive_of_something_else(tmp_path):
    off_archive(tmp_path / "a.zip")
    assert "a.zip has no shape_names.txt: it is not the HDF5 release" in refusal(tmp_path, HDF5)
    release_archive(tmp_path / "a.zip")
    assert "a.zip has no <class>/train/*.off" in refusal(tmp_path, OFF)


@pytest.mark.parametrize("member", ["shape_names.txt", "test_files.txt", "ply_data_train1.h5"])
def test_a_release_without_a_member(tmp_path, member):
    release_archive(tmp_path / "a.zip", {member: None})
    assert f"a.zip has no {member}: it is not the HDF5 release" in refusal(tmp_path, HDF5)


def test_a_release_with_a_truncated_hdf5_file(tmp_path):
    content = hdf5_bytes(random_clouds(3, 2048, 0), np.zeros(3, np.uint8))
    release_archive(tmp_path / "a.zip", {"ply_data_train1.h5": content[:-4000]})
    assert "a.zip: ply_data_train1.h5 is truncated or not HDF5" in refusal(tmp_path, HDF5)


@pytest.mark.parametrize("name", ["data", "label"])
def test_a_release_without_a_dataset(tmp_path, name):
    content = hdf5_bytes(random_clouds(3, 2048, 0), np.zeros(3, np.uint8), without=name)
    release_archive(tmp_path / "a.zip", {"ply_data_train1.h5": content})
    assert f"ply_data_train1.h5 has no dataset '{name}'" in refusal(tmp_path, HDF5)


@pytest.mark.parametrize(
    ("points", "label", "sentence"),
    [
        ((3, 2048, 3), [0, 1], r"has points of shape (3, 2048, 3) and labels of shape (2,)"),
        ((3, 2048), [0, 1, 2], r"has points of shape (3, 2048) and labels of shape (3,)"),
        ((3, 2048, 3), [0, 1, 40], "has the unknown class 40: shape_names.txt has 40 classes"),
        ((3, 200, 3), [0, 1, 2], "row 0 has 200 points, fewer than data.modelnet40.points 300"),
    ],
)
def test_a_release_that_contradicts_itself(tmp_path, points, label, sentence):
    content = hdf5_bytes(np.random.default_rng(0).normal(size=points), np.array(label, np.uint8))
    release_archive(tmp_path / "a.zip", {"ply_data_train1.h5": content})
    assert f"a.zip: ply_data_train1.h5 {sentence}" in refusal(tmp_path, HDF5)


@pytest.mark.parametrize(
    ("mesh", "sentence"),
    [
        (b"OFF\n0 0 0\n", "is an empty mesh: 0 vertices and 0 faces"),
        (TETRAHEDRON[:-16], "is truncated: it announces 4 vertices and 4 faces and has 6 lines of them"),
        (
            b"OFF\n3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n",
            "has only degenerate triangles: its surface has no area",
        ),
        (TETRAHEDRON.replace(b"0 1 0", b"0 nan 0"), "has a vertex that is not a number"),
    ],
)
def test_a_mesh_that_is_none_is_named(tmp_path, mesh, sentence):
    off_archive(tmp_path / "a.zip", {"ModelNet40/sofa/test/sofa_0003.off": mesh})
    assert refusal(tmp_path, OFF).endswith(f"a.zip: ModelNet40/sofa/test/sofa_0003.off {sentence}")


def test_a_mesh_of_an_unknown_class(tmp_path):
    off_archive(tmp_path / "a.zip", {"ModelNet40/boat/train/boat_0001.off": TETRAHEDRON})
    assert "boat_0001.off is of the unknown class 'boat'" in refusal(tmp_path, OFF)


# ---- configuration


@pytest.mark.parametrize(
    ("block", "sentence"),
    [
        (None, "data.modelnet40: the whole must be of type object"),
        (PARAMETRIC | {"point": 3}, "point is not a known key: did you mean points?"),
        (
            PARAMETRIC | {"source": "ply"},
            "source must be one of parametric, voxel_clouds, hdf5, off, not 'ply'",
        ),
        (PARAMETRIC | {"points": 0}, "points: 0 is less than the minimum of 1"),
        (PARAMETRIC | {"points": 4096}, "points: 4096 is greater than the maximum of 2048"),
        (PARAMETRIC | {"classes": ["boat"]}, "classes has 'boat', which source parametric does not know"),
        (HDF5 | {"classes": ["cup_upturned"]}, "classes has 'cup_upturned', which source hdf5 does not know"),
        (PARAMETRIC | {"classes": ["cup", "cup"]}, "classes names a class twice"),
        (PARAMETRIC | {"test_per_class": None}, "parametric needs test_per_class"),
        (OFF | {"files": []}, "source off needs files"),
        (VOXELS | {"files": [{"name": "a.npz"}]}, "voxel_clouds needs a split, train or test, for each"),
        (OFF | {"files": [{"file": "a.zip"}]}, "files.0.file is not a known key"),
        (
            PARAMETRIC | {"validation_fraction": 1.0},
            "validation_fraction: 1.0 is greater than or equal to the maximum of 1",
        ),
        (PARAMETRIC | {"bad_records": "ignore"}, "bad_records must be one of refuse, skip, not 'ignore'"),
    ],
)
def test_configurations_that_make_no_sense(block, sentence):
    with pytest.raises(DataError) as caught:
        read(Modelnet40Settings, block, "data.modelnet40")
    assert sentence in str(caught.value)
