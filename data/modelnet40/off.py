"""The Princeton archive of ModelNet: a zip of OFF meshes, <class>/{train,test}/<class>_0001.off.

The meshes are read from the zip, which is not unpacked. Each becomes a cloud by area-weighted sampling.
"""

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np

from data.digest import name_digest
from data.errors import DataError
from data.modelnet40.archives import open_zip
from data.modelnet40.clouds import LabelledCloud
from data.modelnet40.meshes import Mesh, cloud_of
from data.processes import map_in_processes

_MEMBER = re.compile(r"(?:.*/)?(?P<class_name>[a-z_]+)/(?P<split>train|test)/[^/.][^/]*\.off")


@dataclass(frozen=True)
class Member:
    """One mesh of an archive."""

    archive: Path
    name: str
    class_name: str
    split: str
    seed: int


def members(archive: Path, seed: int) -> list[Member]:
    """Every mesh of the archive, by name. Other files, such as macOS leaves in zips, are ignored."""
    with open_zip(archive) as file:
        found = []
        for name in sorted(file.namelist()):
            match = _MEMBER.fullmatch(name)
            if match and not name.startswith("__MACOSX"):
                found.append(Member(archive, name, match["class_name"], match["split"], seed))
    if not found:
        raise DataError(f"archive {archive} has no <class>/train/*.off or <class>/test/*.off: fetch it again")
    return found


def read_clouds(wanted: list[Member], workers: int | None) -> Iterator[LabelledCloud | DataError]:
    """The cloud of each mesh, or the DataError for it; read in parallel, the same for any number of workers."""
    return map_in_processes(_read, wanted, workers)


def _read(member: Member) -> LabelledCloud | DataError:
    record = f"{member.archive}: {member.name}"
    try:
        try:
            text = _opened(member.archive).read(member.name)
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise DataError(f"{record} is damaged ({error}): fetch the archive again") from error
        name = PurePosixPath(member.name).stem
        rng = np.random.default_rng(name_digest(name, member.seed))
        points = cloud_of(parse_off(text, record), rng, record)
        return LabelledCloud(record, name, member.class_name, member.split, points)
    except DataError as error:
        return error


@cache
def _opened(archive: Path) -> zipfile.ZipFile:
    """One open archive per worker: its table of contents is read once, not once per mesh."""
    return zipfile.ZipFile(archive)


def parse_off(text: bytes, record: str) -> Mesh:
    """The mesh of an OFF file; polygons are cut into triangles, colours are ignored. DataError if it is malformed.

    One vertex or face per line. The counts may be on the line of the word OFF, with or without a space,
    as in many ModelNet files.
    """
    lines = [line for line in (raw.split(b"#")[0].strip() for raw in text.splitlines()) if line]
    if not lines or lines[0][:3] != b"OFF":
        raise DataError(f"{record} is not an OFF mesh: it does not begin with OFF")
    counts, *lines = [lines[0][3:], *lines[1:]] if lines[0][3:].strip() else lines[1:] or [b""]
    try:
        vertex_count, face_count, _ = (int(token) for token in counts.split())
    except ValueError as error:
        raise DataError(
            f"{record} is malformed: no numbers of vertices, faces and edges follow the word OFF"
        ) from error
    if vertex_count <= 0 or face_count <= 0:
        raise DataError(f"{record} is an empty mesh: {vertex_count} vertices and {face_count} faces")
    if len(lines) < vertex_count + face_count:
        raise DataError(
            f"{record} is truncated: it announces {vertex_count} vertices and {face_count} faces and has "
            f"{len(lines)} lines of them"
        )
    try:
        vertices = np.array(b" ".join(lines[:vertex_count]).split()).astype(np.float64).reshape(-1, 3)
        triangles = _triangles(lines[vertex_count : vertex_count + face_count])
    except (ValueError, OverflowError) as error:
        raise DataError(f"{record} is malformed: a vertex or face is not a line of numbers") from error
    if len(vertices) != vertex_count or (triangles < 0).any() or (triangles >= vertex_count).any():
        raise DataError(f"{record} is malformed: a face names a vertex that is not there")
    return Mesh(vertices, triangles)


def _triangles(lines: list[bytes]) -> np.ndarray:
    """(t, 3) rows of vertices; a polygon becomes the fan about its first corner."""
    numbers = np.array(b" ".join(lines).split()).astype(np.float64)
    table = (
        numbers.reshape(-1, 4).astype(np.int64) if len(numbers) == 4 * len(lines) else np.zeros((1, 4), int)
    )
    if (table[:, 0] == 3).all():
        return table[:, 1:]
    fans = []
    for line in lines:
        sides, *rest = line.split()
        corners = [int(corner) for corner in rest[: int(sides)]]
        if len(corners) < int(sides):
            raise ValueError(f"a face of {int(sides)} vertices lists {len(corners)}")
        fans += [(corners[0], *corners[k : k + 2]) for k in range(1, len(corners) - 1)]
    return np.array(fans, dtype=np.int64).reshape(-1, 3)
