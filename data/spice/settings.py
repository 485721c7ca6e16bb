"""Settings of the batches."""

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from data.settings import Seed, settings


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
    workers: NonNegativeInt = 0
    """Loader processes; 0 loads in the training process."""
