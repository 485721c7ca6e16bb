"""ModelNet10 clouds that were rebuilt from voxel grids: arrays points, label, class_names, surface_voxels."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data.errors import DataError
from data.modelnet40.clouds import LabelledCloud, LeftOut

ARRAYS = ("points", "label", "class_names", "surface_voxels")
FEWEST_SURFACE_VOXELS = 16  # shapes with fewer are degenerate, according to the files' README


def voxel_classes(path: Path) -> tuple[str, ...]:
    """Class names by label."""
    return tuple(str(name) for name in _arrays(path)["class_names"])


def read_voxel_clouds(path: Path, split: str) -> Iterator[LabelledCloud | LeftOut]:
    """Every cloud of one file in file order; those with too few surface voxels are left out."""
    arrays = _arrays(path)
    classes = voxel_classes(path)
    label = arrays["label"].astype(np.int64)
    if label.max(initial=0) >= len(classes):
        raise DataError(
            f"cloud file {path} has the unknown class {label.max()}: it names {len(classes)} classes"
        )
    for row, (points, k, voxels) in enumerate(
        zip(arrays["points"], label, arrays["surface_voxels"], strict=True)
    ):
        name = f"{path.name} row {row}"
        if voxels < FEWEST_SURFACE_VOXELS:
            yield LeftOut(
                f"{name} ({classes[k]}) has {voxels} surface voxels, fewer than {FEWEST_SURFACE_VOXELS}"
            )
        else:
            yield LabelledCloud(
                f"cloud file {path.parent / name}", name, classes[k], split, points.astype(np.float32)
            )


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        raise DataError(
            f"cloud file {path} does not exist: it has no public origin; data/modelnet40/README.md says "
            "where to bring it from"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            for name in ARRAYS:
                if name not in file:
                    raise DataError(f"cloud file {path} has no array '{name}': bring it again")
            arrays = {name: file[name] for name in ARRAYS}
    except DataError:
        raise
    except Exception as error:  # damaged bytes make numpy and zipfile raise a dozen kinds of exception
        raise DataError(
            f"cloud file {path} is truncated or not an npz file ({error}): bring it again"
        ) from error
    count = len(arrays["points"])
    if arrays["points"].ndim != 3 or any(len(arrays[name]) != count for name in ("label", "surface_voxels")):
        raise DataError(f"cloud file {path} has arrays of different lengths: bring it again")
    return arrays
