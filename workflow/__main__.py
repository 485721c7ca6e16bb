"""Prints the plan of a tier: `python -m workflow [config.yaml ...]`."""

import sys
from pathlib import Path

from analysis import catalogue
from data.settings import merge
from data.validation import SettingsError
from models.training.configuration import read_file
from workflow.plan import load


def main(files: list[str]) -> None:
    try:
        plan = load(merge(*(read_file(Path(file)) for file in files)))
    except SettingsError as error:
        sys.exit(str(error))
    print(f"tier {plan.tier}: {len(plan.runs)} runs")
    print(*(f"  {sentence}" for sentence in plan.left_out), sep="\n", end="\n" * bool(plan.left_out))
    outputs = catalogue.shown(plan.runs)
    for run in sorted(plan.runs, key=plan.priority, reverse=True):
        shown = [output.name for output in outputs if output.wants(run)]
        trainer, batch = run.settings["trainer"], run.settings["data"]["init_args"]["batch_size"]
        steps, precision = trainer["max_steps"], trainer["precision"]
        print(
            f"  {run.system:12} {run.name:24} seed {run.seed}  {run.label:10} "
            f"{steps:>7} steps of {batch:>3}  {precision:10}  {' '.join(shown)}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
