"""Mean squared errors on held-out splits, and at the step that does best on validation."""

from lightning.pytorch import Callback

from models.training.sampling import stream_seed
from twirl.monitor import undisturbed


class HeldOutErrors(Callback):
    """Measures every so many steps and after the last one: rows {validation,test}/<series>/mse.

    test/<series>/mse_selected is the test error at the step with the lowest validation error so far, which is what
    papers report; every series has its own best step.

    The module's `readings()` gives the series, and its `errors(read, batch)` the mean squared error of every sample
    (B,); the data module's `held_out_batches(split)` gives the samples. Training's random numbers are left alone.
    """

    def __init__(self, every: int):
        self.every = every
        self.last_step = -1
        self.best: dict[str, tuple[float, float]] = {}  # by series: validation error, test error

    def state_dict(self):
        return {"last_step": self.last_step, "best": self.best}

    def load_state_dict(self, state):
        self.last_step, self.best = state["last_step"], dict(state["best"])

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        step = trainer.global_step
        if step == self.last_step or (step % self.every and step != trainer.max_steps):
            return
        self.last_step = step
        if trainer.is_global_zero:
            trainer.logger.log_metrics(self.measure(trainer, pl_module), step=step)

    def measure(self, trainer, pl_module) -> dict[str, float]:
        data, rows = trainer.datamodule, {}
        with undisturbed(pl_module, stream_seed(data.seed, "test", trainer.global_step)):
            for series, read in pl_module.readings().items():
                found = {split: _mean(pl_module, read, data, split) for split in ("validation", "test")}
                if series not in self.best or found["validation"] < self.best[series][0]:
                    self.best[series] = found["validation"], found["test"]
                rows |= {f"{split}/{series}/mse": value for split, value in found.items()}
                rows[f"test/{series}/mse_selected"] = self.best[series][1]
        return rows


def _mean(pl_module, read, data, split: str) -> float:
    """Over all samples of a split; the host waits once."""
    total, samples = 0.0, 0
    for batch in data.held_out_batches(split):
        errors = pl_module.errors(read, batch.to(pl_module.device))
        total, samples = total + errors.double().sum(), samples + len(errors)
    return float(total) / samples
