"""Tiny files of the formats that data/mocap reads, and a small block of generated motions."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from data.mocap.skeleton import JOINTS, PARENTS

PARAMETRIC = {
    "source": "parametric",
    "train_trials": 3,
    "validation_trials": 2,
    "test_trials": 2,
    "starts_per_trial": 5,
}
_AXES = ("rx", "ry", "rz")
# Of some joints the angles that they have; all others but the hip joints have all three.
_FREEDOMS = {"lhipjoint": "", "rhipjoint": "", "ltibia": "rx", "rtibia": "rx", "lfoot": "rx rz"}


def freedoms(name: str) -> list[str]:
    return _FREEDOMS.get(name, "rx ry rz").split()


def asf_text() -> str:
    """A skeleton whose bones have directions, lengths and axes of their own."""
    rng = np.random.default_rng(0)
    lines = [":version 1.10", ":units", "  mass 1.0", "  length 0.45", "  angle deg", ":root"]
    lines += ["  order TX TY TZ RX RY RZ", "  axis XYZ", "  position 0 0 0", ":bonedata"]
    for k, name in enumerate(JOINTS[1:], 1):
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        lines += ["  begin", f"    id {k}", f"    name {name}"]
        lines += [f"    direction {' '.join(map(repr, direction.tolist()))}", f"    length {1 + 0.1 * k}"]
        lines += [f"    axis {5 * k} {-3 * k} {2 * k}  XYZ"]
        if freedoms(name):
            lines += [f"    dof {' '.join(freedoms(name))}", "    limits (-90 90)", "           (-90 90)"]
        lines += ["  end"]
    lines += [":hierarchy", "  begin"]
    for k, name in enumerate(JOINTS):
        children = [JOINTS[c] for c in range(1, len(JOINTS)) if PARENTS[c] == k]
        if children:
            lines.append(f"    {name} {' '.join(children)}")
    return "\n".join([*lines, "  end", ""])


def amc_text(frames: int = 40, first: int = 1, seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    lines = ["#!OML:ASF", ":FULLY-SPECIFIED", ":DEGREES"]
    for k in range(first, first + frames):
        lines += [str(k), f"root {' '.join(map(repr, rng.normal(size=6).tolist()))}"]
        for name in reversed(JOINTS[1:]):
            if freedoms(name):
                angles = rng.normal(scale=30, size=len(freedoms(name))).tolist()
                lines.append(f"{name} {' '.join(map(repr, angles))}")
    return "\n".join([*lines, ""])


def amc_folder(folder: Path, trials: Mapping[int, int], subject: int = 35) -> list[str]:
    """A skeleton and trials of so many frames in `folder`; the names of the files."""
    (folder / f"{subject:02d}.asf").write_text(asf_text())
    for number, frames in trials.items():
        (folder / f"{subject:02d}_{number:02d}.amc").write_text(amc_text(frames, seed=number))
    return [path.name for path in sorted(folder.iterdir())]


def bones() -> list[list[int]]:
    return [[child, int(parent)] for child, parent in enumerate(PARENTS[1:], 1)]


def positions_pickle(path: Path, frames: int = 130, trials: int = 11, joints: int = 31) -> Path:
    rng = np.random.default_rng(0)
    content = bones(), [rng.normal(size=(frames, joints, 3)) for _ in range(trials)]
    path.write_bytes(pickle.dumps(content, protocol=3))
    return path


def split_pickle(path: Path, train, validation, test, starts: int = 80, frames: int = 90) -> Path:
    rng = np.random.default_rng(0)
    splits = tuple(
        {case: rng.permutation(frames)[:starts] for case in cases} for cases in (train, validation, test)
    )
    path.write_bytes(pickle.dumps(splits))
    return path
