"""Errors of the simplest predictions of one frame from an earlier one, without a network.

They show whether a data set is the published one (spec segnn.md 2.2); a trained network should have smaller errors.
"""

from dataclasses import dataclass

import numpy as np

from data.nbody.simulate import DT
from data.nbody.store import NBodyStore

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Frames:
    """One split in float64, (C, n, 3) each. x, v: position and velocity of the input frame. y: of the target frame."""

    x: np.ndarray
    v: np.ndarray
    y: np.ndarray


def baselines(store: NBodyStore, source: int, target: int) -> dict[str, dict[str, float]]:
    """Mean squared errors over all coordinates, {prediction: {split: MSE}}, fitted on train where there is a parameter.

    static: y = x. velocity: y = x + (target - source) frames of v. drift: y = x + t v. linear: y = A [x; v] + b.
    variance: of the coordinates of y. Also drift_t, the fitted t, under "fitted".
    """
    splits = {name: _frames(store, name, source, target) for name in SPLITS}
    train = splits["train"]
    horizon = (target - source) * store.config["sample_freq"] * DT
    t = ((train.y - train.x) * train.v).sum() / (train.v**2).sum()
    A, *_ = np.linalg.lstsq(_features(train), train.y.reshape(-1, 3), rcond=None)
    predictions = {
        "static": lambda s: s.x,
        "velocity": lambda s: s.x + horizon * s.v,
        "drift": lambda s: s.x + t * s.v,
        "linear": lambda s: (_features(s) @ A).reshape(s.y.shape),
    }
    errors = {
        name: {split: float(np.mean((predict(s) - s.y) ** 2)) for split, s in splits.items()}
        for name, predict in predictions.items()
    }
    variance = {split: float(s.y.var()) for split, s in splits.items()}
    return errors | {"variance": variance, "fitted": {"drift_t": float(t)}}


def _frames(store: NBodyStore, split: str, source: int, target: int) -> Frames:
    read = store.read(store.split_indices(split), [source, target])
    position, velocity = (a.astype(np.float64) for a in (read.position, read.velocity))
    return Frames(position[:, 0], velocity[:, 0], position[:, 1])


def _features(s: Frames) -> np.ndarray:
    flat = np.concatenate([s.x, s.v], axis=-1).reshape(-1, 6)
    return np.hstack([flat, np.ones((len(flat), 1))])
