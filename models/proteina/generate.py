"""Generates chains: `python -m models.proteina.generate --run FOLDER` or `--checkpoint FILE --size 60M`.

Writes one PDB file of C-alpha atoms per sample and report.json (see `samples.report`) to --out, by default
FOLDER/samples. The same seed gives the same samples, however they are batched.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from data.files import replacing
from models.datasets.pdb import ChainBatch, padded
from models.proteina.official import fold_classes, load_state, read_checkpoint
from models.proteina.samples import ANGSTROM, describe, report, write_calpha
from models.proteina.settings import PUBLISHED, ProteinaConfig, ProteinaTaskSettings
from models.proteina.task import ProteinaTask
from models.training.flow import Noise, sampling_times
from models.training.trained import UntrainedError, module_of_run, write_or_say_why


def task_of_checkpoint(path: Path, size: str) -> tuple[ProteinaTask, dict]:
    """A task whose raw and averaged weights are both those of an official checkpoint of a published size."""
    state = read_checkpoint(path)
    config = ProteinaConfig(**PUBLISHED[size], fold_classes=fold_classes(state, str(path)))
    task = ProteinaTask(ProteinaTaskSettings(network=config))
    load_state(task.network, state, str(path))
    task.ema.module.load_state_dict(task.network.state_dict())
    return task, {"checkpoint": str(path), "size": size}


def blank_chains(lengths: Sequence[int], first: int) -> ChainBatch:
    """Chains of these lengths without gaps, numbered from `first` on, with placeholder coordinates."""
    numbers = [np.arange(1, n + 1) for n in lengths]
    return padded([np.zeros((n, 3)) for n in lengths], numbers, range(first, first + len(lengths)))


def generate(
    task: ProteinaTask, lengths: Sequence[int], batch_size: int, steps: int, noise: Noise | None, **options
) -> Iterator[np.ndarray]:
    """A sample (n, 3) [Angstrom] for every length, in order. options: arguments of ProteinaTask.generate."""
    times = sampling_times(steps)
    for first in range(0, len(lengths), batch_size):
        batch = blank_chains(lengths[first : first + batch_size], first).to(task.device)
        found = task.generate(batch, times, noise, **options)
        for points, mask in zip(found.cpu(), batch.mask.cpu(), strict=True):
            yield ANGSTROM * points[mask].double().numpy()


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.proteina.generate", description=__doc__.splitlines()[0]
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, help="folder of a trained run")
    source.add_argument("--checkpoint", type=Path, help="an official checkpoint file, e.g. X-EMA.ckpt")
    parser.add_argument("--size", choices=PUBLISHED, default="60M", help="of the official checkpoint (60M)")
    parser.add_argument(
        "--lengths", type=int, nargs="+", default=[50, 100, 150], help="residues (50 100 150)"
    )
    parser.add_argument("--samples", type=int, default=10, help="of every length (10)")
    parser.add_argument("--steps", type=int, default=400, help="of the sampler (400)")
    parser.add_argument(
        "--noise", type=float, default=0.4, help="scale of the noise of the stochastic sampler (0.4)"
    )
    parser.add_argument("--ode", action="store_true", help="follow the flow, without noise")
    parser.add_argument("--raw", action="store_true", help="the weights as trained, not their average")
    parser.add_argument("--no-self-conditioning", action="store_true", help="forget each step's prediction")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, help="folder to write to (RUN/samples)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    return write_or_say_why(build_parser(), write_samples, arguments)


def write_samples(given: argparse.Namespace) -> Path:
    """Writes the files that the command line asks for, the report last. Returns the report's path."""
    if given.out is None and given.run is None:
        raise UntrainedError("--checkpoint: say with --out where to write")
    if min(given.lengths) < 2 or given.samples < 1 or given.batch_size < 1:
        raise UntrainedError("--lengths must be at least 2, --samples and --batch-size at least 1")
    task, source = (
        module_of_run(given.run, ProteinaTask)
        if given.run
        else task_of_checkpoint(given.checkpoint, given.size)
    )
    task = task.to(given.device).eval()
    lengths = sorted(length for length in given.lengths for _ in range(given.samples))
    noise = None if given.ode else Noise(scale=given.noise)
    options = {
        "seed": given.seed,
        "averaged": not given.raw,
        "self_condition": not given.no_self_conditioning,
    }
    out = given.out or given.run / "samples"
    made_by = ", ".join(f"{key} {value}" for key, value in source.items())
    chains, files = [], []
    for number, points in enumerate(generate(task, lengths, given.batch_size, given.steps, noise, **options)):
        files.append(f"{number:04d}_{len(points)}.pdb")
        write_calpha(
            out / files[-1],
            points,
            f"generated, not an experiment\n{made_by}\nseed {given.seed} sample {number}",
        )
        chains.append(points)
    sampler = {"steps": given.steps, "noise": None if noise is None else noise.scale, **options}
    content = {
        "source": source,
        "sampler": sampler,
        "summary": report(chains),
        "samples": {name: describe(points) for name, points in zip(files, chains, strict=True)},
    }
    with replacing(out / "report.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")
    return out / "report.json"


if __name__ == "__main__":
    sys.exit(main())
