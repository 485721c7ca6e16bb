"""The few numbers that say how a tier came out, for `dvc metrics show`.

    python -m analysis.metrics --tier mini --out figures/mini --runs results/mini/escaip-default/seed0

writes <out>/metrics.json: run -> headline -> value. Of paper A medians over seeds, of paper B means, of alpha the
largest. Where the numbers of a run come with a caveat, it stands beside them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

from analysis import catalogue
from analysis.quantities import accuracies, errors
from analysis.quantities.gradients import correlations, points_at
from analysis.quantities.landmarks import landmark, measured, run_landmarks
from analysis.quantities.latents import BASELINES, compare, read_latents
from analysis.quantities.quantity import Quantity
from analysis.quantities.relaxation import active_ratio_over, largest_alpha_over
from analysis.quantities.rotation_errors import KINDS, errors_over
from analysis.results import Results, ResultsError, load_runs
from analysis.run_names import VOXMOL_NETWORKS
from analysis.tasks import NETWORKS, OWN, TASKS, Reading, Task
from data.files import replacing

LANDMARKS = {
    "start": "start_percent",
    "below_1_step": "below_1_percent_step",
    "dip": "dip_percent",
    "dip_step": "dip_step",
    "L_mean_at_dip": "L_mean_over_zero_at_dip",
    "peak": "later_peak_percent",
    "end": "end_percent",
}
ROTATIONS = (10, 18)
"""Numbers of rotations whose error is a headline: the papers' and the smallest quadrature."""
Found = Iterator[tuple[str, str, Quantity | float | None]]
"""Run, headline, value."""


def landmarks(results: Results) -> Found:
    """Of every curve of percents."""
    for name, runs in measured(results, catalogue.by_name("a_landmarks").runs).items():
        rows = [row for run in runs if (row := run_landmarks(run))]
        for key, headline in LANDMARKS.items() if rows else ():
            yield name, headline, landmark(rows, key)


def rotation_errors(results: Results) -> Found:
    """Root mean square error of the percent by kind and number of rotations, median over seeds."""
    for name in names(results):
        for (kind, count), error in errors_over(results.of(name)).items():
            if count in ROTATIONS:
                called = KINDS[kind].replace(" ", "_").replace(",", "")
                yield name, f"percent_error_of_{count}_rotations_{called}", error


def gradient_correlations(results: Results) -> Found:
    """Pearson's coefficient of the logarithms of percent and gradient ratio, by time; first seed that has gradients."""
    for run in results.runs:
        points = {t: found for t in run.times if (found := points_at(run, t))}
        for t, at in points.items():
            yield f"{run.name} t={t:g}", "gradient_ratio_pearson", correlations(at.ratio, at.percent)[0]
        if points:
            return


def latent_cosines(results: Results) -> Found:
    """Medians of cosines between latents of turned and of different molecules, and their test: largest network."""
    for name in VOXMOL_NETWORKS:
        frames = [frame for run in results.of(name) if (frame := read_latents(run)) is not None]
        for kind in BASELINES if frames else ():
            found = [compare(frame, kind) for frame in frames]
            for quantity, values in {
                "median": [one.median for one in found],
                "median_of_different_molecules": [one.other for one in found],
                "superiority": [one.superiority for one in found],
                "p": [one.p for one in found],
            }.items():
                yield name, f"latent_cosine_{kind}_{quantity}", Quantity.of(values, middle=median)
        if frames:
            return


def test_accuracies(results: Results) -> Found:
    """Of every method's own readout after the last step."""
    for name in names(results):
        for kind in ("instance", "class"):
            measure = f"{kind}_accuracy"
            found = accuracies.accuracy_over(results.of(name), OWN, measure, accuracies.last_step)
            if found:
                yield name, measure, found


def test_errors(results: Results) -> Found:
    """Of every readout at the step of least validation error, in the units of paper B's Table 2."""
    for task in TASKS:
        for reading in readings(results, task):
            runs = results.of(reading.run)
            for series in (reading.series, *errors.other_readouts(runs, reading, task)):
                found = errors.error_over(runs, series, errors.SELECTED, task)
                suffix = "" if series == OWN else f"_{series}"
                if found:
                    yield reading.run, f"test_mse_in_1e-{task.power}{suffix}", found


