"""Five charged particles: initial conditions from the published random stream, and their motion (spec segnn.md 2.1).

Coulomb forces in vacuum between unit masses, in units of length, time and charge that make every constant 1. Arrays
hold all trajectories n at once, last, and work component by component (3, 5, n). Only +, -, *, / and square
roots of single numbers occur, all correctly rounded, so that a trajectory is the same to the bit on every machine, and
the same whichever others are computed with it. That matters: after close encounters rounding decides.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from data.errors import DataError

PARTICLES = 5
DT = 1e-3  # [time]
SPEED = 0.5  # of every particle at the start [length/time]
LARGEST_FORCE = 0.1 / DT  # of each component of the total force
WALL = 5.0  # a coordinate that starts beyond it is reflected; later there is no wall [length]
LARGEST_COORDINATE = 1e3  # beyond it a trajectory has diverged: the published set stays within 14 [length]


@dataclass(frozen=True)
class InitialState:
    """n trajectories at time 0. charges: (n, 5). position, velocity: (n, 3, 5)."""

    charges: np.ndarray
    position: np.ndarray
    velocity: np.ndarray

    def __len__(self) -> int:
        return len(self.charges)

    def __getitem__(self, rows: slice) -> "InitialState":
        return InitialState(self.charges[rows], self.position[rows], self.velocity[rows])


def draw(seed: int, trajectories: int, frames: int) -> InitialState:
    """The first `trajectories` of the published stream of a seed, one after another.

    frames: how many a published trajectory has; noise for each of them is drawn too and multiplied by 0, which advances
    the stream.
    """
    stream = np.random.RandomState(seed)  # the legacy generator, which upstream seeds
    shape = (3, PARTICLES)
    charges = np.empty((trajectories, PARTICLES))
    position, direction = np.empty((2, trajectories, *shape))
    for k in range(trajectories):
        charges[k] = stream.choice([-1.0, 0.0, 1.0], size=(PARTICLES, 1), p=[0.5, 0, 0.5])[:, 0]
        position[k] = stream.standard_normal(shape)
        direction[k] = stream.standard_normal(shape)
        stream.standard_normal(2 * frames * position[k].size)
    return start(charges, position, direction)


def start(charges: np.ndarray, position: np.ndarray, direction: np.ndarray) -> InitialState:
    """Gives every particle its speed along `direction` (n, 3, 5), and reflects coordinates that start beyond the wall.

    A DataError names a trajectory whose particles share a place or that has no direction.
    """
    x, y, z = np.moveaxis(direction, 1, 0)
    length = np.sqrt(x * x + y * y + z * z)
    _refuse(length == 0, "particle {0} of trajectory {row} has no direction to move in")
    velocity = direction * (SPEED / length)[:, None]
    position = position.copy()
    above, below = position > WALL, position < -WALL
    position[above] = 2 * WALL - position[above]
    position[below] = -2 * WALL - position[below]
    velocity = np.where(above, -np.abs(velocity), np.where(below, np.abs(velocity), velocity))
    together = (position[..., :, None] == position[..., None, :]).all(1)
    _refuse(
        np.triu(together, 1),
        "particles {0} and {1} of trajectory {row} start at the same point",
    )
    return InitialState(charges, position, velocity)


def _refuse(bad: np.ndarray, sentence: str) -> None:
    """DataError for the first entry of `bad` (n, ...): {row} and its further indices {0}, {1} go into the sentence."""
    if bad.any():
        row, *where = np.argwhere(bad)[0]
        raise DataError(sentence.format(*where, row=row))


def _pairs() -> Iterator[tuple[int, slice]]:
    """For each distance k: the pairs (a + k, a), and their places among all ten."""
    first = 0
    for k in range(1, PARTICLES):
        yield k, slice(first, first := first + PARTICLES - k)


def integrate(initial: InitialState, steps: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
    """Positions and velocities after each of the ascending `steps`: (n, len(steps), 3, 5) each.

    The scheme is the published one, a full kick before every drift: the velocity of a frame is the one that has just
    moved the particles. DataError if a trajectory diverges.
    """
    slot = {step: k for k, step in enumerate(steps)}
    pairs = list(_pairs())
    x, v = (np.moveaxis(start, 0, -1).copy() for start in (initial.position, initial.velocity))
    q = initial.charges.T
    n = len(initial)
    qq = np.concatenate([q[k:] * q[: PARTICLES - k] for k, _ in pairs])  # (10, n)
    d, squares = np.empty((2, 3, len(qq), n))
    squared, distance = np.empty((2, len(qq), n))
    force, moved = np.empty((2, 3, PARTICLES, n))
    kept = np.empty((2, n, len(slot), 3, PARTICLES))

    def kick() -> None:
        """v += dt F, F on particle a the sum over b of q_a q_b (x_a - x_b) / |x_a - x_b|^3, clipped."""
        for k, where in pairs:
            np.subtract(x[:, k:], x[:, :-k], out=d[:, where])
        np.multiply(d, d, out=squares)
        np.add(squares[0], squares[1], out=squared)
        np.add(squared, squares[2], out=squared)
        np.sqrt(squared, out=distance)
        np.multiply(squared, distance, out=squared)
        np.divide(qq, squared, out=squared)
        np.multiply(d, squared, out=d)
        force.fill(0)
        for k, where in pairs:
            force[:, k:] += d[:, where]
            force[:, :-k] -= d[:, where]
        np.clip(force, -LARGEST_FORCE, LARGEST_FORCE, out=force)
        np.multiply(force, DT, out=moved)
        np.add(v, moved, out=v)

    with np.errstate(all="ignore"):  # overflow and nan are found below
        for step in range(1, max(slot) + 1):
            kick()
            np.multiply(v, DT, out=moved)
            np.add(x, moved, out=x)
            if step in slot:
                kept[:, :, slot[step]] = np.moveaxis(np.stack([x, v]), -1, 1)
    _refuse(
        ~(np.abs(kept[0]) < LARGEST_COORDINATE).all((1, 2, 3)) | ~np.isfinite(kept[1]).all((1, 2, 3)),
        f"the integration of trajectory {{row}} diverges within {max(slot)} steps: its particles come too close",
    )
    return kept[0], kept[1]
