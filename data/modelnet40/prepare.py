"""Prepares the ModelNet40 store of a tier: generate or read the shapes, sample and check them, pack them.

`python -m data.modelnet40.prepare --config block.yaml --out data/modelnet40/prepared/mini.h5 --workers 2`,
where the YAML file holds the `data.modelnet40` block of the tier. Beside the store, <store>.report.json says
what is in it and what was left out.
"""

import dataclasses
import importlib.metadata
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.command import prepare_command, progress_bar
from data.digest import name_digest
from data.errors import DataError
from data.files import write_text
from data.modelnet40.classes import MODELNET40
from data.modelnet40.clouds import LabelledCloud, LeftOut, checked
from data.modelnet40.generate import CLASSES, generate, invariant_ceiling
from data.modelnet40.hdf5 import read_release, release_classes
from data.modelnet40.off import members, read_clouds
from data.modelnet40.settings import Modelnet40Settings
from data.modelnet40.store import CloudStore, write_store
from data.modelnet40.voxels import read_voxel_clouds, voxel_classes

RAW_FOLDER = Path("data/modelnet40/raw")


@dataclass(frozen=True)
class Source:
    """The name of a source in captions, and the pose of its shapes."""

    dataset: str
    pose: str
    up_axis: str


SOURCES = {
    "parametric": Source("generated shapes", "canonical, exactly", "z"),
    "voxel_clouds": Source("ModelNet10, rebuilt from 24^3 voxels", "as stored, roughly canonical", "z"),
    "hdf5": Source("ModelNet40, HDF5 release", "as stored, roughly canonical", "y"),
    "off": Source("ModelNet40, sampled from the OFF meshes", "as stored, roughly canonical", "z"),
}


def prepare(
    settings: Modelnet40Settings, out: Path, raw: Path = RAW_FOLDER, workers: int | None = None
) -> dict:
    """Writes the store `out` and its report; returns the report. The result does not depend on `workers`."""
    files = [raw / file.name for file in settings.files]
    classes = _classes(settings, files)
    left_out: list[str] = []
    clouds = list(_usable(_read(settings, files, classes, workers), settings, left_out))
    clouds = _with_validation(clouds, settings)
    source = SOURCES[settings.source]
    counts = write_store(
        out,
        clouds,
        classes=classes,
        source=settings.source,
        **dataclasses.asdict(source),
        config=dataclasses.asdict(settings),
    )
    report = {
        **dataclasses.asdict(source),
        "clouds": {split: sum(of_class.values()) for split, of_class in counts.items()},
        "clouds_by_class": counts,
        "left_out": left_out,
        **_statistics(CloudStore(out)),
        "versions": {name: importlib.metadata.version(name) for name in ("numpy", "h5py")},
        "config": dataclasses.asdict(settings),
    }
    if settings.source == "parametric":
        report["best_accuracy_without_orientation"] = invariant_ceiling(classes)
    write_text(f"{out}.report.json", json.dumps(report, indent=1) + "\n")
    return report


def _classes(settings: Modelnet40Settings, files: list[Path]) -> tuple[str, ...]:
    """The classes of the store, alphabetical: those asked for, or all that the source has."""
    if settings.classes is not None:
        return tuple(sorted(settings.classes))
    if settings.source == "parametric":
        return tuple(sorted(CLASSES))
    named = {
        "voxel_clouds": voxel_classes,
        "hdf5": release_classes,
        "off": lambda file: {member.class_name for member in members(file, settings.seed)},
    }[settings.source]
    return tuple(sorted({name for file in files for name in named(file) if name in MODELNET40}))


def _read(
    settings: Modelnet40Settings, files: list[Path], classes: tuple[str, ...], workers: int | None
) -> Iterator[LabelledCloud | LeftOut | DataError]:
    """Everything the source has, with a progress bar where it takes long."""
    if settings.source == "parametric":
        counts = {"train": settings.train_per_class, "test": settings.test_per_class}
        yield from progress_bar(
            len(classes) * sum(counts.values()),
            "shape",
            "generating",
            iterable=generate(classes, counts, settings.seed),
        )
    for file, declared in zip(files, settings.files, strict=True):
        if settings.source == "voxel_clouds":
            yield from read_voxel_clouds(file, declared.split)
        elif settings.source == "hdf5":
            yield from progress_bar(None, "shape", f"reading {file.name}", iterable=read_release(file))
        else:
            wanted = [
                member for member in members(file, settings.seed) if _is_wanted(member.class_name, settings)
            ]
            yield from progress_bar(
                len(wanted), "shape", f"sampling {file.name}", iterable=read_clouds(wanted, workers)
            )


def _usable(
    items: Iterable[LabelledCloud | LeftOut | DataError], settings: Modelnet40Settings, left_out: list[str]
) -> Iterator[LabelledCloud]:
    """The clouds of the wanted classes; the reasons for leaving out others are added to `left_out`, or raised."""
    for item in items:
        if isinstance(item, LeftOut):
            left_out.append(item.reason)
            continue
        try:
            if isinstance(item, DataError):
                raise item
            if settings.source != "parametric" and item.class_name not in MODELNET40:
                raise DataError(
                    f"{item.record} is of the unknown class '{item.class_name}': fetch the file again"
                )
            if _is_wanted(item.class_name, settings):
                yield checked(item, settings.points)
        except DataError as error:
            if settings.bad_records == "refuse":
                raise
            left_out.append(str(error))


def _is_wanted(class_name: str, settings: Modelnet40Settings) -> bool:
    return settings.classes is None or class_name in settings.classes


def _with_validation(clouds: list[LabelledCloud], settings: Modelnet40Settings) -> list[LabelledCloud]:
    """The same clouds, the validation_fraction of each class's train clouds moved to "validation".

    Drawn from (seed, name), so that it does not depend on the order of the clouds.
    """
    by_class: dict[str, list[str]] = {}
    for cloud in clouds:
        if cloud.split == "train":
            by_class.setdefault(cloud.class_name, []).append(cloud.name)
    held_out = set()
    for names in by_class.values():
        ordered = sorted(names, key=lambda name: name_digest(name, settings.seed))
        held_out |= set(ordered[: round(settings.validation_fraction * len(names))])
    return [
        dataclasses.replace(cloud, split="validation") if cloud.name in held_out else cloud
        for cloud in clouds
    ]


def _statistics(store: CloudStore) -> dict:
    """Sizes of the stored clouds, for a person."""
    rows = np.linspace(0, len(store) - 1, min(len(store), 2000)).astype(int)
    points = store.read(rows).points
    return {
        "points_per_cloud": store.points,
        "largest_norm": float(np.linalg.norm(points, axis=-1).max()),
        "largest_centroid_norm": float(np.linalg.norm(points.mean(1), axis=-1).max()),
        "mean_extent_xyz": [float(extent) for extent in np.ptp(points, axis=1).mean(0)],
    }


def main(arguments: list[str] | None = None) -> int:
    def run(settings: Modelnet40Settings, options) -> str:
        report = prepare(settings, options.out, options.raw, options.workers)
        counts = ", ".join(f"{count} {split}" for split, count in report["clouds"].items())
        return f"{counts} clouds of {report['dataset']}, {len(report['left_out'])} left out"

    return prepare_command("modelnet40", __doc__.splitlines()[0], run, arguments)


if __name__ == "__main__":
    sys.exit(main())
