"""Prepares the motion-capture store of a tier: read or generate the trials, cut the samples, pack them.

`python -m data.mocap.prepare --config block.yaml --out data/mocap/prepared/mini.h5`, where the YAML file holds the
`data.mocap` block of the tier. Beside the store, <store>.report.json says what is in it, what is missing, and
the errors of predictors that need no training.
"""

import dataclasses
import importlib.metadata
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from data.command import prepare_command
from data.errors import DataError
from data.files import write_text
from data.mocap.generate import generate
from data.mocap.official import OFFICIAL
from data.mocap.pickles import read_split
from data.mocap.settings import MocapSettings
from data.mocap.store import MotionStore, write_store
from data.mocap.trial_files import read_trials
from data.mocap.trials import SPLITS, Samples, Trial, caveat, select

RAW_FOLDER = Path("data/mocap/raw")
DATASETS = {
    "cmu": "CMU motion capture",
    "parametric": "generated walkers and runners",
}


def prepare(settings: MocapSettings, out: Path, raw: Path = RAW_FOLDER) -> dict:
    """Writes the store `out` and its report; returns the report."""
    motions = generate(settings) if settings.source == "parametric" else _read(settings, raw)
    caveats = {
        motion: "" if settings.source == "parametric" else caveat(motion, samples, trials)
        for motion, (trials, samples) in motions.items()
    }
    write_store(
        out,
        motions,
        source=settings.source,
        dataset=DATASETS[settings.source],
        caveats=caveats,
        config=dataclasses.asdict(settings),
    )
    report = {
        "dataset": DATASETS[settings.source],
        "motions": {motion: _counts(trials, samples) for motion, (trials, samples) in motions.items()},
        "caveats": {motion: text for motion, text in caveats.items() if text},
        "mean_squared_error_of_predictors": MotionStore(out).predictors,
        "versions": {name: importlib.metadata.version(name) for name in ("numpy", "h5py")},
        "config": dataclasses.asdict(settings),
    }
    write_text(f"{out}.report.json", json.dumps(report, indent=1) + "\n")
    return report


def _read(settings: MocapSettings, raw: Path) -> dict[str, tuple[list[Trial], dict[str, Samples]]]:
    """Trials and official samples of every motion."""
    files = [raw / file.name for file in settings.files]
    motions = {}
    for motion in settings.motions:
        split_file = OFFICIAL[motion].split_file
        if split_file not in [file.name for file in files]:
            raise DataError(f"data.mocap.files lacks {split_file}, the split of the motion {motion}")
        trials = read_trials(motion, files)
        starts = read_split(raw / split_file)
        samples = {
            split: select(motion, split, starts[split], trials, settings.missing_samples) for split in SPLITS
        }
        motions[motion] = trials, samples
    return motions


def _counts(trials: Sequence[Trial], samples: Mapping[str, Samples]) -> dict:
    return {
        "trials": len(trials),
        "frames": sum(len(trial.positions) for trial in trials),
        "samples": {split: len(s.windows) for split, s in samples.items()},
        "official_samples": {split: s.official for split, s in samples.items()},
        "missing_official_samples": {split: len(s.missing) for split, s in samples.items()},
        "samples_in_their_place": {split: s.filled for split, s in samples.items()},
    }


def main(arguments: list[str] | None = None) -> int:
    def run(settings: MocapSettings, options) -> str:
        report = prepare(settings, options.out, options.raw)
        counts = "; ".join(
            f"{motion} {', '.join(f'{n} {split}' for split, n in of_motion['samples'].items())}"
            for motion, of_motion in report["motions"].items()
        )
        notes = "".join(f"\nnote: {text}" for text in report["caveats"].values())
        return f"{counts} samples of {report['dataset']}{notes}"

    return prepare_command("mocap", __doc__.splitlines()[0], run, arguments)


if __name__ == "__main__":
    sys.exit(main())
