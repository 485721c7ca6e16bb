"""Mean squared errors on held-out splits, and at the step with the lowest validation error."""

import math
from typing import Any

import torch

from models.training.callbacks import Evaluation
from models.training.sampling import stream_seed
from twirl.monitor import undisturbed

SPLITS = ("validation", "test")


class HeldOutErrors(Evaluation):
    """Measures at regular steps and after the last one: rows {validation,test}/<series>/mse.

    test/<series>/mse_selected is the test error at the step with the lowest validation error so far, which
    papers report, and test/<series>/selected_step that step; it is selected for every series separately. patience:
    after this many evaluations without improvement the selection is final, as with early stopping; None: never.

    The module's `readings()` gives the series, and its `errors(read, batch)` the mean squared error of every sample
    (B,); the data module's `held_out_batches(split)` gives the samples. The random numbers of training are not touched.
    """

    def __init__(self, every: int, patience: int | None = None):
        super().__init__(every)
        self.patience = patience
        self.best: dict[str, dict[str, float]] = {}

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.best = state["best"]

    def rows(self, trainer, pl_module) -> dict[str, float]:
        rows = self.measure(trainer, pl_module)
        for series in pl_module.readings():
            best = self.choose(series, *(rows[f"{split}/{series}/mse"] for split in SPLITS))
            rows[f"test/{series}/mse_selected"] = best["test"]
            rows[f"test/{series}/selected_step"] = best["step"]
        return rows

    def choose(self, series: str, validation: float, test: float) -> dict[str, float]:
        """The best evaluation of a series so far, this one included."""
        new = {"validation": math.inf, "test": math.nan, "step": 0, "waited": 0}
        best = self.best.setdefault(series, new)
        if self.patience is not None and best["waited"] >= self.patience:
            return best
        if validation < best["validation"]:
            best.update(validation=validation, test=test, step=self.last_step, waited=0)
        else:
            best["waited"] += 1
        return best

    def measure(self, trainer, pl_module) -> dict[str, float]:
        """The current errors over whole splits, with one synchronisation of the host."""
        data, totals, counts = trainer.datamodule, {}, dict.fromkeys(SPLITS, 0)
        with undisturbed(pl_module, stream_seed(data.seed, "test", trainer.global_step)):
            readings = pl_module.readings()
            for split in SPLITS:
                for batch in data.held_out_batches(split):
                    batch = batch.to(pl_module.device)
                    for series, read in readings.items():
                        errors, key = pl_module.errors(read, batch), (split, series)
                        totals[key] = totals.get(key, 0.0) + errors.double().sum()
                    counts[split] += len(errors)
        means = torch.stack([total / counts[split] for (split, _), total in totals.items()]).tolist()
        return {f"{split}/{series}/mse": value for (split, series), value in zip(totals, means, strict=True)}
