"""One run from its configuration to its outputs: the training loop of every system."""

import hashlib
import json
import logging
import os
import platform
import subprocess
import sys
import warnings
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch
import yaml
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only

from models.sources import source_digest
from models.training.callbacks import (
    FiniteLoss,
    ProgressLines,
    RememberRows,
    SeedEachStep,
    TimeLimit,
    TrainingRows,
)
from models.training.files import locked, replacing
from models.training.process import tune_process
from models.training.table import MetricsTable
from twirl.monitor import EquivarianceMonitor


@dataclass
class RunIdentity:
    """What a run is called: results/<tier>/<name>/seed<seed>.

    label: its name in figures. system and dataset: folders under models/ and data/.
    """

    tier: str
    name: str
    system: str
    dataset: str
    label: str
    seed: int

    def __str__(self) -> str:
        return f"{self.tier}/{self.name} seed {self.seed}"

    @property
    def folder(self) -> Path:
        return Path("results", self.tier, self.name, f"seed{self.seed}")


@dataclass
class Budget:
    """How long and on what a run trains; the rest is Lightning's defaults.

    max_steps: optimiser steps. checkpoint_every, log_every: steps between checkpoints, rows of training loss.
    gradient_clip_val: largest global gradient norm; None never clips. precision, accelerator, devices,
    num_nodes, strategy: as in lightning.Trainer. max_time: of one process, "dd:hh:mm:ss"; a run that it stops
    saves, exits with an error and resumes when run again. float32_matmul: torch's precision of float32
    products ("high" is TF32).
    """

    max_steps: int
    checkpoint_every: int = 1000
    log_every: int = 50
    gradient_clip_val: float | None = None
    precision: str = "32-true"
    accelerator: str = "auto"
    devices: int | str = 1
    num_nodes: int = 1
    strategy: str = "auto"
    max_time: str | None = None
    float32_matmul: str = "highest"


class UnfinishedError(RuntimeError):
    """A run stopped before its last step; running it again resumes it."""


def fingerprint(config: str, run: RunIdentity) -> str:
    """Digest of everything that decides a run's numbers: its configuration and the sources it imports."""
    settings = yaml.safe_load(config)
    for indifferent in ("max_time", "checkpoint_every"):
        settings["trainer"].pop(indifferent, None)
    text = json.dumps([settings, source_digest(run.system, run.dataset)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def usable_checkpoint(folder: Path, mark: str) -> Path | None:
    """The checkpoint to resume from, if it belongs to the configuration and code of fingerprint `mark`.

    One of another configuration is moved aside rather than deleted.
    """
    checkpoints = folder / "checkpoints"
    mark_file = checkpoints / "fingerprint"
    if mark_file.exists() and mark_file.read_text() != mark:
        aside = folder / f"checkpoints.{mark_file.read_text()}"
        print(
            f"{folder}: configuration or code changed since its checkpoint, moved to {aside}", file=sys.stderr
        )
        checkpoints.rename(aside)
    checkpoints.mkdir(parents=True, exist_ok=True)
    mark_file.write_text(mark)
    last = checkpoints / "last.ckpt"
    return last if last.exists() else None


def train(
    run: RunIdentity,
    model: LightningModule,
    data: LightningDataModule,
    budget: Budget,
    monitor: EquivarianceMonitor,
    config: str,
) -> Path:
    """Trains one run, resuming it if it was interrupted, and returns its folder with all outputs.

    config: the run's complete configuration as YAML, saved beside the results. Outputs appear only when the
    run is complete. Raises FolderLockedError, NonFiniteLossError or UnfinishedError.
    """
    folder = run.folder
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # no devices, tips and adverts in logs
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.. is deprecated")  # Lightning's own
    # The next two are answered by StepBatches, which goes on at the checkpoint's step.
    warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before the epoch ended")
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
    torch.set_float32_matmul_precision(budget.float32_matmul)
    tune_process()
    # The processes that DDP starts beside rank 0 share its lock.
    with locked(folder) if rank_zero_only.rank == 0 else nullcontext():
        checkpoint = usable_checkpoint(folder, fingerprint(config, run))
        table = MetricsTable(folder, data.samples_seen)
        if checkpoint is None:
            table.rewind(0)
        progress = sys.stderr.isatty()
        trainer = Trainer(
            max_steps=budget.max_steps,
            gradient_clip_val=budget.gradient_clip_val,
            precision=budget.precision,
            accelerator=budget.accelerator,
            devices=budget.devices,
            num_nodes=budget.num_nodes,
            strategy=budget.strategy,
            logger=table,
            callbacks=[
                SeedEachStep(run.seed),
                FiniteLoss(str(run)),
                TrainingRows(budget.log_every),
                monitor,
                RememberRows(table),
                ModelCheckpoint(
                    dirpath=folder / "checkpoints",
                    filename="last",
                    every_n_train_steps=budget.checkpoint_every,
                    enable_version_counter=False,
                ),
                *([] if budget.max_time is None else [TimeLimit(budget.max_time, verbose=False)]),
                *([] if progress else [ProgressLines(str(run))]),
            ],
            log_every_n_steps=1,  # of what modules log themselves; TrainingRows does this for us
            enable_progress_bar=progress,
            enable_model_summary=False,
            limit_val_batches=0,
            use_distributed_sampler=False,
            default_root_dir=folder,
        )
        trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        trainer.save_checkpoint(folder / "checkpoints" / "last.ckpt")
        if trainer.global_step < budget.max_steps:
            raise UnfinishedError(
                f"{run}: stopped at step {trainer.global_step} of {budget.max_steps}; run it again to resume"
            )
        if trainer.is_global_zero:
            _write_outputs(run, model, data, trainer, table, config)
    return folder


def _write_outputs(
    run: RunIdentity,
    model: LightningModule,
    data: LightningDataModule,
    trainer: Trainer,
    table: MetricsTable,
    config: str,
) -> None:
    metrics = table.write_tables()
    final = metrics[(metrics.split == "val") & (metrics.step == metrics.step.max())]
    summary = {
        "run": asdict(run),
        "steps": trainer.global_step,
        "samples_seen": data.samples_seen(trainer.global_step),
        "parameters": sum(p.numel() for p in model.network.parameters()),
        "final": {f"{row.series}/{row.metric}": row.value for row in final.itertuples()},
        "data": data.provenance(),
        "wall_s": table.wall_s,
        "device": _device_name(trainer),
        "threads": torch.get_num_threads(),
        "commit": _commit(),
        "versions": {name: version(name) for name in ("torch", "lightning", "e3nn", "numpy")}
        | {"python": platform.python_version()},
    }
    with replacing(table.folder / "config.yaml") as temporary:
        temporary.write_text(config)
    with replacing(table.folder / "summary.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=1))


def _device_name(trainer: Trainer) -> str:
    device = trainer.strategy.root_device
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or platform.machine()
    )
    return f"{trainer.world_size} x {device.type} ({name}), {os.cpu_count()} cores"


def _commit() -> str | None:
    """The commit of the working tree, marked '+changes' if it has any; None outside git."""
    git = ["git", "describe", "--always", "--abbrev=12", "--dirty=+changes", "--exclude=*"]
    result = subprocess.run(git, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return result.stdout.strip() or None
