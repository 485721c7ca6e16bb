"""AMC: the joint angles of one trial, frame by frame."""

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from data.errors import DataError
from data.mocap.kinematics import Skeleton
from data.mocap.skeleton import JOINTS

_FRAME = re.compile(r"[0-9]{1,9}")
# Declarations that a file may make: every angle is there, and in degrees.
_DECLARED = (":FULLY-SPECIFIED", ":DEGREES")


@dataclass(frozen=True)
class Angles:
    """first_frame: the number of the first frame (the database counts from 1). root, angles: see joint_positions."""

    first_frame: int
    root: np.ndarray
    angles: np.ndarray


def read_amc(path: Path, skeleton: Skeleton) -> Angles:
    """All frames of a file; DataError at the first that is incomplete or out of order, or for other units."""
    if not path.exists():
        raise DataError(f"trial {path} does not exist: fetch it with python -m data.fetch {path}.dvc")
    text = path.read_text(encoding="latin-1").replace("\x1a", "")
    written = [line.split() for line in text.splitlines() if line.strip() and line[0] != "#"]
    declared = [words[0] for words in written if words[0].startswith(":")]
    unknown = [word for word in declared if word.upper() not in _DECLARED]
    if unknown:
        raise DataError(
            f"trial {path} declares {unknown[0]}, and only {' and '.join(_DECLARED)} are understood"
        )
    lines = [words for words in written if not words[0].startswith(":")]
    starts = [k for k, words in enumerate(lines) if len(words) == 1 and _FRAME.fullmatch(words[0])]
    if not starts or starts[0] != 0:
        raise DataError(f"trial {path} has no frames: it is truncated or not an AMC file")
    if not text.endswith("\n"):
        raise DataError(
            f"trial {path} does not end with a line break, so its last number may be cut: fetch it again"
        )
    frames = [lines[a + 1 : b] for a, b in zip(starts, [*starts[1:], len(lines)], strict=True)]
    numbers = [int(lines[k][0]) for k in starts]
    for before, number in pairwise(numbers):
        if number != before + 1:
            raise DataError(
                f"trial {path}: frame {number} follows frame {before}: frames are missing or out of order"
            )
    counts = {"root": 6} | {
        name: len(freedoms) for name, freedoms in zip(JOINTS, skeleton.freedoms, strict=True) if freedoms
    }
    values = np.array(
        [
            _frame(path, number, frame, counts, [words[0] for words in frames[0]])
            for number, frame in zip(numbers, frames, strict=True)
        ]
    )
    angles = np.zeros((len(frames), len(JOINTS), 3))
    column = 6
    for row, freedoms in enumerate(skeleton.freedoms):
        angles[:, row, list(freedoms)] = values[:, column : column + len(freedoms)]
        column += len(freedoms)
    return Angles(numbers[0], values[:, :6], angles)


def _frame(
    path: Path, number: int, lines: list[list[str]], counts: dict[str, int], order: list[str]
) -> list[float]:
    """The numbers of one frame, with joints in the order of JOINTS."""
    found = {words[0]: words[1:] for words in lines}
    names = [words[0] for words in lines]
    for name in found:
        if names.count(name) > 1:
            raise DataError(f"trial {path}: frame {number} lists the joint '{name}' twice: it is damaged")
    for name, count in counts.items():
        if name not in found:
            raise DataError(f"trial {path}: frame {number} has no joint '{name}': it is truncated or damaged")
        if len(found[name]) != count:
            raise DataError(
                f"trial {path}: frame {number}, joint '{name}' has {len(found[name])} angles where the skeleton "
                f"has {count}"
            )
    for name in found:
        if name not in counts:
            raise DataError(
                f"trial {path}: frame {number} has the joint '{name}', which does not move in the skeleton: "
                "is it of another subject?"
            )
    if names != order:
        raise DataError(
            f"trial {path}: frame {number} lists its joints in another order than the first frame: it is damaged"
        )
    try:
        values = [float(word) for name in counts for word in found[name]]
    except ValueError as error:
        raise DataError(f"trial {path}: frame {number} has a value that is not a number ({error})") from error
    if not np.isfinite(values).all():
        raise DataError(f"trial {path}: frame {number} has a value that is not finite")
    return values
