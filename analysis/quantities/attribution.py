"""Which place's relaxation causes the equivariance error: losses with one place's terms left out (claim X2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from analysis.results import ResultsError, Run
from models.training.series import SERIES_COLUMNS, Series

COLUMNS = ["run", "seed", "place", "quantity", "step", "full", "without", "change"]


def is_attributed(run: Run) -> bool:
    """Whether it was measured what the places of the trained network do, of some place that has terms."""
    return any(series.without for series, _ in losses(run))


def losses(run: Run) -> dict[tuple[Series, str], float]:
    """Losses of the trained network by series and quantity; none where they were not measured."""
    table = run.measured("attribution", ("step", *SERIES_COLUMNS, "metric", "value"))
    if table is None:
        return {}
    keys = table[[*SERIES_COLUMNS, "metric"]].itertuples(index=False)
    return {(Series(*of), metric): value for (*of, metric), value in zip(keys, table["value"], strict=True)}


def change_frame(runs: Sequence[Run], names: Sequence[str], quantity: str, group: str = "") -> pd.DataFrame:
    """A row per seed and place: the loss with all terms (`full`), without the place's (`without`), `change`.

    change: by how much L_equiv falls, or any other loss rises, when the terms are taken out. A place that was
    not taken out has none to take. group: of rotations, as in Series. Raises ResultsError where a run has no
    measurement of `quantity`.
    """
    rows = []
    for run in runs:
        measured, own = losses(run), Series(group=group)
        if (full := run.line(quantity, own)) is None:
            raise ResultsError(
                f"{run.folder}: no {quantity} of the validation loss; train it with the monitor on."
            )
        for place in names:
            before = measured.get((own, quantity), float(full.value[-1]))
            after = measured.get((replace(own, without=place), quantity), before)
            change = before - after if quantity == "L_equiv" else after - before
            rows.append((run.name, run.seed, place, quantity, full.step[-1], before, after, change))
    return pd.DataFrame(rows, columns=COLUMNS)