def largest_alphas(results: Results) -> Found:
    """Largest |alpha| after the last step over layers and seeds, of each term."""
    for name in names(results):
        for term in ("W", "b", "noise"):
            if found := largest_alpha_over(results.of(name), term):
                yield name, f"largest_alpha_{term}", found


def active_parameters(results: Results) -> Found:
    """Share of the plain network's parameters that the readout keeps after the last step."""
    for name in names(results):
        if found := active_ratio_over(results.of(name)):
            yield name, "active_parameters_over_plain", found


def end_percents(results: Results) -> Found:
    """Percent of the loss that is equivariance error after the last step, of each method's own readout."""
    several = {reading for task in TASKS for reading in readings(results, task)}
    for name in names(results):
        own = [reading for reading in several if reading.run == name] or [Reading(name)]
        for reading in sorted(own, key=lambda reading: reading.series):
            suffix = "" if reading.series == OWN else f"_{reading.series}"
            if found := errors.end_percent(results.of(name), reading.series):
                yield name, f"end_percent{suffix}", found


SOURCES: dict[str, Callable[[Results], Found]] = {
    "a_landmarks": landmarks,
    "a_fig5": rotation_errors,
    "a_fig8": gradient_correlations,
    "a_fig11": latent_cosines,
    "b_table1": test_accuracies,
    "b_table2": test_errors,
    "b_alpha": largest_alphas,
    "b_fig2": largest_alphas,
    "b_active_parameters": active_parameters,
    "x1": end_percents,
    "x3": end_percents,
}
"""Output -> headlines of the runs that it is made from."""


def names(results: Results) -> list[str]:
    """Runs, each once."""
    return list(dict.fromkeys(run.name for run in results.runs))


def readings(results: Results, task: Task) -> list[Reading]:
    """Where the runs of a task are read: ACE on particles twice, any other run by its own readout."""
    networks = (readings[task.key] for readings in NETWORKS.values() if task.key in readings)
    named = [reading for reading in (*task.readings.values(), *networks) if results.of(reading.run)]
    others = [run.name for run in filter(catalogue.other_run, results.runs) if task.is_of(run)]
    return [*named, *map(Reading, dict.fromkeys(others))]


def headlines(results: Results) -> dict[str, dict[str, float | str | None]]:
    """run -> headline -> value with four digits; "caveat": what each value must say.

    Raises ResultsError if there is none.
    """
    found: dict[str, dict[str, float | str | None]] = {}
    for output, source in SOURCES.items():
        for run, headline, value in source(results.where(catalogue.by_name(output).wants)):
            found.setdefault(run, {})[headline] = _digits(value)
    if not found:
        raise ResultsError(f"tier {results.tier}: none of the given runs has a headline number; train more.")
    for run in results.runs:
        if run.name in found and (caveat := run.data.get("caveat")):
            found[run.name]["caveat"] = caveat
    return found


def write_metrics(results: Results, out: Path) -> Path:
    """Write metrics.json beside the figures."""
    found, path = headlines(results), Path(out) / "metrics.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n")
    return path


def _digits(value: Quantity | float | None) -> float | None:
    number = value.value if isinstance(value, Quantity) else value
    return None if number is None or math.isnan(number) else float(f"{number:.4g}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m analysis.metrics", description="Write metrics.json.")
    parser.add_argument("--tier", required=True, help="tier of the runs, e.g. mini")
    parser.add_argument("--out", required=True, type=Path, help="folder to write to, e.g. figures/mini")
    parser.add_argument(
        "--runs", required=True, nargs="+", type=Path, help="run folders, results/<tier>/<run>/seed<k>"
    )
    given = parser.parse_args(arguments)
    try:
        print(write_metrics(load_runs(given.runs, given.tier), given.out))
    except ResultsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
