"""Trials of one motion, and the windows that the official splits take from them (spec egno.md 2.4 to 2.6)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data.errors import DataError

SPLITS = ("train", "validation", "test")
WINDOW = 32  # frames from the start of a sample to the last one that it needs, both counted: s ... s + 31
MOST_SAMPLES = {"train": 200, "validation": 600, "test": 600}
# Upstream drops the first six frames of every trial that is numbered ten.
_DROPPED = {10: 6}


@dataclass(frozen=True)
class Official:
    """One motion as upstream cut it. trials: the database's trial number of every case.

    positions_file: upstream's converted positions; walk's is in no public place.
    """

    subject: int
    positions_file: str
    split_file: str
    trials: tuple[int, ...]


# Which trial a case is was inferred for most cases: see README.md.
OFFICIAL = {
    "run": Official(9, "motion_run.pkl", "split_run.pkl", (6, 7, 11, 5, 4, 10, 1, 3, 2, 9, 8)),
    "walk": Official(
        35,
        "motion.pkl",
        "split.pkl",
        (5, 11, 10, 4, 12, 6, 7, 13, 3, 2, 16, 14, 28, 29, 15, 1, 30, 31, 33, 32, 9, 8, 34),
    ),
}


@dataclass(frozen=True)
class Trial:
    """positions: (frames, 31, 3) f8. offset: upstream's index of the first frame. source: of what it was made."""

    case: int
    number: int
    positions: np.ndarray
    offset: int
    source: str

    def has(self, start: int) -> bool:
        """Whether the sample that begins at upstream's index `start` lies within the frames."""
        return 0 <= start - self.offset <= len(self.positions) - WINDOW


def upstream_offset(number: int, first_frame: int) -> int:
    """Upstream's index of the database's frame `first_frame`, counted from 1, of trial `number`."""
    return first_frame - 1 - _DROPPED.get(number, 0)


@dataclass(frozen=True)
class Samples:
    """Windows of one split as (case, start), start in upstream's counting.

    official: how many the official split has. missing: those of them that the trials lack.
    filled: how many others stand in for missing ones.
    """

    windows: tuple[tuple[int, int], ...]
    official: int
    missing: int = 0
    filled: int = 0


def official_samples(starts: Mapping[int, np.ndarray], split: str) -> list[tuple[int, int]]:
    """The first starts of each case, as many of each as fit into the split's size; cases in order."""
    each = MOST_SAMPLES[split] // len(starts)
    return [(case, int(start)) for case, of_case in starts.items() for start in of_case[:each]]


def select(
    motion: str,
    split: str,
    starts: Mapping[int, np.ndarray],
    trials: Sequence[Trial],
    missing_samples: str,
) -> Samples:
    """The samples of one split that the trials can give.

    missing_samples: what to do about official samples that they cannot give: "refuse" (DataError), "drop", or
    "fill", which also puts others in their place in the train split.
    """
    by_case = {trial.case: trial for trial in trials}
    official = official_samples(starts, split)
    kept = [(case, start) for case, start in official if case in by_case and by_case[case].has(start)]
    missing = len(official) - len(kept)
    if missing and missing_samples == "refuse":
        absent = sorted({OFFICIAL[motion].trials[case] for case, _ in official if case not in by_case})
        cut = sorted({by_case[c].number for c, s in official if c in by_case and not by_case[c].has(s)})
        reasons = [f"trials {_listed(absent)} are absent"] if absent else []
        reasons += [f"frames of trials {_listed(cut)} are absent"] if cut else []
        raise DataError(
            f"motion {motion}: {missing} of the {len(official)} official {split} samples cannot be had: "
            f"{' and '.join(reasons)}; bring those AMC files, or set data.mocap.missing_samples to fill or drop"
        )
    if not kept:
        raise DataError(f"motion {motion}: no sample of the {split} split can be had from the trials given")
    if split == "train" and missing and missing_samples == "fill":
        filled = filled_samples(starts, by_case, len(official))
        return Samples(tuple(filled), len(official), missing, len(set(filled) - set(kept)))
    return Samples(tuple(kept), len(official), missing)


def filled_samples(
    starts: Mapping[int, np.ndarray], trials: Mapping[int, Trial], size: int
) -> list[tuple[int, int]]:
    """`size` samples from the official starts of the cases that there are.

    First the first (size // cases) starts that each case can give, then, in turns over the cases, each one's next.
    """
    each = size // len(starts)
    queues = {
        case: [int(start) for start in of_case if trials[case].has(int(start))]
        for case, of_case in starts.items()
        if case in trials
    }
    samples = [(case, start) for case, queue in queues.items() for start in queue[:each]]
    rests = {case: queue[each:] for case, queue in queues.items()}
    while len(samples) < size and any(rests.values()):
        for case, rest in rests.items():
            if rest and len(samples) < size:
                samples.append((case, rest.pop(0)))
    return samples


def caveat(motion: str, samples: Mapping[str, Samples], trials: Sequence[Trial]) -> str:
    """What every number computed from these samples has to say of them; empty where nothing is missing."""
    if not any(s.missing for s in samples.values()):
        return ""
    present = {trial.number for trial in trials}
    absent = sorted(set(OFFICIAL[motion].trials) - present)
    parts = []
    for split, s in samples.items():
        if s.missing:
            filled = f", {s.filled} others in their place" if s.filled else ""
            parts.append(f"{split} has {s.official - s.missing} of {s.official} official samples{filled}")
    reason = f"trials {_listed(absent)} of subject {OFFICIAL[motion].subject}" if absent else "frames"
    return f"{motion}: {reason} are absent: {'; '.join(parts)}; which trial is which case is inferred"


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
