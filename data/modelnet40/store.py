"""The packed store of labelled point clouds: one memory-mapped file.

One HDF5 file of contiguous, uncompressed arrays. With C clouds of P points and K classes:

    clouds (C, P, 3) f4, centred, in the unit ball over all the points of the source      label (C,) i8
    split (C,) u1 (0 train, 1 test, 2 validation)      class_names (K,) utf-8      names (C,) utf-8

and the attributes format, source, dataset (what the shapes are, for captions), pose, up_axis, config and digest.
The points of a cloud are in random order: its first n are a uniform sample of the shape. The train split
comes first, in the order written; test and validation take one cloud of every class, then a second, ...:
so that their first clouds are diverse.
Training imports this module: numpy and h5py only.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from data.errors import DataError
from data.files import replacing
from data.mapped import MappedStore
from data.modelnet40.clouds import LabelledCloud

FORMAT = "modelnet-store-1"
SPLITS = ("train", "test", "validation")


@dataclass(frozen=True)
class Clouds:
    """B clouds of n points."""

    points: np.ndarray  # (B, n, 3) f4
    label: np.ndarray  # (B,) i8

    def __len__(self) -> int:
        return len(self.label)


class CloudStore(MappedStore):
    """Random access to a store by cloud index. Pickles as its path, for data-loader workers.

    Attributes read from the file: source, dataset, pose, up_axis, config, digest (of the content), classes
    (names by label), points (per cloud), label (C,) and split (C,).
    """

    FORMAT = FORMAT
    PREPARED_BY = "data.modelnet40.prepare"

    def _read(self, file: h5py.File) -> None:
        for name in ("source", "dataset", "pose", "up_axis", "digest"):
            setattr(self, name, str(file.attrs[name]))
        self.config = json.loads(file.attrs["config"])
        self.classes = tuple(name.decode() for name in file["class_names"][:])
        self.label = file["label"][:]
        self.split = file["split"][:]
        self._clouds = self._map(file["clouds"])

    def __len__(self) -> int:
        return len(self.label)

    @property
    def points(self) -> int:
        """Points of each cloud."""
        return self._clouds.shape[1]

    @property
    def names(self) -> list[str]:
        """The name of each cloud in its source."""
        with h5py.File(self.path, "r") as file:
            return [name.decode() for name in file["names"][:]]

    def class_index(self, name: str) -> int:
        """The label of a class; DataError if the store has no such class."""
        if name not in self.classes:
            raise DataError(f"store {self.path} has no class '{name}': it has {', '.join(self.classes)}")
        return self.classes.index(name)

    def split_indices(self, split: str) -> np.ndarray:
        """Indices of the "train", "test" or "validation" clouds, in file order."""
        return np.flatnonzero(self.split == SPLITS.index(split))

    def read(self, indices: Sequence[int] | np.ndarray, points: int | None = None) -> Clouds:
        """The clouds at `indices` (B,), in that order, the first `points` of each (all without it)."""
        points = self.points if points is None else points
        if points > self.points:
            raise DataError(
                f"store {self.path} has {self.points} points per cloud, fewer than the {points} asked for: "
                f"prepare it with data.modelnet40.points {points}"
            )
        indices = np.asarray(indices, dtype=np.int64)
        return Clouds(np.ascontiguousarray(self._clouds[indices, :points]), self.label[indices])


def write_store(
    path: str | os.PathLike,
    clouds: Sequence[LabelledCloud],
    *,
    classes: Sequence[str],
    source: str,
    dataset: str,
    pose: str,
    up_axis: str,
    config: dict,
) -> dict[str, dict[str, int]]:
    """Writes a store of clouds with the same number of points; returns {split: {class: clouds}}.

    The file appears under `path` only when complete. An unknown class or an empty train or test split is a
    DataError.
    """
    path = Path(path)
    rows = {name: row for row, name in enumerate(classes)}
    for cloud in clouds:
        if cloud.class_name not in rows:
            raise DataError(
                f"{cloud.record} is of class '{cloud.class_name}', which is not one of {', '.join(classes)}"
            )
    label = np.array([rows[cloud.class_name] for cloud in clouds], dtype=np.int64)
    split = np.array([SPLITS.index(cloud.split) for cloud in clouds], dtype=np.uint8)
    for code, name in enumerate(SPLITS[:2]):
        if not (split == code).any():
            raise DataError(f"store {path}: no cloud is left for the {name} split: use more files or classes")
    order = _file_order(label, split)
    digest = hashlib.blake2b(json.dumps([list(classes), pose]).encode(), digest_size=16)
    with (
        replacing(path) as temporary,
        h5py.File(temporary, "w", alignment_threshold=1, alignment_interval=64) as file,
    ):
        packed = file.create_dataset("clouds", (len(clouds), *clouds[0].points.shape), "<f4")
        for row, k in enumerate(order):
            points = np.ascontiguousarray(clouds[k].points, "<f4")
            packed[row] = points
            digest.update(points)
        file.create_dataset("label", data=label[order].astype("<i8"))
        file.create_dataset("split", data=split[order])
        text = h5py.string_dtype()
        file.create_dataset("class_names", data=list(classes), dtype=text)
        file.create_dataset("names", data=[clouds[k].name for k in order], dtype=text)
        for column in (label[order].astype("<i8"), split[order]):
            digest.update(column)
        file.attrs["format"] = FORMAT
        file.attrs["digest"] = digest.hexdigest()
        file.attrs["source"] = source
        file.attrs["dataset"] = dataset
        file.attrs["pose"] = pose
        file.attrs["up_axis"] = up_axis
        file.attrs["config"] = json.dumps(config, sort_keys=True)
    return {
        name: {kind: int(((split == code) & (label == row)).sum()) for kind, row in rows.items()}
        for code, name in enumerate(SPLITS)
        if (split == code).any()
    }


def _file_order(label: np.ndarray, split: np.ndarray) -> np.ndarray:
    """(C,) permutation: train as it came; test and validation by (occurrence in its class, class)."""
    order = [np.flatnonzero(split == 0)]
    for code in (1, 2):
        members = np.flatnonzero(split == code)
        occurrence = np.zeros(len(members), dtype=np.int64)
        for row in np.unique(label[members]):
            of_class = label[members] == row
            occurrence[of_class] = np.arange(of_class.sum())
        order.append(members[np.lexsort((label[members], occurrence))])
    return np.concatenate(order)
