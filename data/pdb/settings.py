"""Settings of the batches."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from data.settings import Seed, settings


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
    workers: NonNegativeInt = 0
    """Loader processes; 0 loads in the training process."""
