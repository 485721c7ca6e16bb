"""Weights alone, kept at the steps that a run asks for: for what is measured of a network before its training ended."""

from collections.abc import Iterable
from pathlib import Path

import torch
from lightning.pytorch import Callback

from data.files import replacing


def snapshot_file(state: Path, step: int) -> Path:
    """Where the weights after so many steps are kept, beside the checkpoint in `state`."""
    return state / f"weights-{step}.ckpt"


class Snapshots(Callback):
    """Keeps parameters and buffers, of the averaged weights too, after each of some steps; 0: before the first.

    state: the folder that the run resumes from, so that snapshots are of one training. A resumed run writes those
    again that it passes again, with the same weights.
    """

    def __init__(self, state: Path, steps: Iterable[int]):
        self.state, self.steps = state, frozenset(steps)

    def on_train_start(self, trainer, pl_module) -> None:
        if trainer.global_step == 0:
            self._keep(trainer, pl_module)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self._keep(trainer, pl_module)

    def _keep(self, trainer, pl_module) -> None:
        step = trainer.global_step
        if step in self.steps and trainer.is_global_zero:
            with replacing(snapshot_file(self.state, step)) as temporary:
                torch.save({"global_step": step, "state_dict": pl_module.state_dict()}, temporary)
