"""Trains one run: `python -m models.train --config run.yaml [--config overlay.yaml] [--trainer.max_steps 10]`."""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch import LightningDataModule, LightningModule

from models.training.callbacks import NonFiniteLossError
from models.training.files import FolderLockedError
from models.training.run import Budget, RunIdentity, UnfinishedError, train
from twirl.monitor import EquivarianceMonitor

# What stops a run and says why in a sentence.
REFUSALS = (NonFiniteLossError, FolderLockedError, UnfinishedError, ValueError, OSError)


def build_parser(exit_on_error: bool = True) -> ArgumentParser:
    """Every key of a run's configuration, typed by the classes that take it.

    exit_on_error: print what is wrong and exit, rather than raise jsonargparse.ArgumentError.
    """
    parser = ArgumentParser(
        prog="python -m models.train",
        description="Train one run.",
        exit_on_error=exit_on_error,
        allow_abbrev=False,
    )
    parser.add_argument("--config", action="config", help="run.yaml, and overlays after it")
    parser.add_class_arguments(RunIdentity, "run")
    parser.add_subclass_arguments(LightningModule, "model", required=True)
    parser.add_subclass_arguments(LightningDataModule, "data", required=True)
    parser.add_class_arguments(Budget, "trainer")
    parser.add_class_arguments(EquivarianceMonitor, "monitor", skip={"group", "seed", "loader"})
    parser.link_arguments("run.seed", "data.init_args.seed")
    parser.link_arguments("trainer.max_steps", "data.init_args.steps")
    return parser


def train_configured(parser: ArgumentParser, config: Namespace) -> Path:
    """Builds a parsed run under its own seed and trains it. Returns its folder."""
    torch.manual_seed(config.run.seed)
    built = parser.instantiate(config)
    monitor = EquivarianceMonitor(**vars(config.monitor), seed=config.run.seed)
    text = parser.dump(config, skip_link_targets=True)
    return train(built.run, built.model, built.data, built.trainer, monitor, text)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = build_parser()
    config = parser.parse_args(arguments)
    try:
        folder = train_configured(parser, config)
    except REFUSALS as error:
        sys.exit(f"error: {error}")
    print(f"finished: {folder}", file=sys.stderr)


if __name__ == "__main__":
    main()
