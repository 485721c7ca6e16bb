"""Which place's relaxation causes the equivariance error: losses with one place's terms left out (claim X2)."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.results import ResultsError, Run
from models.training.series import Series

COLUMNS = ["run", "seed", "place", "quantity", "step", "full", "without", "change"]


def is_attributed(run: Run) -> bool:
    """Whether the run measured what its places do, after the last step."""
    return any(series.without for series in run.series("val"))


def change_frame(runs: Sequence[Run], names: Sequence[str], quantity: str, group: str = "") -> pd.DataFrame:
    """A row per seed and place: the loss with all terms (`full`), without the place's (`without`), `change`.

    change: by how much L_equiv falls, or any other loss rises, when the terms are taken out. A place that was
    not taken out has none to take. group: of rotations, as in Series. Raises ResultsError where a run has no
    last measurement of `quantity`.
    """
    rows = []
    for run in runs:
        if (full := run.line(quantity, Series(group=group))) is None:
            raise ResultsError(
                f"{run.folder}: no {quantity} of the validation loss; train it with the monitor on."
            )
        for place in names:
            curve = run.line(quantity, Series(group=group, without=place))
            before, after = float(full.value[-1]), float((full if curve is None else curve).value[-1])
            change = before - after if quantity == "L_equiv" else after - before
            rows.append((run.name, run.seed, place, quantity, full.step[-1], before, after, change))
    return pd.DataFrame(rows, columns=COLUMNS)
