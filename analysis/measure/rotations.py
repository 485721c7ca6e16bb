"""How many rotations an estimate of equivariance error needs, of which kind (paper A B.1; claim X3).

At one step of training a problem is measured with a pool of i.i.d. rotations and with repetitions of deterministic
sets, each turned as a whole by a random rotation. What is kept follows from sums over all samples:

    G_ij = <mu_i - y, mu_j - y> / D,    T_i = mean over rotations k of set i of |Z_k - y|^2 / D

for sets i, j of one kind and size, with mu_i a set's mean prediction. A set of the pool is one rotation, so that
naive losses of any choice of them with shares c are T = sum_i c_i G_ii and L_mean = sum_ij c_i c_j G_ij. Those of a
deterministic set are T_i and G_ii, and G_ij of two independently turned ones is an unbiased estimate of L_mean.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from analysis.measure.settings import RotationsSettings
from analysis.measure.trained import Trained
from models.training.sampling import stream_seed
from twirl.monitor import step_seed, undisturbed
from twirl.problem import Problem
from twirl.rotations import KINDS, RotationSet, rotation_set
from twirl.twisting import average


def measure(network: Trained, settings: RotationsSettings) -> pd.DataFrame:
    """Every set of every kind on the monitor's batches.

    Columns: step, weights, t (nan where there is none); kind and rotations of a set; first, second: two sets,
    first <= second; product: G; total: T of a set with itself, else empty.
    """
    module, frames = network.module, []
    with undisturbed(module, step_seed(network.seed, network.step)):
        problems = [_problem(module, batch, settings) for batch in network.batches(settings.batches)]
        for kind, size, count in groups(settings):
            sets = _sets(network, kind, size, count)
            frames.append(_rows(gram_sums(problems, sets, settings.chunk), kind, size))
    t = math.nan if settings.t is None else settings.t
    about = {"step": network.step, "weights": settings.weights, "t": t}
    return pd.concat(frames, ignore_index=True).assign(**about)


def groups(settings: RotationsSettings) -> list[tuple[str, int, int]]:
    """(kind, rotations in a set, sets) of everything that is measured."""
    deterministic = [(kind, size, settings.turns) for kind in KINDS[1:] for size in getattr(settings, kind)]
    return [("iid", 1, settings.pool), *deterministic]


def _problem(module: LightningModule, batch: Any, settings: RotationsSettings) -> Problem:
    if settings.t is None:
        return module.twirl_problems(batch)[settings.weights]
    return module.problem_at(batch, settings.weights, settings.t)


def _sets(network: Trained, kind: str, size: int, count: int) -> list[RotationSet]:
    seed = stream_seed(network.seed, "test", network.step, KINDS.index(kind), size)
    generator = torch.Generator().manual_seed(seed)
    return [rotation_set(kind, size, generator) for _ in range(count)]


def gram_sums(problems: list[Problem], sets: list[RotationSet], chunk: int | None = None) -> Tensor:
    """Sums over problems, so that several processes add up: (S + 2, S) float64 for S sets.

    D G, then D T, then D, the number of components, repeated.
    """
    sums = torch.zeros(len(sets) + 2, len(sets), dtype=torch.float64)
    for problem in problems:
        y = problem.y.double()
        residuals, totals = [], []
        for Z, weights in _predictions(problem, sets, chunk):
            difference = (Z.double() - y).flatten(1)
            totals.append((weights.to(Z.device) * difference.square().sum(1)).sum())
            residuals.append(average(difference, weights))
        stacked = torch.stack(residuals)
        sums += torch.cat(
            [stacked @ stacked.T, torch.stack(totals)[None], totals[0].new_full((1, len(sets)), y.numel())]
        ).cpu()
    return sums


def _predictions(problem: Problem, sets: list[RotationSet], chunk: int | None):
    """Twisted predictions and weights of every set; single rotations are twisted together."""
    if all(len(each) == 1 for each in sets):
        together = torch.cat([each.elements for each in sets])
        pool = RotationSet(together, torch.full((len(sets),), 1 / len(sets), dtype=torch.float64), "iid")
        for Z in problem.twist(pool.to(problem.y.device), chunk):
            yield Z[None], sets[0].weights
    else:
        for each in sets:
            yield problem.twist(each.to(problem.y.device), chunk), each.weights


def _rows(sums: Tensor, kind: str, size: int) -> pd.DataFrame:
    sums = sums.numpy() / sums[-1, 0].item()
    first, second = np.triu_indices(sums.shape[1])
    total = np.where(first == second, sums[-2][first], np.nan)
    columns: Mapping[str, Any] = {
        "first": first,
        "second": second,
        "product": sums[first, second],
        "total": total,
    }
    return pd.DataFrame({"kind": kind, "rotations": size, **columns})
