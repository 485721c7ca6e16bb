"""The solids from which generated shapes are built. z is up; sizes are lengths along x, y, z."""

from collections.abc import Sequence

import numpy as np

from data.modelnet40.meshes import Mesh

_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
_FACES = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])


def quads(vertices: np.ndarray, corners: np.ndarray) -> Mesh:
    """Quadrilaterals: vertices (v, 3), corners (q, 4) rows of vertices in turn."""
    corners = np.asarray(corners)
    return Mesh(np.asarray(vertices, float), np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]]))


def box(size: Sequence[float], bottom: Sequence[float] = (0.0, 0.0, 0.0)) -> Mesh:
    """A box by the centre of its lower face."""
    centre = np.add(bottom, [0.0, 0.0, size[2] / 2])
    return quads(_CORNERS * np.asarray(size) + centre, _FACES)


def lathe(profile: Sequence[tuple[float, float]], sides: int = 24) -> Mesh:
    """The surface swept by a profile of (radius, height) about z. Four sides make it square."""
    radius, height = np.asarray(profile, float).T
    angles = 2 * np.pi * (np.arange(sides) + 0.5) / sides
    ring = np.stack([np.cos(angles), np.sin(angles)], -1)
    vertices = np.concatenate(
        [
            radius[:, None, None] * ring,
            np.broadcast_to(height[:, None, None], (len(radius), sides, 1)),
        ],
        -1,
    )
    return _grid(vertices)


def rod(radius: float, height: float, bottom: Sequence[float] = (0.0, 0.0, 0.0), sides: int = 16) -> Mesh:
    """A closed upright cylinder by the centre of its lower face."""
    return lathe([(0, 0), (radius, 0), (radius, height), (0, height)], sides).moved(shift=bottom)


def tube(path: np.ndarray, normal: Sequence[float], radius: float, sides: int = 8) -> Mesh:
    """An open tube about a path (k, 3) that lies in the plane with this unit normal."""
    path, normal = np.asarray(path, float), np.asarray(normal, float)
    along = np.gradient(path, axis=0)
    across = np.cross(along / np.linalg.norm(along, axis=1, keepdims=True), normal)
    angles = 2 * np.pi * np.arange(sides) / sides
    offset = np.cos(angles)[:, None] * across[:, None] + np.sin(angles)[:, None] * normal
    return _grid(path[:, None] + radius * offset)


def _grid(vertices: np.ndarray) -> Mesh:
    """The closed bands between successive rings of vertices (rings, sides, 3)."""
    rings, sides, _ = vertices.shape
    side = np.arange(sides)
    after = (side + 1) % sides
    band = np.stack([side, after, after + sides, side + sides], -1)
    corners = (np.arange(rings - 1)[:, None, None] * sides + band).reshape(-1, 4)
    return quads(vertices.reshape(-1, 3), corners)
