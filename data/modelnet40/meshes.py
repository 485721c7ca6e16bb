"""Triangle meshes and uniform points on them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from data.errors import DataError
from data.modelnet40.clouds import normalised
from data.modelnet40.settings import SAMPLED


@dataclass(frozen=True)
class Mesh:
    """vertices (v, 3); triangles (t, 3) rows of vertices."""

    vertices: np.ndarray
    triangles: np.ndarray

    def moved(self, matrix: np.ndarray | None = None, shift: Iterable[float] = (0.0, 0.0, 0.0)) -> "Mesh":
        """Every vertex v -> matrix v + shift."""
        vertices = self.vertices if matrix is None else self.vertices @ np.asarray(matrix).T
        return Mesh(vertices + np.asarray(shift, dtype=float), self.triangles)


def joined(meshes: Iterable[Mesh]) -> Mesh:
    """One mesh of all the triangles; surfaces inside one another stay, as in most CAD files."""
    meshes = list(meshes)
    first = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes[:-1]])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.triangles + start for mesh, start in zip(meshes, first, strict=True)]),
    )


def areas(mesh: Mesh) -> np.ndarray:
    """(t,) area of each triangle."""
    a, b, c = (mesh.vertices[mesh.triangles[:, corner]] for corner in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def sample_surface(mesh: Mesh, n: int, rng: np.random.Generator, record: str = "mesh") -> np.ndarray:
    """n independent points (n, 3), uniform on the surface: no point falls on a triangle without area.

    record: the name of the mesh in errors. DataError if there is no surface.
    """
    if len(mesh.triangles) == 0 or len(mesh.vertices) == 0:
        raise DataError(f"{record} is an empty mesh: it has no triangles")
    if not np.isfinite(mesh.vertices).all():
        raise DataError(f"{record} has a vertex that is not a number")
    area = areas(mesh)
    if not area.any():
        raise DataError(f"{record} has only degenerate triangles: its surface has no area")
    up_to = np.cumsum(area)
    # "right" skips triangles without area; rounding must not lead past the last triangle that has some.
    chosen = np.searchsorted(up_to, rng.random(n) * up_to[-1], side="right")
    chosen = np.minimum(chosen, np.flatnonzero(area)[-1])
    a, b, c = (mesh.vertices[mesh.triangles[chosen, corner]] for corner in range(3))
    s, t = rng.random((2, n, 1))
    folded = s + t > 1
    s, t = np.where(folded, 1 - s, s), np.where(folded, 1 - t, t)
    return a + s * (b - a) + t * (c - a)


def cloud_of(mesh: Mesh, rng: np.random.Generator, record: str = "mesh") -> np.ndarray:
    """SAMPLED points (SAMPLED, 3) of the surface in random order, centred and scaled to the unit ball."""
    return normalised(sample_surface(mesh, SAMPLED, rng, record)).astype(np.float32)
