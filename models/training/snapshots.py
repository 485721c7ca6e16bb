"""Files of weights at the steps that a run asks for, to measure networks that are not fully trained."""

from collections.abc import Iterable
from pathlib import Path

import torch
from lightning.pytorch import Callback

from data.files import replacing


def snapshot_file(state: Path, step: int) -> Path:
    """The file of the weights at a step, in the folder `state` of the checkpoint."""
    return state / f"weights-{step}.ckpt"


class Snapshots(Callback):
    """Saves parameters and buffers, including averaged weights, at each of `steps`; 0 is before the first step.

    state: the folder that the run resumes from; all its snapshots belong to one training. A resumed run that repeats
    steps rewrites their snapshots, with the same weights.
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
