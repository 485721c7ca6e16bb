"""The `data.pdb` block of a tier: config/schema.yaml explains its keys."""

from dataclasses import dataclass
from typing import Any

from data.errors import DataError
from data.keys import checked_block, raw_files

SOURCES = ("generate", "structures", "rcsb")
METHODS = ("diffraction", "EM", "NMR", "other")
# The files from which the list of entries is made, by name.
INDEX = ("pdb_seqres.txt.gz", "pdb_entry_type.txt", "resolu.idx", "pdb_bundle_index.txt")
_OF_FILES = ("files", "split_gap", "max_breaks", "methods", "max_resolution", "clusters")
_OF_RCSB = ("fraction", "min_sequence", "max_sequence", "origin")
# The sources of keys that not all have.
_SOURCES_OF = {
    "chains": ("generate",),
    **dict.fromkeys(_OF_FILES, ("structures", "rcsb")),
    **dict.fromkeys(_OF_RCSB, ("rcsb",)),
}
ORIGIN = "https://files.rcsb.org/download"


@dataclass(frozen=True)
class RawFile:
    """One raw file: a structure, or a tar archive of structures; for rcsb, an index file by its name."""

    name: str


@dataclass(frozen=True)
class PdbConfig:
    """Which chains, from where, split how.

    Some keys belong to some sources (_SOURCES_OF) and are refused by the others. Lengths are of residues that have a
    C-alpha, but for sequences, which are of SEQRES. split_gap and max_resolution are in Angstrom.
    """

    source: str
    files: tuple[RawFile, ...] = ()
    chains: int | None = None
    min_residues: int = 10
    max_residues: int | None = None
    split_gap: float | None = None
    max_breaks: int | None = None
    methods: tuple[str, ...] | None = None
    max_resolution: float | None = None
    fraction: float = 1.0
    min_sequence: int = 51
    max_sequence: int = 255
    origin: str = ORIGIN
    clusters: str | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.0
    seed: int = 0


def parse_config(block: Any) -> PdbConfig:
    """The block as YAML gives it -> PdbConfig; a DataError of one sentence where it makes no sense."""
    values = checked_block(block, PdbConfig, "data.pdb", SOURCES)
    for key, value in values.items():
        sources = _SOURCES_OF.get(key, SOURCES)
        if value is not None and values["source"] not in sources:
            raise DataError(
                f"data.pdb.{key} belongs to source {' or '.join(sources)}, not to {values['source']}: leave it out"
            )
    values["files"] = raw_files(values, RawFile, "data.pdb")
    if values.get("methods") is not None:
        values["methods"] = tuple(values["methods"])
    config = PdbConfig(**values)
    _consistent(config)
    return config


def _consistent(config: PdbConfig) -> None:
    if config.source == "generate":
        if config.chains is None or config.chains < 2:
            raise DataError("data.pdb.source generate needs data.pdb.chains, at least 2")
        if config.max_residues is None or config.max_residues < config.min_residues:
            raise DataError("data.pdb.source generate needs data.pdb.max_residues, at least min_residues")
        if config.min_residues < 8:
            raise DataError("data.pdb.min_residues of generated chains must be at least 8")
    elif not config.files:
        raise DataError(f"data.pdb.source {config.source} needs data.pdb.files")
    if config.source == "rcsb":
        missing = [name for name in INDEX if RawFile(name) not in config.files]
        if missing:
            raise DataError(f"data.pdb.source rcsb needs {missing[0]} among data.pdb.files")
    for method in config.methods or ():
        if method not in METHODS:
            raise DataError(f"data.pdb.methods has {method!r}, not one of {', '.join(METHODS)}")
    if not 0 < config.fraction <= 1:
        raise DataError("data.pdb.fraction must lie above 0 and not above 1")
    if not 0 < config.validation_fraction < 1 or not 0 <= config.test_fraction < 1:
        raise DataError("data.pdb.validation_fraction must lie between 0 and 1, test_fraction in [0, 1)")
