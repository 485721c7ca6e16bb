"""Parametric, CAD-like shapes in canonical poses (z up): what the mini tier trains on.

Eight families of objects, each in two poses that are two classes: `chair` stands, `chair_tipped` lies on its back.
The two classes of a family have the same distribution up to a rotation, so that a classifier that ignores orientation
cannot tell them apart, and one that uses it can (specs recm.md, preamble, and vn_pointnet.md 8).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from data.digest import name_digest
from data.errors import DataError
from data.modelnet40.classes import GENERATED
from data.modelnet40.clouds import LabelledCloud
from data.modelnet40.meshes import Mesh, cloud_of, joined
from data.modelnet40.primitives import box, lathe, quads, rod, tube


def table(rng: np.random.Generator) -> Mesh:
    """A round or rectangular top on four legs, a pedestal or two panels."""
    width, height, thickness = rng.uniform(0.9, 2.0), rng.uniform(0.5, 1.0), rng.uniform(0.04, 0.12)
    depth = width * rng.uniform(0.5, 1.0)
    kind = rng.choice(["legs", "pedestal", "panels"], p=[0.6, 0.2, 0.2])
    if kind != "panels" and rng.random() < 0.35:
        depth = width
        parts = [rod(width / 2, thickness, (0, 0, height), sides=32)]
        spread = 0.5
    else:
        parts = [box((width, depth, thickness), (0, 0, height))]
        spread = rng.uniform(0.75, 0.95)
    if kind == "legs":
        parts += _four_legs(rng, spread * width, spread * depth, height)
    elif kind == "pedestal":
        foot = rng.uniform(0.4, 0.7) * depth
        parts += [rod(rng.uniform(0.04, 0.1), height), box((foot, foot, 0.04))]
    else:
        apart, panel = spread * width / 2, (rng.uniform(0.03, 0.08), depth * rng.uniform(0.6, 1.0), height)
        parts += [box(panel, (-apart, 0, 0)), box(panel, (apart, 0, 0))]
    return joined(parts)


def chair(rng: np.random.Generator) -> Mesh:
    """A seat with a back, solid or of slats, on four legs or a column; some with arms."""
    width, depth, seat = rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.55), rng.uniform(0.35, 0.55)
    thickness, back = rng.uniform(0.03, 0.1), rng.uniform(0.35, 0.8)
    top, rear = seat + thickness, -depth / 2 + 0.02
    parts = [box((width, depth, thickness), (0, 0, seat))]
    if rng.random() < 0.75:
        parts += _four_legs(rng, 0.88 * width, 0.88 * depth, seat)
    else:
        parts += [rod(0.03, seat), rod(0.45 * width, 0.03)]
    kind = rng.choice(["solid", "upright slats", "rungs"])
    if kind == "solid":
        parts.append(box((width * rng.uniform(0.8, 1.0), 0.04, back), (0, rear, top)))
    elif kind == "upright slats":
        for x in np.linspace(-0.45, 0.45, rng.integers(3, 7)) * width:
            parts.append(box((0.03, 0.03, back), (x, rear, top)))
        parts.append(box((width, 0.04, 0.06), (0, rear, top + back)))
    else:
        parts += [box((0.04, 0.04, back), (side * (width / 2 - 0.02), rear, top)) for side in (-1, 1)]
        for z in np.linspace(0.3, 0.9, rng.integers(2, 5)) * back:
            parts.append(box((width - 0.08, 0.03, 0.06), (0, rear, top + z)))
    if rng.random() < 0.4:
        arm, above = depth * rng.uniform(0.6, 0.9), rng.uniform(0.15, 0.3)
        for x in (-width / 2, width / 2):
            parts += [box((0.04, arm, 0.04), (x, rear + arm / 2, top + above))]
            parts += [box((0.03, 0.03, above + 0.05), (x, rear + arm - 0.03, top - 0.05))]
    return joined(parts)


def lamp(rng: np.random.Generator) -> Mesh:
    """A foot, a stem and a shade: an open cone, a drum or a globe."""
    stem, foot = rng.uniform(0.5, 1.4), rng.uniform(0.12, 0.22)
    wide, tall = rng.uniform(0.18, 0.35), rng.uniform(0.2, 0.4)
    square = 4 if rng.random() < 0.3 else 24
    parts = [
        lathe([(0, 0), (foot, 0), (foot, 0.03), (0.3 * foot, rng.uniform(0.04, 0.12)), (0, 0.12)], square),
        rod(rng.uniform(0.012, 0.03), stem),
    ]
    if rng.random() < 0.25:
        angles = np.linspace(-np.pi / 2, np.pi / 2, 13)
        parts.append(lathe([(0.8 * wide * np.cos(a), stem + 0.8 * wide * np.sin(a)) for a in angles]))
    else:
        narrow = wide * rng.uniform(0.3, 0.95)
        low = stem - tall * rng.uniform(0.3, 0.9)
        parts.append(lathe([(wide, low), (narrow, low + tall)], square))
    return joined(parts)


def cup(rng: np.random.Generator) -> Mesh:
    """A hollow vessel, wider at the mouth, straight or bulging; some with a handle."""
    mouth, height, wall = rng.uniform(0.3, 0.6), rng.uniform(0.5, 1.1), rng.uniform(0.02, 0.06)
    foot, bulge = mouth * rng.uniform(0.35, 0.85), rng.uniform(0.4, 1.6)
    up = np.linspace(0, 1, 9)
    outside = foot + (mouth - foot) * up**bulge
    outer = list(zip(outside, height * up, strict=True))
    inner = list(zip(outside - wall, wall + (height - wall) * up, strict=True))
    parts = [lathe([(0, 0), *outer, *reversed(inner), (0, wall)])]
    if rng.random() < 0.5:
        turn = np.linspace(-np.pi / 2, np.pi / 2, 9)
        middle, reach = rng.uniform(0.45, 0.65), rng.uniform(0.2, 0.3)
        x = np.interp(middle + reach * np.sin(turn), up, outside) + rng.uniform(0.2, 0.35) * np.cos(turn)
        path = np.stack([x, np.zeros_like(x), height * (middle + reach * np.sin(turn))], -1)
        parts.append(tube(path, (0, 1, 0), rng.uniform(0.025, 0.05)))
    return joined(parts)


def bottle(rng: np.random.Generator) -> Mesh:
    """A round or square body with shoulders and a neck."""
    radius, body, shoulder = rng.uniform(0.15, 0.35), rng.uniform(0.4, 0.9), rng.uniform(0.1, 0.35)
    neck, length = radius * rng.uniform(0.25, 0.5), rng.uniform(0.12, 0.4)
    up = np.linspace(0, 1, 7)
    fall = neck + (radius - neck) * (0.5 + 0.5 * np.cos(np.pi * up)) ** rng.uniform(0.5, 1.5)
    profile = [(0, 0), (radius, 0), *zip(fall, body + shoulder * up, strict=True)]
    end = body + shoulder + length
    lip = rng.uniform(1.0, 1.3)
    profile += [(neck, end - 0.05), (lip * neck, end - 0.05), (lip * neck, end), (0, end)]
    return lathe(profile, 4 if rng.random() < 0.25 else 24)


def girder(rng: np.random.Generator) -> Mesh:
    """An I, T or U profile along x, its web upright."""
    length, web, flange = rng.uniform(1.2, 3.0), rng.uniform(0.3, 0.6), rng.uniform(0.25, 0.6)
    thickness = rng.uniform(0.03, 0.09)
    upper, lower = (length, flange, thickness), (length, flange * rng.uniform(0.8, 1.2), thickness)
    kind = rng.choice(["I", "T", "U"])
    if kind == "U":
        apart = (flange - thickness) / 2
        sides = [box((length, thickness, web), (0, y, thickness)) for y in (-apart, apart)]
        return joined([box(upper), *sides])
    parts = [box((length, thickness, web), (0, 0, thickness)), box(upper, (0, 0, thickness + web))]
    return joined(parts + ([box(lower)] if kind == "I" else []))


def shelf(rng: np.random.Generator) -> Mesh:
    """A tall case of boards, with or without a back and a partition."""
    width, depth, height = rng.uniform(0.6, 1.1), rng.uniform(0.22, 0.45), rng.uniform(1.4, 2.2)
    board = rng.uniform(0.02, 0.05)
    parts = [box((board, depth, height), (side * (width - board) / 2, 0, 0)) for side in (-1, 1)]
    for z in np.linspace(0, height - board, rng.integers(3, 8)):
        parts.append(box((width - 2 * board, depth, board), (0, 0, z)))
    if rng.random() < 0.6:
        parts.append(box((width, 0.015, height), (0, -depth / 2, 0)))
    if rng.random() < 0.4:
        parts.append(box((board, depth, height), (width * rng.uniform(-0.2, 0.2), 0, 0)))
    return joined(parts)


def stairs(rng: np.random.Generator) -> Mesh:
    """A flight rising along x: solid, or treads between two strings."""
    steps, run, rise = int(rng.integers(4, 10)), rng.uniform(0.2, 0.32), rng.uniform(0.14, 0.24)
    width = rng.uniform(0.5, 1.4)
    if rng.random() < 0.6:
        return _solid_flight(steps, run, rise, width)
    board = rng.uniform(0.02, 0.05)
    parts = [box((run, width, board), (run * (k + 0.5), 0, rise * (k + 1) - board)) for k in range(steps)]
    slope = np.array([[1, 0, 0], [0, 1, 0], [rise / run, 0, 1]])
    string = box((steps * run, 0.05, rng.uniform(0.8, 1.2) * rise), (steps * run / 2, 0, 0)).moved(slope)
    return joined([*parts, *(string.moved(shift=(0, side * (width / 2 + 0.025), 0)) for side in (-1, 1))])


def _solid_flight(steps: int, run: float, rise: float, width: float) -> Mesh:
    """The skin of a solid flight: treads, risers, floor, back, and each side a row of rectangles."""
    outline = [(0.0, 0.0)]
    for k in range(steps):
        outline += [(k * run, (k + 1) * rise), ((k + 1) * run, (k + 1) * rise)]
    outline.append((steps * run, 0.0))
    loop = np.array(outline)
    near, far = (np.insert(loop, 1, side * width / 2, axis=1) for side in (-1, 1))
    n = len(loop)
    this, following = np.arange(n), (np.arange(n) + 1) % n
    skin = quads(np.concatenate([near, far]), np.stack([this, following, following + n, this + n], -1))
    columns = []
    for k in range(steps):
        x, z = k * run, (k + 1) * rise
        rectangle = np.array([(x, 0, 0), (x + run, 0, 0), (x + run, 0, z), (x, 0, z)])
        columns += [quads(rectangle, [[0, 1, 2, 3]]).moved(shift=(0, y, 0)) for y in (-width / 2, width / 2)]
    return joined([skin, *columns])


def _four_legs(rng: np.random.Generator, width: float, depth: float, height: float) -> list[Mesh]:
    thickness, is_round = rng.uniform(0.03, 0.08), rng.random() < 0.5
    places = [(x, y, 0) for x in (-width / 2, width / 2) for y in (-depth / 2, depth / 2)]
    if is_round:
        return [rod(thickness / 2, height, place, sides=8) for place in places]
    return [box((thickness, thickness, height), place) for place in places]


def _quarter_turns(axis: str, turns: int) -> np.ndarray:
    """Exact rotation (3, 3) by `turns` right angles about "x", "y" or "z"."""
    sin, cos = round(np.sin(turns * np.pi / 2)), round(np.cos(turns * np.pi / 2))
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[[i, i, j, j], [i, j, i, j]] = cos, -sin, sin, cos
    return matrix


@dataclass(frozen=True)
class Kind:
    """A class: a family of shapes and the pose (3, 3) in which it appears."""

    family: Callable[[np.random.Generator], Mesh]
    pose: np.ndarray


_FAMILIES = {family.__name__: family for family in (bottle, chair, cup, girder, lamp, shelf, stairs, table)}
CLASSES = {
    name: Kind(_FAMILIES[family], _quarter_turns(axis, turns))
    for name, (family, axis, turns) in GENERATED.items()
}


def shape(class_name: str, name: str, seed: int) -> Mesh:
    """The mesh of one shape, a function of its class, its name and the seed alone."""
    if class_name not in CLASSES:
        raise DataError(f"'{class_name}' is not a generated class: the classes are {', '.join(CLASSES)}")
    kind = CLASSES[class_name]
    return kind.family(np.random.default_rng(name_digest(name, seed))).moved(kind.pose)


def generate(classes: Sequence[str], counts: dict[str, int], seed: int) -> Iterator[LabelledCloud]:
    """counts[split] clouds of every class and split, class by class; no shape depends on the others."""
    for class_name in classes:
        for split, count in counts.items():
            for k in range(count):
                name = f"{class_name} {split} {k}"
                record = f"generated shape {name}"
                # Points have a random stream of their own: how many parameters a shape draws does not change them.
                rng = np.random.default_rng(name_digest(f"{name} points", seed))
                points = cloud_of(shape(class_name, name, seed), rng, record)
                yield LabelledCloud(record, name, class_name, split, points)


def invariant_ceiling(classes: Sequence[str]) -> float:
    """The best accuracy, on as many shapes of each class, of a classifier that ignores orientation."""
    return len({CLASSES[name].family for name in classes}) / len(classes)
