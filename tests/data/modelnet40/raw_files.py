"""Tiny files of the schemas that data/modelnet40 reads."""

import io
import zipfile
from pathlib import Path

import h5py
import numpy as np

from data.modelnet40.classes import MODELNET40

TETRAHEDRON = b"OFF\n4 4 6\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"
CLASSES = ("chair", "sofa", "table")


def off_archive(path: Path, meshes: dict[str, bytes] | None = None) -> Path:
    """A zip laid out as Princeton's. meshes: OFF files to add or replace, by name in the archive."""
    content = {"ModelNet40/README.txt": b"", "__MACOSX/ModelNet40/chair/train/._chair_0001.off": b"\x00"}
    for name in CLASSES:
        for split, k in (("train", 1), ("train", 2), ("test", 3)):
            content[f"ModelNet40/{name}/{split}/{name}_{k:04d}.off"] = TETRAHEDRON
    with zipfile.ZipFile(path, "w") as file:
        for name, text in (content | (meshes or {})).items():
            file.writestr(name, text)
    return path


def hdf5_bytes(points: np.ndarray, label: np.ndarray, without: str | None = None) -> bytes:
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        for name, values in (("data", points), ("label", label)):
            if name != without:
                file[name] = values
    return memory.getvalue()


def random_clouds(count: int, points: int, seed: int) -> np.ndarray:
    clouds = np.random.default_rng(seed).normal(size=(count, points, 3)).astype(np.float32)
    return clouds / np.linalg.norm(clouds, axis=-1).max()


def release_archive(path: Path, members: dict[str, bytes | None] | None = None) -> Path:
    """A zip laid out as the HDF5 release: 6 + 3 train and 4 test clouds. members: replaced; None: left out."""
    folder = "modelnet40_ply_hdf5_2048/"
    labels = {"train0": [8, 30, 33, 8, 30, 33], "train1": [33, 8, 30], "test0": [8, 30, 33, 8]}
    content = {
        "shape_names.txt": "\n".join(MODELNET40).encode() + b"\n",
        "train_files.txt": b"data/modelnet40_ply_hdf5_2048/ply_data_train0.h5\n"
        b"data/modelnet40_ply_hdf5_2048/ply_data_train1.h5\n",
        "test_files.txt": b"data/modelnet40_ply_hdf5_2048/ply_data_test0.h5\n",
    }
    for k, (part, label) in enumerate(labels.items()):
        clouds = random_clouds(len(label), 2048, k)
        content[f"ply_data_{part}.h5"] = hdf5_bytes(clouds, np.array(label, dtype=np.uint8)[:, None])
    with zipfile.ZipFile(path, "w") as file:
        for name, text in (content | (members or {})).items():
            if text is not None:
                file.writestr(folder + name, text)
    return path


def voxel_file(path: Path, seed: int = 0, **changed) -> Path:
    """An npz like shared/data/modelnet: six clouds of 64 points, the last from too few voxels. None: left out."""
    arrays = {
        "points": random_clouds(6, 64, seed).astype(np.float16),
        "label": np.array([0, 1, 2, 0, 1, 2], dtype=np.uint8),
        "class_names": np.array(CLASSES),
        "source_index": np.arange(6),
        "surface_voxels": np.array([90, 80, 70, 60, 16, 15]),
    }
    arrays = {name: array for name, array in (arrays | changed).items() if array is not None}
    np.savez(path, **arrays)
    return path
