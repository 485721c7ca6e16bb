"""The command line of every preparation, `python -m data.<dataset>.prepare --config X --out Y`, and progress bars."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from data.errors import DataError
from data.processes import WorkerKilledError
from data.settings import of_dataset
from data.validation import read


def prepare_command(
    dataset: str,
    about: str,
    prepare: Callable[[Any, argparse.Namespace], str],
    arguments: Sequence[str] | None = None,
    module: str = "prepare",
) -> int:
    """Prepares a store as the command line asks, and returns the exit status.

    prepare: takes the settings of the data set and the options out, raw and workers; returns the last line to print. A
    DataError, WorkerKilledError or OSError that it raises is printed as one sentence. module: the module of
    data.<dataset> that is run, where it is not the preparation itself but a step before it.
    """
    parser = argparse.ArgumentParser(prog=f"python -m data.{dataset}.{module}", description=about)
    parser.add_argument(
        "--config", type=Path, required=True, help=f"YAML file with the data.{dataset} block of a tier"
    )
    parser.add_argument("--out", type=Path, required=True, help="the file to write, for prepare the store")
    parser.add_argument(
        "--raw",
        type=Path,
        default=Path("data", dataset, "raw"),
        help="folder of the raw files, if any are read (default: %(default)s)",
    )
    parser.add_argument("--workers", type=int, help="processes (default: all available cores)")
    options = parser.parse_args(arguments)
    try:
        block = yaml.safe_load(options.config.read_text())
        said = prepare(read(of_dataset(dataset), block, f"data.{dataset}"), options)
    except (DataError, WorkerKilledError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.out}: {said}")
    return 0


def progress_bar(
    total: int | None, unit: str, title: str, iterable: Iterable | None = None, unit_scale: bool = False
) -> tqdm:
    """A progress bar, over `iterable` where it is given; in a log file it prints every ten seconds only."""
    interval = 0.2 if sys.stderr.isatty() else 10.0
    return tqdm(
        iterable, title, total, unit=unit, unit_scale=unit_scale, mininterval=interval, maxinterval=interval
    )


def advance(bar: tqdm, count: int, new: bool) -> None:
    """Counts work; work that an earlier call did is left out of the rate from which the remaining time is estimated."""
    bar.initial += 0 if new else count
    bar.update(count)
