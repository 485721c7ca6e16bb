"""The record of a rotation study, and the errors of estimates made from parts of it (paper A B.1, claim X3).

Of S sets of rotations of one kind and size: G (S, S), G_ij = <mu_i - y, mu_j - y> / D with a set's mean prediction
mu_i, and T (S,), the mean over a set's rotations of |Z - y|^2 / D. Percents are of the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import pandas as pd

from analysis.quantities.quantity import Quantity
from analysis.results import Run

COLUMNS = ("step", "weights", "t", "kind", "rotations", "first", "second", "product", "total")
RESAMPLES = 1000
COUNTS = (2, 3, 4, 5, 7, 10, 14, 20, 30, 40, 50, 70, 100)
"""Numbers of independent rotations."""
KINDS = {
    "iid": "random, independent",
    "super_fibonacci": "super-Fibonacci spiral",
    "product_quadrature": "product quadrature",
}
"""Kinds of rotation sets by name."""


@dataclass(frozen=True)
class Sets:
    """Sets of one kind and size."""

    size: int
    G: np.ndarray
    T: np.ndarray

    def __len__(self) -> int:
        return len(self.T)

    @property
    def percent(self) -> np.ndarray:
        """What each set alone gives, without a correction: (S,)."""
        return 100 * (self.T - np.diag(self.G)) / self.T

    @property
    def pooled(self) -> float:
        """The unbiased estimate from all: L_mean from products of different sets."""
        S = len(self)
        L_mean = (self.G.sum() - np.trace(self.G)) / (S * (S - 1))
        return float(100 * (1 - L_mean / self.T.mean()))


@dataclass(frozen=True)
class Study:
    """One run's record: when, of which weights, at which time; the pool of single rotations; deterministic sets.

    batches: of the monitor's, how many it is of; None: all.
    """

    step: int
    weights: str
    t: float
    pool: Sets
    sets: dict[tuple[str, int], Sets]
    batches: int | None = None

    @property
    def most(self) -> tuple[str, Sets]:
        """The kind and the sets that have most rotations in all."""
        named = [("iid", self.pool), *((kind, sets) for (kind, _), sets in self.sets.items())]
        return max(named, key=lambda each: each[1].size * len(each[1]))

    @property
    def reference(self) -> float:
        """The percent that estimates are held against: itself an estimate, unbiased, from the sets with `most`."""
        return self.most[1].pooled

    def kinds(self) -> list[str]:
        """Kinds of deterministic sets."""
        return list(dict.fromkeys(kind for kind, _ in self.sets))


def read_study(run: Run) -> Study | None:
    """The study that a run's folder holds, or None. Raises ResultsError for a file that is something else."""
    frame = run.measured("rotations", COLUMNS)
    if frame is None:
        return None
    found = {}
    for (kind, size), part in frame.groupby(["kind", "rotations"], sort=False):
        S = int(part["second"].max()) + 1
        G = np.zeros((S, S))
        G[part["first"], part["second"]] = G[part["second"], part["first"]] = part["product"]
        own = part[part["first"] == part["second"]].sort_values("first")
        found[str(kind), int(size)] = Sets(int(size), G, own["total"].to_numpy())
    first = frame.iloc[0]
    pool = found.pop(("iid", 1))
    batches = frame.attrs.get("batches")
    return Study(int(first["step"]), str(first["weights"]), float(first["t"]), pool, found, batches)


def bootstrap(pool: Sets, n: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Bias-corrected percents (Prop. 8) of n rotations drawn from the pool with replacement: (resamples,)."""
    K = len(pool)
    shares = np.random.default_rng([seed, n]).multinomial(n, np.full(K, 1 / K), size=resamples) / n
    total = shares @ pool.T
    mean = np.einsum("bk,kl,bl->b", shares, pool.G, shares)
    return 100 * n / (n - 1) * (total - mean) / total


def root_mean_square(values: np.ndarray, reference: float) -> float:
    """Of the deviations from a reference."""
    return float(np.sqrt(np.mean((values - reference) ** 2)))


def estimate_errors(run: Run, study: Study) -> pd.DataFrame:
    """Error, bias and spread of every kind and number of rotations."""
    estimates = [("iid", n, bootstrap(study.pool, n)) for n in COUNTS if n <= len(study.pool)]
    estimates += [(kind, size, sets.percent) for (kind, size), sets in sorted(study.sets.items())]
    rows = []
    for kind, n, percents in estimates:
        # Resamples scatter about the pool's own value, not about that of all rotations.
        centre = study.pool.pooled if kind == "iid" else study.reference
        about = {
            "source": "ours",
            "run": run.name,
            "seed": run.seed,
            "label": KINDS[kind],
            "series": study.weights,
        }
        estimator = "bootstrap" if kind == "iid" else "random turns"
        values = {"error": ("a", root_mean_square(percents, centre)), "mean": ("b", float(percents.mean()))}
        rows += [
            {"panel": panel, "quantity": quantity, "rotations": n, "value": value, "kind": kind,
             "estimator": estimator, "spread": float(percents.std(ddof=1)), **about}
            for quantity, (panel, value) in values.items()
        ]  # fmt: skip
    return pd.DataFrame(rows)


def errors_over(runs: Sequence[Run]) -> dict[tuple[str, int], Quantity]:
    """Root mean square error of the percent by kind and number of rotations, median over seeds with a study."""
    found: dict[tuple[str, int], list[float]] = {}
    for run in runs:
        if (study := read_study(run)) is None:
            continue
        frame = estimate_errors(run, study)
        for row in frame[frame["quantity"] == "error"].itertuples():
            found.setdefault((row.kind, row.rotations), []).append(row.value)
    return {key: Quantity.of(values, "%", middle=median) for key, values in found.items()}
