"""The `data.mocap` block of a tier: config/schema.yaml explains its keys."""

from dataclasses import dataclass
from typing import Any

from data.errors import DataError
from data.keys import checked_block, raw_files

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
    values["motions"] = tuple(values.get("motions", MOTIONS))
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
            value = getattr(config, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise DataError(f"data.mocap.source parametric needs data.mocap.{key}, at least 1")
    if not 0 <= config.heading_spread <= 180:
        raise DataError("data.mocap.heading_spread must lie in [0, 180] degrees")
