"""How the ModelNet40 store of a tier is prepared (the `data.modelnet40` block of its file), and how runs read it."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from data.modelnet40.classes import GENERATED, MODELNET40
from data.settings import Count, Probability, Seed, Share, settings

SAMPLED = 2048  # points of a released cloud, and of one sampled from a mesh


@settings
class RawFile:
    """One raw file."""

    name: str
    """Its name in data/modelnet40/raw, where <name>.dvc points to it."""
    split: Literal["train", "test"] | None = None
    """voxel_clouds: the split of all clouds of the file. Archives say the split of every shape themselves."""


@settings
class Modelnet40Settings:
    """ModelNet40 point clouds, or shapes made to resemble them: which, from where, how many points of each."""

    source: Literal["parametric", "voxel_clouds", "hdf5", "off"]
    """parametric - shapes generated on the spot. voxel_clouds - ModelNet10 clouds rebuilt from voxel grids. hdf5 - the
    released 2048 points of each shape. off - the released meshes, sampled here."""
    points: Annotated[int, Field(ge=1, le=SAMPLED)]
    """Points stored of each cloud, the first ones; a run may read fewer."""
    files: tuple[RawFile, ...] = ()
    """Raw files, read in this order. Not for parametric."""
    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Classes admitted; null: all that the source has."""
    train_per_class: PositiveInt | None = None
    """parametric: training shapes of each class."""
    test_per_class: PositiveInt | None = None
    """parametric: test shapes of each class."""
    validation_fraction: Share = 0.0
    """Share of each class's training shapes set aside as a third split."""
    bad_records: Literal["refuse", "skip"] = "refuse"
    """At a shape that cannot be used: refuse - the preparation stops. skip - it is left out and counted."""
    seed: Seed = 0
    """Seed of everything random in the preparation."""

    def __post_init__(self):
        known = tuple(GENERATED) if self.source == "parametric" else MODELNET40
        for name in self.classes or ():
            if name not in known:
                raise ValueError(
                    f"classes has '{name}', which source {self.source} does not know: there are {', '.join(known)}"
                )
        if self.classes is not None and len(set(self.classes)) != len(self.classes):
            raise ValueError("classes names a class twice")
        if self.source == "parametric":
            for key in ("train_per_class", "test_per_class"):
                if getattr(self, key) is None:
                    raise ValueError(f"source parametric needs {key}")
        elif not self.files:
            raise ValueError(f"source {self.source} needs files")
        if self.source == "voxel_clouds" and any(file.split is None for file in self.files):
            raise ValueError("source voxel_clouds needs a split, train or test, for each of files")


@settings
class ViewSettings:
    """How stored clouds become inputs."""

    rotation: Literal["none", "z", "so3"] = "so3"
    """Of training and test inputs alike: none is the data set called aligned, so3 rotated."""
    most_dropped: Probability = 0.875
    """Bound of the share of points that training replaces by the first."""
    shift_in_ball: bool = False
    """Training's last shift is in a ball, not the recipe's cube, which makes the rotated inputs' distribution exactly
    invariant."""


@settings
class ModelnetDataSettings:
    """Batches of point clouds."""

    store: str
    """The prepared store; filled in from the tier."""
    batch_size: Annotated[int, Field(ge=2)] = 24
    """Clouds per training step, over all processes; what does not fill a batch waits for the next epoch."""
    points: PositiveInt = 300
    """Points of each cloud."""
    view: ViewSettings = ViewSettings()
    """How stored clouds become inputs."""
    monitor_clouds: PositiveInt = 64
    """Test clouds on which the monitor measures, the first ones, in four batches."""
    workers: Count = 0
    """Loader processes; 0 loads in the training process."""
