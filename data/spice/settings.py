"""How the SPICE store of a tier is prepared (the `data.spice` block of its file), and how runs read it."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from data.elements import ORGANIC, Element
from data.settings import Count, Seed, settings
from data.units import BOHR, HARTREE

GENERATE_KEYS = ("molecules", "min_atoms", "conformers", "samples_per_conformer", "temperature")


@settings
class RawFile:
    """One raw file."""

    name: str
    """Its name in data/spice/raw, where <name>.dvc points to it."""
    conformations_per_molecule: PositiveInt | None = None
    """Conformations read of each molecule at most, evenly spread over all of them; null: all."""
    split: Literal["train", "test"] | None = None
    """The split of all molecules of the file; null: test_fraction divides them."""


@settings
class SpiceSettings:
    """SPICE, or molecules made to resemble it: which, from where, split how."""

    source: Literal["generate", "geometries", "spice", "mace_off"]
    """generate - molecules of RDKit's NCI file, MMFF94s Langevin dynamics, GFN2-xTB labels. geometries - SPICE
    geometries published without labels, GFN2-xTB labels. spice - a released, labelled SPICE file. mace_off - the
    MACE-OFF files."""
    files: tuple[RawFile, ...] = ()
    """Raw files, read in this order. Not for generate."""
    molecules: PositiveInt | None = None
    """generate: number of molecules."""
    min_atoms: Annotated[int, Field(ge=2)] | None = None
    """generate: atoms of the smallest molecule, hydrogens included."""
    max_atoms: Annotated[int, Field(ge=2)] = 150
    """Atoms of the largest molecule, hydrogens included."""
    conformers: PositiveInt | None = None
    """generate: ETKDG conformers of each molecule."""
    samples_per_conformer: PositiveInt | None = None
    """generate: Langevin samples of each conformer."""
    temperature: PositiveFloat | None = None
    """generate: temperature of the Langevin dynamics [K]."""
    elements: Annotated[tuple[Element, ...], Field(min_length=1)] = ORGANIC
    """Elements admitted."""
    max_force: PositiveFloat | None = HARTREE / BOHR
    """Conformations with a larger force component are left out [eV/Angstrom]; null: none are."""
    bad_records: Literal["refuse", "skip"] = "refuse"
    """At a record that cannot be used: refuse - the preparation stops. skip - it is left out and counted."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the molecules held out for validation; null where every file names its split."""
    seed: Seed = 0
    """Seed of everything random in the preparation."""

    def __post_init__(self):
        if self.source == "generate":
            missing = [key for key in GENERATE_KEYS if getattr(self, key) is None]
            if missing:
                raise ValueError(f"source generate needs {missing[0]}")
        elif not self.files:
            raise ValueError(f"source {self.source} needs files")
        if self.source == "mace_off" and any(file.split is None for file in self.files):
            raise ValueError("source mace_off needs a split, train or test, for each of files")
        decided = self.files and all(file.split for file in self.files)
        if not decided and self.test_fraction is None:
            raise ValueError("test_fraction is missing: it divides the molecules of files without a split")


@settings
class SpiceDataSettings:
    """Batches of molecules; the units are upstream's (spec escaip.md 2.3)."""

    store: str
    """The prepared store; filled in from the tier."""
    batch_size: PositiveInt = 64
    """Molecules per training step, over all processes."""
    train_size: PositiveInt | None = None
    """Conformations drawn from the training split, nested; null: all."""
    train_size_seed: Seed = 0
    """Seed of that draw."""
    monitor_molecules: PositiveInt = 64
    """Held-out conformations on which the monitor measures, the first ones, in four batches."""
    energy_mean: float | None = -140.80356519035792
    """Subtracted from energies [eV]; null: the mean over the store's training split."""
    energy_std: PositiveFloat | None = 69.1667169308504
    """Unit of energies [eV]; null: the standard deviation over the training split."""
    force_std: PositiveFloat | None = 1.0757999822144813
    """Unit of forces [eV/Angstrom]; null: the standard deviation of the training split's components."""
    workers: Count = 0
    """Loader processes; 0 loads in the training process."""
