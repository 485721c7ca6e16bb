"""The official motions and samples, as upstream cut them (spec egno.md 2.4 to 2.6)."""

from dataclasses import dataclass

STARTS = {"run": 90, "walk": 300}  # samples start at one of the first so many frames
MOST_SAMPLES = {"train": 200, "validation": 600, "test": 600}
DROPPED = {10: 6}  # first frames that upstream drops, by the number of a trial


@dataclass(frozen=True)
class Official:
    """One motion as upstream cut it. trials: the database's trial number of every case.

    positions_file: upstream's converted positions; that of walk is not public.
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
