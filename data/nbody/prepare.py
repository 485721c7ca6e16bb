"""Prepares the store of charged-particle trajectories of a tier: draw, integrate, check, pack.

`python -m data.nbody.prepare --config block.yaml --out data/nbody/prepared/mini.h5 --workers 2`,
where the YAML file holds the `data.nbody` block of the tier. Beside the store, <store>.report.json says
what is in it.
"""

import dataclasses
import importlib.metadata
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from data.command import prepare_command, progress_bar
from data.errors import DataError
from data.files import write_text
from data.nbody.baselines import baselines
from data.nbody.settings import NbodySettings
from data.nbody.simulate import InitialState, draw, integrate
from data.nbody.store import NBodyStore, write_store
from data.processes import map_in_processes

CHUNK = 500  # trajectories integrated together: their arrays fit a core's cache
DATASET = "charged particles, simulated"


def prepare(settings: NbodySettings, out: Path, workers: int | None = None) -> dict:
    """Writes the store `out` and its report; returns the report. The result does not depend on `workers`."""
    drawn = settings.train if settings.train_drawn is None else settings.train_drawn
    splits = {
        "train": slice(0, settings.train),
        "validation": slice(drawn, drawn + settings.validation),
        "test": slice(drawn + settings.validation, drawn + settings.validation + settings.test),
    }
    initial = draw(settings.seed, splits["test"].stop, settings.frames_published)
    stored = {split: _simulated(initial[rows], settings, split, workers) for split, rows in splits.items()}
    digest = write_store(
        out,
        stored,
        settings.frames,
        source="simulated",
        dataset=DATASET,
        config=dataclasses.asdict(settings),
    )
    largest = max(float(np.abs(position).max()) for position, _, _ in stored.values())
    report = {
        "dataset": DATASET,
        "digest": digest,
        "trajectories": {split: len(position) for split, (position, _, _) in stored.items()},
        "largest_coordinate": largest,
        "mean_squared_errors": baselines(NBodyStore(out), settings.frames[0], settings.frames[-1]),
        "versions": {name: importlib.metadata.version(name) for name in ("numpy", "h5py")},
        "config": dataclasses.asdict(settings),
    }
    write_text(f"{out}.report.json", json.dumps(report, indent=1) + "\n")
    return report


def _simulated(
    initial: InitialState, settings: NbodySettings, split: str, workers: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(position, velocity, charges) of a split, particles before components."""
    parts = [initial[k : k + CHUNK] for k in range(0, len(initial), CHUNK)]
    position, velocity = [], []
    try:
        for x, v in progress_bar(
            len(parts), f"x {CHUNK}", f"simulating {split}", iterable=_integrated(parts, settings, workers)
        ):
            position.append(x)
            velocity.append(v)
    except DataError as error:
        raise DataError(
            f"data.nbody seed {settings.seed}, {split} from {len(position) * CHUNK} on: {error}"
        ) from error
    x, v = (np.concatenate(a).swapaxes(2, 3) for a in (position, velocity))
    return x, v, initial.charges


def _integrated(
    parts: list[InitialState], settings: NbodySettings, workers: int | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    work = partial(integrate, steps=settings.steps)
    return map(work, parts) if workers == 1 or len(parts) == 1 else map_in_processes(work, parts, workers)


def main(arguments: list[str] | None = None) -> int:
    def run(settings: NbodySettings, options) -> str:
        report = prepare(settings, options.out, options.workers)
        counts = ", ".join(f"{count} {split}" for split, count in report["trajectories"].items())
        return f"{counts} trajectories of {report['dataset']}, digest {report['digest']}"

    return prepare_command("nbody", __doc__.splitlines()[0], run, arguments)


if __name__ == "__main__":
    sys.exit(main())
