"""The HDF5 release modelnet40_ply_hdf5_2048.zip: 2048 points per shape, 9840 train and 2468 test shapes.

`train_files.txt`, `test_files.txt` name the HDF5 files of each split, `shape_names.txt` the classes by label.
The zip is not unpacked; its points are kept as they are, in file order (spec vn_pointnet.md 2.2).
"""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import h5py
import numpy as np

from data.errors import DataError
from data.modelnet40.archives import open_zip
from data.modelnet40.clouds import LabelledCloud


def release_classes(archive: Path) -> tuple[str, ...]:
    """Class names by label."""
    with open_zip(archive) as file:
        return tuple(_lines(file, archive, "shape_names.txt"))


def read_release(archive: Path) -> Iterator[LabelledCloud]:
    """Every cloud of the release, in file order."""
    with open_zip(archive) as file:
        classes = _lines(file, archive, "shape_names.txt")
        for split in ("train", "test"):
            for name in _lines(file, archive, f"{split}_files.txt"):
                member = PurePosixPath(name).name
                record = f"{archive}: {member}"
                points, label = _read(_bytes(file, archive, member), record)
                if label.min(initial=0) < 0 or label.max(initial=0) >= len(classes):
                    raise DataError(
                        f"{record} has the unknown class {label.max()}: shape_names.txt has {len(classes)} classes"
                    )
                for row, (cloud, k) in enumerate(zip(points, label, strict=True)):
                    yield LabelledCloud(
                        f"{record} row {row}", f"{member} row {row}", classes[k], split, cloud
                    )


def _read(content: bytes, record: str) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 2048, 3) and labels (n,) of one HDF5 file."""
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            for name in ("data", "label"):
                if name not in file:
                    raise DataError(f"{record} has no dataset '{name}': fetch the archive again")
            points, label = file["data"][:], file["label"][:].astype(np.int64)
    except (OSError, RuntimeError, KeyError) as error:
        raise DataError(f"{record} is truncated or not HDF5 ({error}): fetch the archive again") from error
    if points.ndim != 3 or points.shape[2] != 3 or label.size != len(points):
        raise DataError(
            f"{record} has points of shape {points.shape} and labels of shape {label.shape}: "
            "fetch the archive again"
        )
    return points.astype(np.float32), label.reshape(-1)


def _lines(file: zipfile.ZipFile, archive: Path, member: str) -> list[str]:
    return [line.strip() for line in _bytes(file, archive, member).decode().splitlines() if line.strip()]


def _bytes(file: zipfile.ZipFile, archive: Path, member: str) -> bytes:
    """The bytes of a member; its folder in the zip does not matter."""
    names = [name for name in file.namelist() if PurePosixPath(name).name == member]
    names = [name for name in names if not name.startswith("__MACOSX")]
    if not names:
        raise DataError(f"archive {archive} has no {member}: it is not the HDF5 release")
    try:
        return file.read(names[0])
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise DataError(f"{archive}: {names[0]} is damaged ({error}): fetch the archive again") from error
