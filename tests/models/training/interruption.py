"""A run that is stopped between two of its steps."""

from collections.abc import Callable, Iterator
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


def stop_after(steps: int, run: Callable[..., object], config: dict) -> None:
    """Begins a run and stops it after so many steps."""
    message = f"stopped at step {steps} of .*; run it again to resume"
    with out_of_time_after(steps), pytest.raises(SystemExit, match=message):
        run(config, "--trainer.max_time=01:00:00:00")
