"""The `data.geom_drugs` block of a tier: config/schema.yaml explains its keys."""

from dataclasses import dataclass
from typing import Any

from data.chemistry import ELEMENTS, checked_elements
from data.digest import name_digest
from data.errors import DataError
from data.keys import checked_block, raw_files

SOURCES = ("generate", "rdkit_folder", "midi", "msgpack")
GENERATE_KEYS = ("molecules", "min_atoms", "max_atoms", "conformers")


@dataclass(frozen=True)
class RawFile:
    """One raw file. split None: its molecules are split by the fractions, or by another file."""

    name: str
    split: str | None = None


@dataclass(frozen=True)
class GeomConfig:
    """Which molecules, from where, split how. molecules ... max_radius belong to `generate`."""

    source: str
    files: tuple[RawFile, ...] = ()
    validation_fraction: float = 0.0
    test_fraction: float = 0.0
    conformers_per_molecule: int | None = None
    elements: tuple[str, ...] = ELEMENTS
    molecules: int | None = None
    min_atoms: int | None = None
    max_atoms: int | None = None
    conformers: int | None = None
    duplicate_rmsd: float = 0.1  # [Angstrom]
    max_radius: float | None = None  # [Angstrom]
    seed: int = 0

    def drawn_split(self, name: str) -> str:
        """The split of a molecule that nothing else decides, drawn from (seed, name): the same among any others."""
        drawn = name_digest(f"split of {name}", self.seed) / 2**64
        if drawn < self.test_fraction:
            return "test"
        return "validation" if drawn < self.test_fraction + self.validation_fraction else "train"


def parse_config(block: Any) -> GeomConfig:
    """The block as YAML gives it -> GeomConfig; a DataError of one sentence where it makes no sense."""
    values = checked_block(block, GeomConfig, "data.geom_drugs", SOURCES)
    values["files"] = raw_files(values, RawFile, "data.geom_drugs")
    values["elements"] = checked_elements(values, "data.geom_drugs")
    config = GeomConfig(**values)
    _consistent(config)
    return config


def _consistent(config: GeomConfig) -> None:
    where = f"data.geom_drugs.source {config.source} needs"
    if config.source == "generate":
        missing = [key for key in GENERATE_KEYS if getattr(config, key) is None]
        if missing:
            raise DataError(f"{where} data.geom_drugs.{missing[0]}")
    elif not config.files:
        raise DataError(f"{where} data.geom_drugs.files")
    if config.source in ("generate", "midi") and any(file.split is None for file in config.files):
        raise DataError(f"{where} a split, train, validation or test, for each of data.geom_drugs.files")
    if config.source == "rdkit_folder" and sorted(file.name[-4:] for file in config.files) != [
        ".npy",
        "r.gz",
    ]:
        raise DataError(f"{where} two data.geom_drugs.files: the archive (.tar.gz) and its split (.npy)")
    if not 0 <= config.validation_fraction + config.test_fraction < 1:
        raise DataError("data.geom_drugs.validation_fraction and test_fraction must leave some to train on")
