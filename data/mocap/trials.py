"""Trials of one motion, and the windows that the official splits take from them (spec egno.md 2.4 to 2.6)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data.errors import DataError
from data.mocap.official import DROPPED, MOST_SAMPLES, OFFICIAL

SPLITS = ("train", "validation", "test")
WINDOW = 32  # frames from the start of a sample to the last one that it needs, both counted: s ... s + 31


@dataclass(frozen=True)
class Trial:
    """positions: (frames, 31, 3) f8. offset: upstream's index of the first frame. source: its file, or generated name.

    supplied: how many of the first frames come from another conversion than the rest.
    """

    case: int
    number: int
    positions: np.ndarray
    offset: int
    source: str
    supplied: int = 0

    def has(self, start: int) -> bool:
        """Whether the sample that begins at upstream's index `start` lies within the frames."""
        return 0 <= start - self.offset <= len(self.positions) - WINDOW


def upstream_offset(number: int, first_frame: int) -> int:
    """Upstream's index of the database's frame `first_frame`, counted from 1, of trial `number`."""
    return first_frame - 1 - DROPPED.get(number, 0)


@dataclass(frozen=True)
class Samples:
    """Windows of one split as (case, start), start in upstream's counting.

    official: how many the official split has. missing: official samples that are not in the trials. filled: how many
    other samples replace missing ones.
    """

    windows: tuple[tuple[int, int], ...]
    official: int
    missing: tuple[tuple[int, int], ...] = ()
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
    """The samples of one split that are in the trials. DataError for a case that the motion does not have.

    missing_samples: what happens to official samples that are not in the trials: "refuse" (DataError), "drop", or
    "fill", which also replaces them by other samples in the train split.
    """
    cases = len(OFFICIAL[motion].trials)
    strange = [case for case in starts if not 0 <= case < cases]
    if strange:
        raise DataError(
            f"pickle {OFFICIAL[motion].split_file}: the {split} split asks for case {strange[0]}, and the motion "
            f"{motion} has the cases 0 to {cases - 1}"
        )
    by_case = {trial.case: trial for trial in trials}
    official = official_samples(starts, split)
    kept = [(case, start) for case, start in official if case in by_case and by_case[case].has(start)]
    missing = tuple(sample for sample in official if sample not in set(kept))
    if missing and missing_samples == "refuse":
        raise DataError(
            f"motion {motion}: {len(missing)} of the {len(official)} official {split} samples are missing: "
            f"{_reasons(motion, missing, trials)}; bring those AMC files, or set data.mocap.missing_samples to fill "
            "or drop"
        )
    if not kept:
        raise DataError(f"motion {motion}: the trials given have no sample of the {split} split")
    if split == "train" and missing and missing_samples == "fill":
        filled = filled_samples(starts, by_case, len(official))
        return Samples(tuple(filled), len(official), missing, len(set(filled) - set(kept)))
    return Samples(tuple(kept), len(official), missing)


def filled_samples(
    starts: Mapping[int, np.ndarray], trials: Mapping[int, Trial], size: int
) -> list[tuple[int, int]]:
    """`size` samples from the official starts of the cases that are present.

    First the first (size // cases) starts of each case, then one more of each case in turn.
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
    """A sentence that belongs beside every number from these samples; empty if they are the official ones.

    It names the official samples that are missing, by split, and the reason; frames of another conversion in which
    samples begin; and that the trial of each case was inferred, unless upstream's own positions were read.
    """
    parts = []
    for split, s in samples.items():
        if s.missing:
            filled = f", {s.filled} others in their place" if s.filled else ""
            parts.append(
                f"{split} has {s.official - len(s.missing)} of {s.official} official samples "
                f"(missing: {_reasons(motion, s.missing, trials)}){filled}"
            )
    for trial in trials:
        begin = {
            split: sum(
                case == trial.case and start - trial.offset < trial.supplied for case, start in s.windows
            )
            for split, s in samples.items()
        }
        parts += [
            f"the first {trial.supplied} frames of trial {trial.number}, in which {count} {split} samples begin, are "
            "of a BVH conversion"
            for split, count in begin.items()
            if count
        ]
    if any(trial.source != OFFICIAL[motion].positions_file for trial in trials):
        parts.append("which trial is which case is inferred")
    return f"{motion}, subject {OFFICIAL[motion].subject}: {'; '.join(parts)}" if parts else ""


def _reasons(motion: str, missing: Sequence[tuple[int, int]], trials: Sequence[Trial]) -> str:
    """Why these samples are missing: how many because which trials are absent, or frames of which trials."""
    present = {trial.case for trial in trials}
    wants = {
        "": [c for c, _ in missing if c not in present],
        "frames of ": [c for c, _ in missing if c in present],
    }
    return ", ".join(
        f"{len(cases)} because {want}{_listed({OFFICIAL[motion].trials[case] for case in cases}, bool(want))} absent"
        for want, cases in wants.items()
        if cases
    )


def _listed(numbers: Collection[int], plural: bool) -> str:
    """The subject and verb of a sentence: "trial 6 is" or "trials 3, 4 are"."""
    one = len(numbers) == 1
    verb = "are" if plural or not one else "is"
    return f"trial{'' if one else 's'} {', '.join(map(str, sorted(numbers)))} {verb}"
