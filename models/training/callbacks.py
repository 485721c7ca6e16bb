"""Callbacks of every run: reproducible random numbers, finite losses, resumable rows, time limit, progress."""

import math
import sys
import time

import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import Timer

from models.training.sampling import seed_step
from models.training.table import MetricsTable


class NonFiniteLossError(FloatingPointError):
    """The training loss is NaN or infinite."""


class SeedEachStep(Callback):
    """Seeds dropout and noise as functions of (seed, step, rank), so that a resumed run repeats them."""

    def __init__(self, seed: int):
        self.seed = seed

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        seed_step(self.seed, trainer.global_step, trainer.global_rank)


class FiniteLoss(Callback):
    """Stops before the backward pass if the loss is not finite, so that weights and checkpoint do not change."""

    def __init__(self, run: str):
        self.run = run

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.batch = batch

    def on_before_backward(self, trainer, pl_module, loss):
        if not torch.isfinite(loss):
            raise NonFiniteLossError(
                f"{self.run}: the training loss is {loss.item()} at step {trainer.global_step} on "
                f"{trainer.datamodule.describe(self.batch)}; check these records or lower the learning rate "
                "(the last checkpoint is kept)"
            )


class TrainingRows(Callback):
    """Logs the values that training_step returns, at regular steps, under the step of the weights that gave them.

    Lightning's own logging adds a row whenever a run is stopped, which an uninterrupted run does not have. With
    several processes the values are those of the first one's share of the batch.
    """

    def __init__(self, every: int):
        self.every = every

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        step = trainer.global_step - 1
        if step % self.every == 0:
            trainer.logger.log_metrics({f"train/{name}": value for name, value in outputs.items()}, step=step)


class Evaluation(Callback):
    """Logs the values of `rows` at regular steps and after the last one, once per step, also in resumed runs."""

    def __init__(self, every: int):
        self.every = every
        self.last_step = -1

    def rows(self, trainer, pl_module) -> dict[str, float]:
        """The values to log now, on rank 0."""
        raise NotImplementedError

    def state_dict(self):
        return {"last_step": self.last_step}

    def load_state_dict(self, state):
        self.last_step = state["last_step"]

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        step = trainer.global_step
        if step == self.last_step or (step % self.every and step != trainer.max_steps):
            return
        self.last_step = step
        if trainer.is_global_zero:
            trainer.logger.log_metrics(self.rows(trainer, pl_module), step=step)


class RememberRows(Callback):
    """Saves the number of logged rows in the checkpoint, and drops later rows when training resumes."""

    def __init__(self, table: MetricsTable):
        self.table = table

    def state_dict(self):
        return {"rows": self.table.rows}

    def load_state_dict(self, state):
        self.table.rewind(state["rows"])


class TimeLimit(Timer):
    """Stops after `duration` of this process; Lightning's own timer counts earlier processes of the run too."""

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        """Restores nothing: a resumed run has the whole time limit again."""


class ProgressLines(Callback):
    """Prints a line on stderr at every tenth of a run: for log files, where a progress bar would be noise."""

    def __init__(self, run: str):
        self.run = run

    def on_train_start(self, trainer, pl_module):
        self.began, self.first = time.monotonic(), trainer.global_step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        step, steps = trainer.global_step, trainer.max_steps
        if trainer.is_global_zero and (step % max(1, math.ceil(steps / 10)) == 0 or step == steps):
            rate = (step - self.first) / (time.monotonic() - self.began)
            left = (steps - step) / rate
            print(
                f"{self.run}: step {step}/{steps}, {rate:.1f} steps/s, {int(left // 60)}:{int(left % 60):02d} left",
                file=sys.stderr,
                flush=True,
            )
