"""The few numbers that say how a tier came out, for `dvc metrics show`.

    python -m analysis.metrics --figures figures/mini

reads the CSV files in <figures> that hold headline numbers and writes <figures>/metrics.json: run -> headline ->
value. Of paper A, medians over seeds; of paper B, means over seeds, and of alpha the largest. Where the numbers of a
run come with a caveat, it stands beside them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.results import ResultsError
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
Found = Iterator[tuple[str, str, float | None]]
"""Run, headline, value."""


def landmarks(frame: pd.DataFrame) -> Found:
    """Of the table of landmarks."""
    frame = frame[frame["estimator"] == "ratio of means"]
    values = frame.pivot_table(index="run", columns="landmark", values="ours", sort=False, dropna=False)
    for run, row in values.iterrows():
        for landmark, name in LANDMARKS.items():
            yield run, name, row.get(landmark)


def accuracies(frame: pd.DataFrame) -> Found:
    """Of every method's own readout after the last step."""
    own = frame[(frame["block"] == "last step") & (frame["readout"] == "raw")]
    for row in own[own["measure"].isin(("instance", "class"))].itertuples():
        yield row.run, f"{row.measure}_accuracy", row.ours


def test_errors(frame: pd.DataFrame) -> Found:
    """Of every readout at the step of least validation error, in the units of paper B's Table 2."""
    ours = frame[(frame["choice"] == "best validation step") & (frame["seeds"] > 0) & frame["ours"].notna()]
    for row in ours.itertuples():
        readout = "" if row.readout == "raw" else f"_{row.readout}"
        unit = f"{row.unit:.0e}".replace("e-0", "e-")  # CSV gives 0.001 for 1e-3
        yield row.run, f"test_mse_in_{unit}{readout}", row.ours


def largest_alphas(frame: pd.DataFrame) -> Found:
    """Largest |alpha| after the last step over layers and seeds, of each term drawn."""
    ends = frame.loc[frame.groupby(["run", "seed", "label", "quantity"])["step"].idxmax()]
    for (run, quantity), values in ends.groupby(["run", "quantity"])["value"]:
        yield run, f"largest_{quantity}", values.abs().max()


def active_parameters(frame: pd.DataFrame) -> Found:
    """Share of the plain network's parameters that the readout keeps after the last step."""
    ours = frame[frame["source"] == "ours"]
    ends = ours.loc[ours.groupby(["run", "seed"])["step"].idxmax()]
    for run, value in ends.groupby("run", sort=False)["value"].mean().items():
        yield run, "active_parameters_over_plain", value


def end_percents(frame: pd.DataFrame) -> Found:
    """Percent of the loss that is equivariance error after the last step, of every readout drawn in the last panel."""
    last = frame[(frame["panel"] == frame["panel"].max()) & (frame["quantity"] == "percent")]
    for (run, series), value in last.groupby(["run", "series"], sort=False)["value"].mean().items():
        yield run, "end_percent" if series == "raw" else f"end_percent_{series}", value


def rotation_errors(frame: pd.DataFrame) -> Found:
    """Root mean square error of the percent by kind and number of rotations, median over seeds."""
    ours = frame[(frame["source"] == "ours") & (frame["quantity"] == "error")]
    for (run, kind, count), values in ours.groupby(["run", "label", "rotations"], sort=False)["value"]:
        if count in (10, 18):
            yield (
                run,
                f"percent_error_of_{count:g}_rotations_{kind}".replace(" ", "_").replace(",", ""),
                values.median(),
            )


def gradient_correlations(frame: pd.DataFrame) -> Found:
    """Pearson's coefficient of the logarithms of percent and gradient ratio, by time."""
    ours = frame[frame["source"] == "ours"]
    for (run, label), part in ours.groupby(["run", "label"], sort=False):
        columns = part.pivot_table(index="step", columns="quantity", values="value")
        yield f"{run} {label.replace(' ', '')}", "gradient_ratio_pearson", np.log(columns).corr().iloc[0, 1]


def latent_cosines(frame: pd.DataFrame) -> Found:
    """Medians of cosines between latents of turned and of different molecules, and their test, over seeds."""
    found = frame[(frame["source"] == "ours") & (frame["quantity"] != "cosine")]
    for (run, kind, quantity), values in found.groupby(["run", "kind", "quantity"], sort=False)["value"]:
        yield run, f"latent_cosine_{kind}_{quantity}".replace(" ", "_"), values.median()


SOURCES: dict[str, Callable[[pd.DataFrame], Found]] = {
    "a_landmarks": landmarks,
    "a_fig5": rotation_errors,
    "a_fig8": gradient_correlations,
    "a_fig11": latent_cosines,
    "b_table1": accuracies,
    "b_table2": test_errors,
    "b_alpha": largest_alphas,
    "b_fig2": largest_alphas,
    "b_fig4": largest_alphas,
    "b_active_parameters": active_parameters,
    "x1": end_percents,
    "x3": end_percents,
}
"""The outputs whose CSV holds headline numbers."""


def headlines(figures: Path) -> dict[str, dict[str, float | str | None]]:
    """run -> headline -> value with four digits, from the outputs in `figures`; "caveat": what each value must say.

    Raises ResultsError if none of those that hold such numbers is there.
    """
    present = {name: path for name in SOURCES if (path := Path(figures, f"{name}.csv")).is_file()}
    if not present:
        raise ResultsError(
            f"{figures}: holds none of {', '.join(f'{name}.csv' for name in SOURCES)}; render one of them first."
        )
    found: dict[str, dict[str, float | str | None]] = {}
    for name, path in present.items():
        for run, headline, value in SOURCES[name](pd.read_csv(path)):
            found.setdefault(run, {})[headline] = _digits(value)
        for run, caveat in _caveats(path.with_suffix(".json")).items():
            if run in found:
                found[run]["caveat"] = caveat
    return found


def _caveats(path: Path) -> dict[str, str]:
    """By run, as the file beside an output says them."""
    return json.loads(path.read_text()).get("caveats", {}) if path.is_file() else {}


def write_metrics(figures: Path) -> Path:
    """Write metrics.json beside the figures."""
    found, path = headlines(figures), Path(figures) / "metrics.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n")
    return path


def _digits(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(f"{value:.4g}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m analysis.metrics", description="Write metrics.json.")
    parser.add_argument(
        "--figures", required=True, type=Path, help="folder with rendered outputs, e.g. figures/mini"
    )
    given = parser.parse_args(arguments)
    try:
        print(write_metrics(given.figures))
    except ResultsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
