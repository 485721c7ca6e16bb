"""The module of a trained run, built from its configuration and checkpoint, and a frame for commands that use one."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from lightning.pytorch import LightningModule

from data.validation import SettingsError
from models.official import CheckpointError, checked, read_tensors
from models.training.configuration import made, read_file
from models.training.snapshots import snapshot_file

Module = TypeVar("Module", bound=LightningModule)


class UntrainedError(ValueError):
    """A folder from which no module can be built: one sentence for a person."""


def module_of_run(folder: Path, kind: type[Module], step: int | None = None) -> tuple[Module, dict]:
    """The module of the run in `folder`, and what it is: run, checkpoint and step. Raises UntrainedError.

    step: whose weights, of those that the run kept; None: of its latest checkpoint.
    """
    files = sorted(folder.glob("checkpoints/*/last.ckpt"), key=lambda path: path.stat().st_mtime)
    settings = folder / "run.yaml"
    if not files or not settings.is_file():
        raise UntrainedError(f"{folder}: needs run.yaml and checkpoints/*/last.ckpt; train the run first")
    file = files[-1] if step is None else snapshot_file(files[-1].parent, step)
    if not file.is_file():
        raise UntrainedError(f"{file}: missing; add {step} to trainer.snapshots and train the run again")
    try:
        module = made(read_file(settings)["model"])
    except (SettingsError, KeyError, TypeError) as error:
        raise UntrainedError(f"{settings}: no configuration of a model ({error})") from error
    if not isinstance(module, kind):
        raise UntrainedError(f"{settings}: a run of {type(module).__name__}, not of {kind.__name__}")
    content = read_tensors(file, "train the run again")
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise UntrainedError(f"{file}: no 'state_dict' in the file; train the run again")
    module.load_state_dict(checked(module.state_dict(), state, str(file)))
    return module, {
        "run": str(folder),
        "checkpoint": file.parent.name,
        "step": content.get("global_step"),
    }


def write_or_say_why(
    parser: argparse.ArgumentParser,
    write: Callable[[argparse.Namespace], Path],
    arguments: Sequence[str] | None = None,
) -> int:
    """Runs a command that writes from a run or an official checkpoint; returns its exit status.

    Prints the path that `write` returns, or in one sentence why there is none.
    """
    given = parser.parse_args(arguments)
    try:
        print(write(given))
    except (UntrainedError, CheckpointError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
