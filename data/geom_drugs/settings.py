"""How the GEOM-Drugs store of a tier is prepared (the `data.geom_drugs` block of its file), and how runs read it."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from data.digest import name_digest
from data.elements import ORGANIC, Element
from data.settings import Count, Seed, Share, settings

GENERATE_KEYS = ("molecules", "min_atoms", "max_atoms", "conformers")


@settings
class RawFile:
    """One raw file."""

    name: str
    """Its name in data/geom_drugs/raw, where <name>.dvc points to it."""
    split: Literal["train", "validation", "test"] | None = None
    """generate, midi: the split of all molecules of the file."""


@settings
class GeomDrugsSettings:
    """GEOM-Drugs, or ensembles of conformers made to resemble it: which molecules, from where, split how."""

    source: Literal["generate", "rdkit_folder", "midi", "msgpack"]
    """generate - ETKDG conformers of listed molecules and of RDKit's NCI file, relaxed with MMFF94s, GFN2-xTB energies.
    rdkit_folder - GEOM's archive of RDKit pickles and a split of GeoMol's. midi - MiDi's three pickles. msgpack -
    GEOM's first, language-neutral archive."""
    files: tuple[RawFile, ...] = ()
    """Raw files, read in this order. generate - lists of SMILES, or none. rdkit_folder - the archive (.tar.gz) and the
    split (.npy)."""
    validation_fraction: Share = 0.0
    """generate, msgpack: share of the other molecules to validate on, drawn by name."""
    test_fraction: Share = 0.0
    """generate, msgpack: share of the other molecules to test on, drawn by name."""
    conformers_per_molecule: PositiveInt | None = None
    """Conformers read of each molecule of an archive at most: those of largest weight (midi: the first) without faults.
    Test molecules keep all. null: all."""
    elements: Annotated[tuple[Element, ...], Field(min_length=1)] = ORGANIC
    """generate: elements of the NCI molecules."""
    molecules: Count | None = None
    """generate: number of NCI molecules to try, beside the listed ones."""
    min_atoms: Annotated[int, Field(ge=2)] | None = None
    """generate: atoms of the smallest NCI molecule, hydrogens included."""
    max_atoms: Annotated[int, Field(ge=2)] | None = None
    """generate: atoms of the largest NCI molecule, hydrogens included."""
    conformers: PositiveInt | None = None
    """generate: ETKDG conformers of each molecule, before duplicates are removed."""
    duplicate_rmsd: NonNegativeFloat = 0.1
    """generate: conformers nearer to each other are duplicates [Angstrom]; the distance is over symmetric matchings."""
    max_radius: PositiveFloat | None = None
    """generate: conformers with an atom farther from their middle are left out [Angstrom]; null: none are."""
    seed: Seed = 0
    """Seed of everything random in the preparation."""

    def __post_init__(self):
        needs = f"source {self.source} needs"
        if self.source == "generate":
            missing = [key for key in GENERATE_KEYS if getattr(self, key) is None]
            if missing:
                raise ValueError(f"{needs} {missing[0]}")
        elif not self.files:
            raise ValueError(f"{needs} files")
        if self.source in ("generate", "midi") and any(file.split is None for file in self.files):
            raise ValueError(f"{needs} a split, train, validation or test, for each of files")
        ends = sorted(file.name[-4:] for file in self.files)
        if self.source == "rdkit_folder" and ends != [".npy", "r.gz"]:
            raise ValueError(f"{needs} two files: the archive (.tar.gz) and its split (.npy)")
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction and test_fraction must leave some to train on")

    def drawn_split(self, name: str) -> str:
        """The split of a molecule that nothing else decides, drawn from (seed, name): the same among any others."""
        drawn = name_digest(f"split of {name}", self.seed) / 2**64
        if drawn < self.test_fraction:
            return "test"
        return "validation" if drawn < self.test_fraction + self.validation_fraction else "train"


@settings
class GeomDrugsDataSettings:
    """Batches of conformers."""

    store: str
    """The prepared store; filled in from the tier."""
    batch_size: PositiveInt = 160
    """Conformers per training step, over all processes; what does not fill a batch waits for the next epoch."""
    elements: Annotated[int, Field(ge=1, le=8)] = 8
    """As of the network; molecules with others are left out, and counted."""
    conformers_per_molecule: PositiveInt = 5
    """At most so many of each molecule, those of largest weight."""
    train_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of the training conformers, drawn nested."""
    train_size_seed: Seed = 0
    """Seed of that draw."""
    monitor_molecules: PositiveInt = 64
    """Validation molecules on which the monitor measures, the first ones, one conformer of each, in four batches."""
    workers: Count = 0
    """Loader processes; 0 loads in the training process."""
