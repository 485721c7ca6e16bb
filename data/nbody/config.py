"""The `data.nbody` block of a tier: config/schema.yaml explains its keys."""

from dataclasses import dataclass
from typing import Any

from data.errors import DataError
from data.keys import checked_block, is_whole


@dataclass(frozen=True)
class NBodyConfig:
    """How many trajectories of which stream, and which frames of them.

    train, validation, test: trajectories stored of each split, drawn in this order from the stream of `seed`.
    train_drawn: how many the stream gives before the validation split starts (the published set draws 10000 and
    uses the first 3000); None: no more than are stored. length, sample_freq: steps of a published trajectory, and
    between its frames; frame k is the state after (k + 1) sample_freq steps. frames: those stored, ascending.
    """

    train: int
    validation: int
    test: int
    train_drawn: int | None = None
    seed: int = 43
    length: int = 5000
    sample_freq: int = 100
    frames: tuple[int, ...] = (30, 32, 34, 36, 38, 40)

    @property
    def frames_published(self) -> int:
        """T_save of the specification."""
        return self.length // self.sample_freq - 1

    @property
    def steps(self) -> list[int]:
        """Integration steps after which the stored frames are taken."""
        return [(frame + 1) * self.sample_freq for frame in self.frames]


def parse_config(block: Any) -> NBodyConfig:
    """The block as YAML gives it -> NBodyConfig; a DataError of one sentence where it makes no sense."""
    values = checked_block(block, NBodyConfig, "data.nbody")
    for key in ("train", "validation", "test"):
        if key not in values:
            raise DataError(f"data.nbody needs the key '{key}': the number of its trajectories")
    frames = values.get("frames", NBodyConfig.frames)
    if not isinstance(frames, list | tuple):
        raise DataError(f"data.nbody.frames must be a list of ascending whole numbers, not {frames!r}")
    values["frames"] = tuple(frames)
    config = NBodyConfig(**values)
    for key in ("train", "validation", "test", "length", "sample_freq"):
        if not is_whole(getattr(config, key), 1):
            raise DataError(f"data.nbody.{key} must be a whole number of at least 1")
    if not is_whole(config.seed, 0):
        raise DataError("data.nbody.seed must be a whole number of at least 0")
    if config.train_drawn is not None and not is_whole(config.train_drawn, config.train):
        raise DataError(
            f"data.nbody.train_drawn must be a whole number of at least data.nbody.train, {config.train}"
        )
    last = config.frames_published - 1
    if last < 0:
        raise DataError(
            f"data.nbody.length, {config.length} steps, must be at least twice data.nbody.sample_freq, "
            f"{config.sample_freq}: else a trajectory has no frame"
        )
    ascending = all(is_whole(frame, 0) for frame in config.frames) and sorted(set(config.frames)) == list(
        config.frames
    )
    if not config.frames or not ascending or config.frames[-1] > last:
        raise DataError(
            f"data.nbody.frames must be ascending whole numbers from 0 to {last}, the last frame of "
            f"{config.length} steps with one frame every {config.sample_freq}"
        )
    return config
