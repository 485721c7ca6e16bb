"""The training loop of every system: one run from its configuration to its outputs."""

import json
import math
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only

from data.files import replacing
from models.sources import commit, digest, training_modules
from models.training.callbacks import (
    FiniteLoss,
    ProgressLines,
    RememberRows,
    SeedEachStep,
    TimeLimit,
    TrainingRows,
)
from models.training.checkpoints import AtomicCheckpointIO, fingerprint, state_folder
from models.training.configuration import as_yaml
from models.training.files import locked
from models.training.process import quiet_lightning, tune_process
from models.training.series import SERIES_COLUMNS, Series
from models.training.settings import Budget, RunIdentity
from models.training.snapshots import Snapshots
from models.training.table import MetricsTable


class UnfinishedError(RuntimeError):
    """A run stopped before its last step; running it again resumes it."""


def train(
    run: RunIdentity,
    model: LightningModule,
    data: LightningDataModule,
    budget: Budget,
    callbacks: Sequence[Callback],
    config: Mapping[str, Any],
) -> Path:
    """Trains one run, resuming it if it was interrupted, and returns its folder with all outputs.

    callbacks: measurements and files besides the training. config: the run's complete configuration, saved next to
    the results. Outputs appear only when the run is complete. A module may have `facts()`,
    what else the summary is to say. Raises FolderLockedError, NonFiniteLossError or UnfinishedError.
    """
    folder = run.folder
    torch.set_float32_matmul_precision(budget.float32_matmul)
    tune_process()
    quiet_lightning()
    # The other processes of DDP share the lock of rank 0.
    with locked(folder) if rank_zero_only.rank == 0 else nullcontext():
        sources = digest(*training_modules(config))
        state = state_folder(folder, fingerprint(config, sources, data.provenance()))
        checkpoint = state / "last.ckpt"
        table = MetricsTable(state / "metrics.jsonl", data.samples_seen)
        if not checkpoint.exists():
            table.rewind(0)
        progress = sys.stderr.isatty()
        trainer = Trainer(
            max_steps=budget.max_steps,
            gradient_clip_val=budget.gradient_clip_val,
            precision=budget.precision,
            accelerator=budget.accelerator,
            devices=budget.devices,
            strategy=budget.strategy,
            logger=table,
            plugins=[AtomicCheckpointIO()],
            callbacks=[
                SeedEachStep(run.seed),
                FiniteLoss(str(run)),
                TrainingRows(budget.log_every),
                *callbacks,
                RememberRows(table),
                Snapshots(state, budget.snapshots),
                ModelCheckpoint(
                    dirpath=state,
                    filename=checkpoint.stem,
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
        resumed = checkpoint if checkpoint.exists() else None
        trainer.fit(model, datamodule=data, ckpt_path=resumed, weights_only=True)
        trainer.save_checkpoint(checkpoint)
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
    config: Mapping[str, Any],
) -> None:
    metrics = table.write_tables(run.folder)
    final = metrics[(metrics.split == "val") & (metrics.step == metrics.step.max())]
    summary = {
        "run": asdict(run),
        "steps": trainer.global_step,
        "samples_seen": data.samples_seen(trainer.global_step),
        "parameters": sum(p.numel() for p in model.network.parameters()),
        "final": {_name(row): row.value for row in final.itertuples()},
        "data": data.provenance(),
        "wall_s": table.wall_s,
        "device": _device_name(trainer),
        "threads": torch.get_num_threads(),
        "commit": commit(),
        "versions": {name: version(name) for name in ("torch", "lightning", "e3nn", "numpy")}
        | {"python": platform.python_version()},
    } | getattr(model, "facts", dict)()
    with replacing(run.folder / "run.yaml") as temporary:
        temporary.write_text(as_yaml(config))
    with replacing(run.folder / "summary.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=1))


def _name(row) -> str:
    """The key of a row of the metrics table, without its split."""
    series = Series(*(getattr(row, name) for name in SERIES_COLUMNS))
    return "/".join([series.key, *([] if math.isnan(row.t) else [f"t={row.t:g}"]), row.metric])


def _device_name(trainer: Trainer) -> str:
    device = trainer.strategy.root_device
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or platform.machine()
    )
    return f"{trainer.world_size} x {device.type} ({name}), {os.cpu_count()} cores"
