"""Measures a trained network: `python -m analysis.measure rotations --run FOLDER [--settings '{"step": 500}']`.

Writes FOLDER/measured/NAME.parquet, whose settings pandas finds again as `attrs`.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from analysis.measure.registry import MEASUREMENTS, module_of, table_in
from analysis.measure.trained import trained
from data.files import replacing
from data.settings import plain
from data.validation import read
from models.training.process import tune_process
from models.training.trained import write_or_say_why


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis.measure", description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=MEASUREMENTS, help="what to measure")
    parser.add_argument("--run", type=Path, required=True, help="folder of a trained run")
    parser.add_argument("--settings", type=json.loads, default={}, help="what is not as by default, as JSON")
    return parser


def write_table(given: argparse.Namespace) -> Path:
    """Measures what the command line asks for. Returns the table's path."""
    settings = read(MEASUREMENTS[given.name].settings, given.settings, f"measure.{given.name}")
    tune_process()
    network = trained(given.run, getattr(settings, "step", None))
    with torch.no_grad():
        table = importlib.import_module(module_of(given.name)).measure(network, settings)
    table.attrs = plain(settings)
    path = table_in(given.run, given.name)
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    return write_or_say_why(build_parser(), write_table, arguments)


if __name__ == "__main__":
    sys.exit(main())
