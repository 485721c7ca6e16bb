"""How the motion-capture store of a tier is prepared (the `data.mocap` block of its file), and how runs read it."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from data.mocap.official import STARTS
from data.settings import Seed, settings

COUNTS = ("train_trials", "validation_trials", "test_trials", "starts_per_trial")


@settings
class RawFile:
    """One raw file; its name says what it is."""

    name: str
    """Its name in data/mocap/raw, where <name>.dvc points to it."""


@settings
class MocapSettings:
    """CMU motion capture, or walkers and runners made to resemble it."""

    source: Literal["parametric", "cmu"]
    """parametric - people who walk and run, generated on the spot. cmu - the database's own angles and upstream's
    converted positions, cut into the official samples."""
    motions: Annotated[tuple[Literal["run", "walk"], ...], Field(min_length=1)] = ("run", "walk")
    """Motions in the store."""
    files: tuple[RawFile, ...] = ()
    """Raw files. Not for parametric."""
    missing_samples: Literal["refuse", "drop", "fill"] = "refuse"
    """cmu: what happens to official samples that the files lack. refuse - the preparation stops. drop - they are left
    out. fill - in the training split, other windows of the official starts take their places; elsewhere they are left
    out."""
    train_trials: PositiveInt | None = None
    """parametric: trials of each motion to train on."""
    validation_trials: PositiveInt | None = None
    """parametric: trials of each motion to select by."""
    test_trials: PositiveInt | None = None
    """parametric: trials of each motion to test on."""
    starts_per_trial: PositiveInt | None = None
    """parametric: samples of each trial."""
    heading_spread: Annotated[float, Field(ge=0, le=180)] = 30.0
    """parametric: largest angle between a person's heading and +z or -z [degrees]."""
    seed: Seed = 0
    """parametric: seed of everything that is drawn."""

    def __post_init__(self):
        if len(set(self.motions)) != len(self.motions):
            raise ValueError("motions names a motion twice")
        if self.source == "cmu" and not self.files:
            raise ValueError("source cmu needs files")
        if self.source == "parametric":
            for key in COUNTS:
                if getattr(self, key) is None:
                    raise ValueError(f"source parametric needs {key}")
            most = min(STARTS[motion] for motion in self.motions)
            if self.starts_per_trial > most:
                raise ValueError(
                    f"starts_per_trial is {self.starts_per_trial}, and a trial has no more than {most}"
                )

    def trials(self, split: str) -> int:
        """How many trials of a split are generated."""
        return getattr(self, f"{split}_trials")


@settings
class MocapDataSettings:
    """Batches of motion capture."""

    store: str
    """The prepared store; filled in from the tier."""
    motion: Literal["run", "walk"]
    """Which of the store's motions."""
    batch_size: PositiveInt = 12
    """Samples per training step, over all processes; what does not fill a batch waits for the next epoch."""
    frames: Annotated[int, Field(ge=1, le=5)] = 5
    """Targets are the last so many frames of the horizon; errors are of the last."""
    monitor_samples: PositiveInt = 48
    """Validation samples on which the monitor measures, evenly spread."""
