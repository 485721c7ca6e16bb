"""The `data.mocap` block of a tier: config/schema.yaml explains its keys."""

from dataclasses import dataclass
from typing import Any

from data.errors import DataError
from data.keys import checked_block, is_whole, raw_files
from data.mocap.trials import STARTS

SOURCES = ("parametric", "cmu")
MOTIONS = ("run", "walk")
MISSING = ("refuse", "drop", "fill")
_COUNTS = ("train_trials", "validation_trials", "test_trials", "starts_per_trial")


@dataclass(frozen=True)
class RawFile:
    """One raw file; its name says what it is."""

    name: str


@dataclass(frozen=True)
class MocapConfig:
    """Which motions, from where.

    files, missing_samples belong to `cmu`: see data.mocap.trials. The others to `parametric`: trials of each
    split, samples taken from each trial, and how far [degrees] a subject's heading may turn from +z or -z.
    """

    source: str
    motions: tuple[str, ...] = MOTIONS
    files: tuple[RawFile, ...] = ()
    missing_samples: str = "refuse"
    train_trials: int | None = None
    validation_trials: int | None = None
    test_trials: int | None = None
    starts_per_trial: int | None = None
    heading_spread: float = 30.0
    seed: int = 0

    def trials(self, split: str) -> int:
        """How many trials of a split are generated."""
        return getattr(self, f"{split}_trials")


def parse_config(block: Any) -> MocapConfig:
    """The block as YAML gives it -> MocapConfig; a DataError of one sentence where it makes no sense."""
    values = checked_block(block, MocapConfig, "data.mocap", SOURCES)
    values["files"] = raw_files(values, RawFile, "data.mocap")
    motions = values.get("motions", MOTIONS)
    if not isinstance(motions, list | tuple):
        raise DataError(f"data.mocap.motions is {motions!r}, not a list of some of {', '.join(MOTIONS)}")
    values["motions"] = tuple(motions)
    config = MocapConfig(**values)
    _consistent(config)
    return config


def _consistent(config: MocapConfig) -> None:
    if not config.motions or any(motion not in MOTIONS for motion in config.motions):
        raise DataError(f"data.mocap.motions is {list(config.motions)}, not some of {', '.join(MOTIONS)}")
    if len(set(config.motions)) != len(config.motions):
        raise DataError("data.mocap.motions names a motion twice")
    if config.missing_samples not in MISSING:
        raise DataError(
            f"data.mocap.missing_samples is {config.missing_samples!r}, not one of {', '.join(MISSING)}"
        )
    if config.source == "cmu" and not config.files:
        raise DataError("data.mocap.source cmu needs data.mocap.files")
    if config.source == "parametric":
        for key in _COUNTS:
            if not is_whole(getattr(config, key), 1):
                raise DataError(f"data.mocap.source parametric needs data.mocap.{key}, at least 1")
        most = min(STARTS[motion] for motion in config.motions)
        if config.starts_per_trial > most:
            raise DataError(
                f"data.mocap.starts_per_trial is {config.starts_per_trial}, and a trial has no more than {most}"
            )
    spread = config.heading_spread
    if isinstance(spread, bool) or not isinstance(spread, int | float) or not 0 <= spread <= 180:
        raise DataError(f"data.mocap.heading_spread must lie in [0, 180] degrees, and is {spread!r}")
    if not is_whole(config.seed, 0):
        raise DataError(f"data.mocap.seed must be a whole number of at least 0, and is {config.seed!r}")
