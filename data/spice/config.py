"""The `data.spice` block of a tier: config/schema.yaml explains its keys."""

from dataclasses import dataclass
from typing import Any

from data.chemistry import ELEMENTS, checked_elements
from data.errors import DataError
from data.keys import checked_block, raw_files
from data.units import BOHR, HARTREE

SOURCES = ("generate", "geometries", "spice", "mace_off")
GENERATE_KEYS = ("molecules", "min_atoms", "conformers", "samples_per_conformer", "temperature")


@dataclass(frozen=True)
class RawFile:
    """One raw file. split None: its molecules are split by test_fraction."""

    name: str
    conformations_per_molecule: int | None = None
    split: str | None = None


@dataclass(frozen=True)
class SpiceConfig:
    """Which molecules, from where, split how.

    molecules ... temperature belong to `generate`, files to the other sources.
    """

    source: str
    test_fraction: float | None = None
    seed: int = 0
    files: tuple[RawFile, ...] = ()
    elements: tuple[str, ...] = ELEMENTS
    max_atoms: int = 150
    max_force: float | None = HARTREE / BOHR  # [eV/Angstrom], largest component
    bad_records: str = "refuse"  # or "skip"
    molecules: int | None = None
    min_atoms: int | None = None
    conformers: int | None = None
    samples_per_conformer: int | None = None
    temperature: float | None = None  # [K]


def parse_config(block: Any) -> SpiceConfig:
    """The block as YAML gives it -> SpiceConfig; a DataError of one sentence where it makes no sense."""
    values = checked_block(block, SpiceConfig, "data.spice", SOURCES)
    values["files"] = raw_files(values, RawFile, "data.spice")
    values["elements"] = checked_elements(values, "data.spice")
    config = SpiceConfig(**values)
    _consistent(config)
    return config


def _consistent(config: SpiceConfig) -> None:
    if config.source == "generate":
        missing = [key for key in GENERATE_KEYS if getattr(config, key) is None]
        if missing:
            raise DataError(f"data.spice.source generate needs data.spice.{missing[0]}")
    elif not config.files:
        raise DataError(f"data.spice.source {config.source} needs data.spice.files")
    if config.source == "mace_off" and any(file.split is None for file in config.files):
        raise DataError(
            "data.spice.source mace_off needs a split, train or test, for each of data.spice.files"
        )
    decided = config.files and all(file.split for file in config.files)
    if not decided and not 0 < (config.test_fraction or 0) < 1:
        raise DataError("data.spice.test_fraction must lie between 0 and 1")
    if config.bad_records not in ("refuse", "skip"):
        raise DataError(f"data.spice.bad_records is {config.bad_records!r}, not refuse or skip")
