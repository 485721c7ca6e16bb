"""A trained network as measurements take it: the module with its weights, and the run's data."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule

from data.validation import read
from models.training.configuration import complete, made, read_file
from models.training.settings import RunIdentity
from models.training.trained import module_of_run


@dataclass(frozen=True)
class Trained:
    """module: with the weights after `step`, in eval mode, on a GPU if there is one. monitor, seed: the run's."""

    module: LightningModule
    data: LightningDataModule
    monitor: Mapping[str, Any]
    seed: int
    step: int

    def batches(self, first: int | None = None) -> list:
        """The first so many of the monitor's batches, on the module's device; None: all."""
        loaded = list(self.data.monitor_dataloader())[:first]
        return [batch.to(self.module.device) for batch in loaded]


def trained(folder: Path, step: int | None = None) -> Trained:
    """The network of a finished run. step: whose weights; None: the last. Raises UntrainedError."""
    module, about = module_of_run(folder, LightningModule, step)
    config = complete(read_file(folder / "run.yaml"), str(folder / "run.yaml"))
    run = read(RunIdentity, config["run"], "run")
    data = made(config["data"], seed=run.seed, steps=config["trainer"]["max_steps"])
    device = "cuda" if torch.cuda.is_available() and config["trainer"]["accelerator"] != "cpu" else "cpu"
    return Trained(module.to(device).eval(), data, config["monitor"], run.seed, about["step"])
