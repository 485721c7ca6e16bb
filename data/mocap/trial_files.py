"""Trials from raw files: upstream's converted positions, or the database's own ASF and AMC files."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.errors import DataError
from data.mocap.amc import read_amc
from data.mocap.asf import read_asf
from data.mocap.kinematics import Skeleton, chain, joint_positions, rotation
from data.mocap.official import OFFICIAL
from data.mocap.pickles import read_positions
from data.mocap.skeleton import JOINTS
from data.mocap.trials import Trial, upstream_offset

_TRIAL = re.compile(r"(\d\d)_(\d\d)\.amc")
# First frames of trials, from frame 1 on, that no public AMC file has, by (subject, trial).
READS = ("supplement/*.txt",)
SUPPLEMENTS = {(35, 5): Path(__file__).with_name("supplement") / "35_05_frames_1-9.txt"}


def read_trials(motion: str, files: Sequence[Path]) -> list[Trial]:
    """The trials of one motion that are in the files, by case. Files of the other motion are ignored."""
    official = OFFICIAL[motion]
    by_name = {file.name: file for file in files}
    if official.positions_file in by_name:
        return _converted(motion, by_name[official.positions_file])
    amc = {}
    for name, file in by_name.items():
        match = _TRIAL.fullmatch(name)
        if match and int(match[1]) == official.subject:
            amc[int(match[2])] = file
    if not amc:
        raise DataError(
            f"data.mocap.files has no trial of the motion {motion}: list {official.positions_file}, or "
            f"{official.subject:02d}.asf with {official.subject:02d}_01.amc and so on"
        )
    asf = f"{official.subject:02d}.asf"
    if asf not in by_name:
        raise DataError(f"data.mocap.files lacks {asf}, the skeleton of the motion {motion}")
    unknown = sorted(set(amc) - set(official.trials))
    if unknown:
        raise DataError(
            f"trial {amc[unknown[0]]} is not one of the {motion} trials: {sorted(official.trials)} of subject "
            f"{official.subject}"
        )
    skeleton = read_asf(by_name[asf])
    return [
        _trial(case, number, amc[number], skeleton)
        for case, number in enumerate(official.trials)
        if number in amc
    ]


def _converted(motion: str, file: Path) -> list[Trial]:
    numbers = OFFICIAL[motion].trials
    trials = read_positions(file)
    if len(trials) != len(numbers):
        raise DataError(
            f"pickle {file} has {len(trials)} trials where the motion {motion} has {len(numbers)}"
        )
    return [
        Trial(case, number, positions, 0, file.name)
        for case, (number, positions) in enumerate(zip(numbers, trials, strict=True))
    ]


def _trial(case: int, number: int, file: Path, skeleton: Skeleton) -> Trial:
    read = read_amc(file, skeleton)
    positions, first, source = joint_positions(skeleton, read.root, read.angles), read.first_frame, file.name
    supplied = 0
    subject = int(file.name[:2])
    if (subject, number) in SUPPLEMENTS and first > 1:
        beginning = _beginning(SUPPLEMENTS[subject, number], skeleton)[: first - 1]
        if len(beginning) == first - 1:
            positions, first, source = np.concatenate([beginning, positions]), 1, f"{source} and BVH"
            supplied = len(beginning)
    offset = upstream_offset(number, first)
    dropped = max(0, -offset)  # by upstream, and so here
    return Trial(case, number, positions[dropped:], offset + dropped, source, max(0, supplied - dropped))


def _beginning(file: Path, skeleton: Skeleton) -> np.ndarray:
    """Frames from the first one on, from a file whose lines hold a root position and angles z y x of every joint."""
    numbers = np.loadtxt(file)
    angles = numbers[:, 3:].reshape(len(numbers), len(JOINTS), 3)[..., ::-1]
    return chain(skeleton, numbers[:, :3], rotation(angles))
