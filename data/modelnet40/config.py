"""The `data.modelnet40` block of a tier: config/schema.yaml explains its keys."""

from dataclasses import dataclass
from typing import Any

from data.errors import DataError
from data.keys import checked_block, is_whole, raw_files
from data.modelnet40.classes import MODELNET40
from data.modelnet40.generate import CLASSES
from data.modelnet40.meshes import SAMPLED

SOURCES = ("parametric", "voxel_clouds", "hdf5", "off")
SPLITS = ("train", "test")


@dataclass(frozen=True)
class RawFile:
    """One raw file. split: of a voxel_clouds file; the archives tell the split of every shape themselves."""

    name: str
    split: str | None = None


@dataclass(frozen=True)
class ModelnetConfig:
    """Which shapes, from where, how many points of each.

    classes None: all that the source has. train_per_class, test_per_class belong to `parametric`, files to
    the other sources. validation_fraction: share of each class's train shapes set aside.
    """

    source: str
    points: int
    files: tuple[RawFile, ...] = ()
    classes: tuple[str, ...] | None = None
    train_per_class: int | None = None
    test_per_class: int | None = None
    validation_fraction: float = 0.0
    bad_records: str = "refuse"  # or "skip"
    seed: int = 0


def parse_config(block: Any) -> ModelnetConfig:
    """The block as YAML gives it -> ModelnetConfig; a DataError of one sentence where it makes no sense."""
    values = checked_block(block, ModelnetConfig, "data.modelnet40", SOURCES)
    if not is_whole(values.get("points"), 1) or values["points"] > SAMPLED:
        raise DataError(f"data.modelnet40.points must be a whole number from 1 to {SAMPLED}")
    values["files"] = raw_files(values, RawFile, "data.modelnet40")
    if values.get("classes") is not None:
        values["classes"] = tuple(values["classes"])
    config = ModelnetConfig(**values)
    _consistent(config)
    return config


def _consistent(config: ModelnetConfig) -> None:
    known = tuple(CLASSES) if config.source == "parametric" else MODELNET40
    for name in config.classes or ():
        if name not in known:
            raise DataError(
                f"data.modelnet40.classes has '{name}', which source {config.source} does not know: "
                f"there are {', '.join(known)}"
            )
    if config.classes is not None and (len(set(config.classes)) != len(config.classes) or not config.classes):
        raise DataError("data.modelnet40.classes must name at least one class and none twice")
    if config.source == "parametric":
        for key in ("train_per_class", "test_per_class"):
            if not is_whole(getattr(config, key), 1):
                raise DataError(f"data.modelnet40.source parametric needs data.modelnet40.{key}, at least 1")
    elif not config.files:
        raise DataError(f"data.modelnet40.source {config.source} needs data.modelnet40.files")
    if config.source == "voxel_clouds" and any(file.split not in SPLITS for file in config.files):
        raise DataError(
            "data.modelnet40.source voxel_clouds needs a split, train or test, for each of data.modelnet40.files"
        )
    if not 0 <= config.validation_fraction < 1:
        raise DataError("data.modelnet40.validation_fraction must lie in [0, 1)")
    if config.bad_records not in ("refuse", "skip"):
        raise DataError(f"data.modelnet40.bad_records is {config.bad_records!r}, not refuse or skip")
