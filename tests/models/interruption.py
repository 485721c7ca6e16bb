"""A run that is stopped between two of its steps."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from models.training.callbacks import TimeLimit


@contextmanager
def out_of_time_after(steps: int) -> Iterator[None]:
    """In the block, runs with a trainer.max_time stop after so many steps, and not by the clock.

    A limit of no time at all stops a run before its first step: what resumes then is nothing.
    """

    def on_train_batch_end(self, trainer, *_, **__):
        trainer.should_stop = trainer.should_stop or trainer.global_step >= steps

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TimeLimit, "on_train_batch_end", on_train_batch_end)
        yield
