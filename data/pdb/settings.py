"""How the store of C-alpha chains of a tier is prepared (the `data.pdb` block of its file), and how runs read it."""

import dataclasses
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from data.settings import Count, Seed, Share, settings

# The files from which the list of entries is made, by name.
INDEX = ("pdb_seqres.txt.gz", "pdb_entry_type.txt", "resolu.idx", "pdb_bundle_index.txt")
# The sources of keys that not all sources have.
SOURCES_OF = {
    "chains": ("generate",),
    **dict.fromkeys(
        ("files", "split_gap", "max_breaks", "methods", "max_resolution", "clusters"), ("structures", "rcsb")
    ),
    **dict.fromkeys(("fraction", "min_sequence", "max_sequence", "origin"), ("rcsb",)),
}
SHORTEST_GENERATED = 8


@settings
class RawFile:
    """One raw file: a structure, or a tar archive of structures; for rcsb, an index file by its name."""

    name: str
    """Its name in data/pdb/raw, where <name>.dvc points to it."""


@settings
class PdbSettings:
    """C-alpha chains of proteins, or traces made to resemble them: which, from where, split how.

    A source refuses keys that belong to others.
    """

    source: Literal["generate", "structures", "rcsb"]
    """generate - traces with drawn secondary structure. structures - chains of structure files, mmCIF or PDB, plain,
    gzipped or in a tar archive. rcsb - entries of the PDB that its index files list and the filters admit."""
    files: tuple[RawFile, ...] = ()
    """Raw files, read in this order; for rcsb the four index files. Not for generate."""
    chains: Annotated[int, Field(ge=2)] | None = None
    """generate: number of chains."""
    min_residues: Annotated[int, Field(ge=2)] = 10
    """Residues of the shortest chain; residues without a C-alpha do not count."""
    max_residues: Annotated[int, Field(ge=2)] | None = None
    """Residues of the longest chain, counted likewise; null: no limit."""
    split_gap: PositiveFloat | None = None
    """structures, rcsb: chains are cut where neighbouring C-alphas are farther apart [Angstrom]; null: they are not."""
    max_breaks: NonNegativeInt | None = None
    """structures, rcsb: chains with more gaps above 4.5 Angstrom are left out; null: none are."""
    methods: tuple[Literal["diffraction", "EM", "NMR", "other"], ...] | None = None
    """structures, rcsb: kinds of experiment admitted; null: all."""
    max_resolution: PositiveFloat | None = None
    """structures, rcsb: poorest resolution admitted [Angstrom]; an unknown one is not admitted. null: all are."""
    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """rcsb: share of the archive's chains drawn before all filters, as upstream does."""
    min_sequence: PositiveInt = 51
    """rcsb: length of the shortest SEQRES sequence."""
    max_sequence: PositiveInt = 255
    """rcsb: length of the longest SEQRES sequence."""
    origin: str = "https://files.rcsb.org/download"
    """rcsb: address or folder that has <entry>.cif.gz."""
    clusters: str | None = None
    """structures, rcsb: table of sequence clusters in data/pdb/raw, as mmseqs writes it; a cluster stays in one split.
    null: equal sequences do."""
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the clusters held out for validation."""
    test_fraction: Share = 0.0
    """Share of the clusters held out for tests."""
    seed: Seed = 0
    """Seed of everything random in the preparation."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            sources = SOURCES_OF.get(field.name, (self.source,))
            if self.source not in sources and getattr(self, field.name) != field.default:
                raise ValueError(
                    f"{field.name} belongs to source {' or '.join(sources)}, not to {self.source}: leave it out"
                )
        if self.source == "generate":
            if self.chains is None:
                raise ValueError("source generate needs chains")
            if self.max_residues is None or self.max_residues < self.min_residues:
                raise ValueError("source generate needs max_residues, at least min_residues")
            if self.min_residues < SHORTEST_GENERATED:
                raise ValueError(f"min_residues of generated chains must be at least {SHORTEST_GENERATED}")
        elif not self.files:
            raise ValueError(f"source {self.source} needs files")
        if self.source == "rcsb":
            missing = [name for name in INDEX if name not in {file.name for file in self.files}]
            if missing:
                raise ValueError(f"source rcsb needs {missing[0]} among files")


@settings
class ChainDataSettings:
    """Batches of C-alpha chains."""

    store: str
    """The prepared store; filled in from the tier."""
    batch_size: PositiveInt = 4
    """Chains per training step, over all processes."""
    sampling: Literal["chains", "clusters"] = "chains"
    """What an epoch has once: every chain, or of every group of like chains a random one."""
    train_size: PositiveInt | None = None
    """Chains drawn from the training split, nested; null: all."""
    train_size_seed: Seed = 0
    """Seed of that draw."""
    monitor_chains: PositiveInt = 24
    """Held-out chains on which the monitor measures, the first ones, all padded to one length."""
    monitor_batch: PositiveInt = 3
    """Of these, how many in a batch."""
    workers: Count = 0
    """Loader processes; 0 loads in the training process."""
