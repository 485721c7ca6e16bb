"""A labelled point cloud on its way from a source to the store, and the checks that it must pass."""

from dataclasses import dataclass, replace

import numpy as np

from data.errors import DataError


@dataclass(frozen=True)
class LabelledCloud:
    """One shape.

    record: its place in the source, for errors. name: the same on every machine and unique in the store; random numbers
    for a shape are drawn from its name. split: "train", "test" or "validation".
    """

    record: str
    name: str
    class_name: str
    split: str
    points: np.ndarray  # (n, 3)


@dataclass(frozen=True)
class LeftOut:
    """A record that the documentation of the data set excludes. reason: one sentence."""

    reason: str


def normalised(points: np.ndarray) -> np.ndarray:
    """Points (n, 3) with their centroid at 0 and their largest norm 1 (spec vn_pointnet.md 2.2)."""
    centred = points - points.mean(0)
    return centred / np.linalg.norm(centred, axis=1).max()


def checked(cloud: LabelledCloud, points: int) -> LabelledCloud:
    """The cloud cut to its first `points`; DataError if it has fewer, or if they do not form a shape."""
    found = cloud.points
    if found.ndim != 2 or found.shape[1] != 3:
        raise DataError(f"{cloud.record} has an array of shape {found.shape}, not (points, 3)")
    if len(found) < points:
        raise DataError(
            f"{cloud.record} has {len(found)} points, fewer than data.modelnet40.points {points}: ask for fewer"
        )
    if not np.isfinite(found).all():
        raise DataError(f"{cloud.record} has a coordinate that is not a number: {_REMEDY}")
    kept = found[:points]
    if (kept == kept[0]).all():
        raise DataError(f"{cloud.record} has all its points at one place: {_REMEDY}")
    return replace(cloud, points=kept)


_REMEDY = "fetch the file again, or set data.modelnet40.bad_records to skip"
