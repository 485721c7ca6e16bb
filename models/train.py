"""Trains one run: `python -m models.train --config run.yaml [--config overlay.yaml] [--trainer.max_steps 10]`.

Files and options are merged, the later over the earlier; other values are the defaults in the settings of the classes
that the configuration names. `--help` after a configuration explains every key of it.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from models.training.callbacks import NonFiniteLossError
from models.training.configuration import built, complete, from_options
from models.training.explain import explanation
from models.training.files import FolderLockedError
from models.training.run import UnfinishedError, train

# What stops a run and says why in a sentence.
REFUSALS = (NonFiniteLossError, FolderLockedError, UnfinishedError, ValueError, OSError)


def train_configured(config: Mapping[str, Any]) -> Path:
    """Builds the run of a complete configuration under its own seed and trains it. Returns its folder."""
    torch.manual_seed(config["run"]["seed"])
    training = built(config)
    return train(**vars(training))


def main(arguments: Sequence[str] | None = None) -> None:
    options = list(sys.argv[1:] if arguments is None else arguments)
    asked = [option for option in options if option in ("-h", "--help")]
    try:
        config = from_options([option for option in options if option not in asked])
        if asked:
            print(__doc__, explanation(config), sep="\n")
            return
        folder = train_configured(complete(config, "the configuration"))
    except REFUSALS as error:
        sys.exit(f"error: {error}")
    print(f"finished: {folder}", file=sys.stderr)


if __name__ == "__main__":
    main()
