"""The examples and the seeds of a step, as pure functions of (seed, step), so that resumed runs are exact."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Sampler

# One number per use of random numbers makes the streams of a run independent.
STREAMS = {"subset": 1, "shuffle": 2, "step": 3, "view": 4, "test": 5}


def stream_seed(seed: int, stream: str, *position: int) -> int:
    """A 63-bit seed for one use of random numbers (a key of STREAMS) at one position of a run."""
    sequence = np.random.SeedSequence([seed, STREAMS[stream], *position])
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)


def nested_subset(indices: np.ndarray, size: int | None, seed: int) -> np.ndarray:
    """The first `size` of a seeded permutation of `indices`, so that smaller subsets are contained in larger ones.

    None keeps everything. Raises ValueError if `size` is larger than the number of indices.
    """
    if size is None:
        return indices
    if not 0 < size <= len(indices):
        raise ValueError(f"train_size {size} is not within the {len(indices)} training examples of the store")
    order = np.random.default_rng(stream_seed(seed, "subset")).permutation(len(indices))
    return indices[order[:size]]


class StepBatches(Sampler[list[int]]):
    """The batches of steps `start` .. `steps` - 1, with a new seeded shuffle in every epoch.

    The last batch of an epoch may be short; with `drop_last` it is left out, and its examples wait for the next epoch.
    The length is that of the whole run, because Lightning counts so when it resumes. With `world_size`
    processes each takes every world_size-th example of the global batch.
    """

    def __init__(
        self,
        examples: int,
        batch_size: int,
        steps: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        start: int = 0,
        drop_last: bool = False,
    ):
        if batch_size < world_size:
            raise ValueError(f"a global batch of {batch_size} cannot feed {world_size} processes")
        if drop_last and examples < batch_size:
            raise ValueError(f"{examples} training examples do not fill one batch of {batch_size}")
        self.examples = examples - examples % batch_size if drop_last else examples
        self.shuffled = examples
        self.batch_size, self.steps, self.seed = batch_size, steps, seed
        self.rank, self.world_size, self.start = rank, world_size, start

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.examples // self.batch_size)

    def samples_seen(self, step: int) -> int:
        """Examples in the first `step` global batches."""
        epochs, rest = divmod(step, self.steps_per_epoch)
        return epochs * self.examples + rest * self.batch_size

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        epoch, order = None, None
        for step in range(self.start, self.steps):
            if step // self.steps_per_epoch != epoch:
                epoch = step // self.steps_per_epoch
                generator = np.random.default_rng(stream_seed(self.seed, "shuffle", epoch))
                order = generator.permutation(self.shuffled)[: self.examples]
            first = (step % self.steps_per_epoch) * self.batch_size
            batch = order[first : first + self.batch_size]
            # Every process needs at least one example of a short last batch.
            share = batch[self.rank :: self.world_size]
            yield (share if len(share) else batch[-1:]).tolist()


class NumberedRows(Sampler[list[tuple[int, int]]]):
    """The rows of StepBatches, each with its step, from which augmentation is seeded."""

    def __init__(self, batches: StepBatches):
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step, rows in enumerate(self.batches, self.batches.start):
            yield [(step, row) for row in rows]


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Seeds dropout and noise of one training step on one process."""
    torch.manual_seed(stream_seed(seed, "step", step, rank))
