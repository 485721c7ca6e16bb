"""ASF: the skeleton of one subject."""

from pathlib import Path

import numpy as np

from data.errors import DataError
from data.mocap.kinematics import Skeleton
from data.mocap.skeleton import JOINTS, PARENTS

ROOT_ORDER = ("tx", "ty", "tz", "rx", "ry", "rz")
FREEDOMS = {"rx": 0, "ry": 1, "rz": 2}
NEEDED = ("direction", "length", "axis")


def read_asf(path: Path) -> Skeleton:
    """The skeleton that the file describes; DataError unless it is the one of 31 joints."""
    sections = _sections(path)
    _check_root(path, sections.get("root", []))
    _check_length_and_angle_units(path, sections.get("units", []))
    _check_hierarchy(path, sections.get("hierarchy", []))
    bones = _bones(path, sections.get("bonedata", []))
    direction, length, axis = np.zeros((31, 3)), np.zeros(31), np.zeros((31, 3))
    freedoms: list[tuple[int, ...]] = [()]
    for row, name in enumerate(JOINTS[1:], 1):
        if name not in bones:
            raise DataError(f"skeleton {path} has no bone '{name}': fetch the file again")
        bone = bones[name]
        for key in NEEDED:
            if key not in bone:
                raise DataError(f"skeleton {path}: bone '{name}' has no {key}: fetch the file again")
        direction[row] = _numbers(path, name, bone, "direction", 3)
        (length[row],) = _numbers(path, name, bone, "length", 1)
        if length[row] < 0:
            raise DataError(f"skeleton {path}: bone '{name}' has the negative length {length[row]:g}")
        order = bone["axis"][3:]
        if [word.lower() for word in order] != ["xyz"]:
            raise DataError(
                f"skeleton {path}: bone '{name}' turns about its axes in the order {' '.join(order) or '(none)'}, "
                "not XYZ, the only one that is understood"
            )
        axis[row] = _numbers(path, name, bone | {"axis": bone["axis"][:3]}, "axis", 3)
        moves = [word.lower() for word in bone.get("dof", [])]
        unknown = [word for word in moves if word not in FREEDOMS]
        if unknown:
            raise DataError(
                f"skeleton {path}: bone '{name}' moves by '{unknown[0]}', not one of {', '.join(FREEDOMS)}"
            )
        if len(set(moves)) != len(moves):
            raise DataError(
                f"skeleton {path}: bone '{name}' moves by the same angle twice: {' '.join(moves)}"
            )
        freedoms.append(tuple(FREEDOMS[word] for word in moves))
    return Skeleton(direction, length, axis, tuple(freedoms))


def _sections(path: Path) -> dict[str, list[list[str]]]:
    """Lines as words, by the section they are in."""
    if not path.exists():
        raise DataError(f"skeleton {path} does not exist: fetch it with python -m data.fetch {path}.dvc")
    sections: dict[str, list[list[str]]] = {}
    lines: list[list[str]] = []
    for line in path.read_text(encoding="latin-1").splitlines():
        words = line.split()
        if line.startswith(":"):
            lines = sections.setdefault(words[0][1:].lower(), [])
        elif words and not line.startswith("#"):
            lines.append(words)
    if "bonedata" not in sections or "hierarchy" not in sections:
        raise DataError(f"skeleton {path} is truncated or not an ASF file: it lacks :bonedata or :hierarchy")
    return sections


def _check_root(path: Path, lines: list[list[str]]) -> None:
    values = {words[0].lower(): [word.lower() for word in words[1:]] for words in lines}
    if tuple(values.get("order", ())) != ROOT_ORDER or values.get("axis") != ["xyz"]:
        raise DataError(
            f"skeleton {path}: the root's order is {' '.join(values.get('order', [])) or '(none)'}, not "
            f"{' '.join(ROOT_ORDER)} about XYZ, the only one that is understood"
        )


def _check_length_and_angle_units(path: Path, lines: list[list[str]]) -> None:
    values = {words[0].lower(): words[1:] for words in lines}
    if values.get("angle") != ["deg"] or values.get("length") != ["0.45"]:
        raise DataError(
            f"skeleton {path} is in units length {' '.join(values.get('length', ['?']))}, angle "
            f"{' '.join(values.get('angle', ['?']))}, not 0.45 and deg as the CMU database"
        )


def _check_hierarchy(path: Path, lines: list[list[str]]) -> None:
    children = {words[0]: words[1:] for words in lines if words[0] not in ("begin", "end")}
    named = [child for words in children.values() for child in words]
    missing = [name for name in JOINTS[1:] if name not in named]
    if missing:
        raise DataError(f"skeleton {path}: the hierarchy has no joint '{missing[0]}': 31 joints are needed")
    found = ["root"]
    for name in found:  # grows: depth first, children in the order listed
        at = found.index(name) + 1
        found[at:at] = [child for child in children.get(name, []) if child not in found]
    parents = {child: parent for parent, words in children.items() for child in words}
    expected = {name: JOINTS[parent] for name, parent in zip(JOINTS[1:], PARENTS[1:], strict=True)}
    if tuple(found) != JOINTS or parents != expected or len(named) != len(set(named)):
        raise DataError(
            f"skeleton {path}: the hierarchy is not that of the 31 joints, or lists them in another order: "
            f"{' '.join(found[:8])} ..."
        )


def _bones(path: Path, lines: list[list[str]]) -> dict[str, dict[str, list[str]]]:
    """Key and words of every bone, by its name; a block that is not closed is a truncated file."""
    bones: dict[str, dict[str, list[str]]] = {}
    bone: dict[str, list[str]] | None = None
    for words in lines:
        if words[0] == "begin":
            bone = {}
        elif words[0] == "end" and bone is not None:
            (name, *_) = bone.get("name") or [None]
            if name is None:
                raise DataError(f"skeleton {path}: a bone has no name: fetch the file again")
            if name in bones:
                raise DataError(f"skeleton {path} has two bones '{name}': fetch the file again")
            bones[name] = bone
            bone = None
        elif bone is not None:
            bone[words[0].lower()] = words[1:]
    if bone is not None:
        name = " ".join(bone.get("name", [])) or "?"
        raise DataError(f"skeleton {path} ends within bone '{name}': fetch it again")
    return bones


def _numbers(path: Path, name: str, bone: dict[str, list[str]], key: str, count: int) -> list[float]:
    try:
        values = [float(word) for word in bone[key]]
    except ValueError:
        values = []
    if len(values) != count or not np.isfinite(values).all():
        raise DataError(
            f"skeleton {path}: bone '{name}' has {key} {' '.join(bone[key])!r} where {count} numbers are needed"
        )
    return values
