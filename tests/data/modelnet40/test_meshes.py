"""Points are uniform on the surface; OFF files are read as ModelNet writes them."""

import numpy as np
import pytest

from data.errors import DataError
from data.modelnet40.meshes import SAMPLED, Mesh, areas, cloud_of, joined, sample_surface
from data.modelnet40.off import parse_off
from data.modelnet40.primitives import box, lathe, rod, tube
from tests.data.modelnet40.raw_files import TETRAHEDRON


def sampled(mesh, n=20000, seed=0):
    return sample_surface(mesh, n, np.random.default_rng(seed))


def test_each_triangle_gets_points_in_proportion_to_its_area():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 0, 0], [8, 0, 0], [5, 2, 0]])
    mesh = Mesh(vertices, np.array([[0, 1, 2], [3, 4, 5]]))
    assert areas(mesh).tolist() == [0.5, 3.0]
    share = (sampled(mesh)[:, 0] < 2).mean()
    assert share == pytest.approx(0.5 / 3.5, abs=0.01)  # four standard errors


def test_points_are_uniform_within_a_triangle():
    mesh = Mesh(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]]))
    points = sampled(mesh)
    assert (points >= 0).all()
    assert (points.sum(1) <= 1).all()
    np.testing.assert_allclose(points.mean(0), [1 / 3, 1 / 3, 0], atol=0.007)
    corner = (points[:, :2] < 0.25).all(1).mean()  # a square of 1/16 in a triangle of 1/2
    assert corner == pytest.approx(0.125, abs=0.01)


def test_no_point_falls_on_a_triangle_without_area():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [9, 9, 9], [10, 10, 10]])
    for order in ([[0, 1, 2], [3, 4, 3], [4, 4, 4]], [[3, 4, 3], [0, 1, 2]]):
        assert sampled(Mesh(vertices, np.array(order))).max() <= 1


@pytest.mark.parametrize(
    ("vertices", "triangles", "sentence"),
    [
        (np.zeros((0, 3)), np.zeros((0, 3), int), "x is an empty mesh: it has no triangles"),
        (np.ones((3, 3)), np.zeros((0, 3), int), "x is an empty mesh: it has no triangles"),
        (np.ones((3, 3)), np.array([[0, 1, 2]]), "x has only degenerate triangles: its surface has no area"),
        (np.full((3, 3), np.nan), np.array([[0, 1, 2]]), "x has a vertex that is not a number"),
    ],
)
def test_meshes_without_a_surface(vertices, triangles, sentence):
    with pytest.raises(DataError, match=f"^{sentence}$"):
        sample_surface(Mesh(vertices, triangles), 10, np.random.default_rng(0), "x")


def test_a_cloud_is_centred_in_the_unit_ball_and_in_random_order():
    cloud = cloud_of(joined([box((1, 2, 3)), box((1, 1, 1), (5, 0, 0))]), np.random.default_rng(0))
    assert cloud.shape == (SAMPLED, 3)
    assert cloud.dtype == np.float32
    np.testing.assert_allclose(cloud.mean(0), 0, atol=1e-6)
    assert np.linalg.norm(cloud, axis=1).max() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(cloud[:300].mean(0), 0, atol=0.15)


def test_primitives_have_the_areas_of_their_solids():
    assert areas(box((1, 2, 3))).sum() == pytest.approx(2 * (2 + 3 + 6))
    assert areas(rod(0.5, 2.0, sides=400)).sum() == pytest.approx(np.pi * (2 * 0.25 + 2.0), rel=1e-3)
    assert areas(lathe([(1, 0), (1, 3)], sides=4)).sum() == pytest.approx(4 * np.sqrt(2) * 3)
    line = np.stack([np.linspace(0, 4, 9), np.zeros(9), np.zeros(9)], -1)
    assert areas(tube(line, (0, 1, 0), 0.1, sides=200)).sum() == pytest.approx(2 * np.pi * 0.1 * 4, rel=1e-3)


@pytest.mark.parametrize(
    "header",
    [b"OFF\n4 4 6\n", b"OFF4 4 6\n", b"OFF 4 4 6\n", b"OFF\r\n# by hand\r\n\r\n4 4 6\r\n"],
)
def test_an_off_file_may_have_its_counts_beside_the_word(header):
    mesh = parse_off(TETRAHEDRON.replace(b"OFF\n4 4 6\n", header), "x")
    assert mesh.vertices.shape == (4, 3)
    assert mesh.triangles.tolist() == [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]


def test_polygons_become_fans_and_colours_are_passed_over():
    square = b"OFF\n4 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3 255 0 0\n2 0 1\n"
    mesh = parse_off(square, "x")
    assert mesh.triangles.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert areas(mesh).sum() == 1
    with_colours = TETRAHEDRON.replace(b"3 0 2 1\n", b"3 0 2 1 0.5 0.5 0.5\n")
    assert parse_off(with_colours, "x").triangles.tolist() == parse_off(TETRAHEDRON, "x").triangles.tolist()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "x is not an OFF mesh: it does not begin with OFF"),
        (b"solid cube\n", "x is not an OFF mesh: it does not begin with OFF"),
        (b"OFF\n", "x is malformed: no numbers of vertices, faces and edges follow the word OFF"),
        (b"OFF\n4 four 6\n", "x is malformed: no numbers of vertices, faces and edges follow the word OFF"),
        (b"OFF\n0 0 0\n", "x is an empty mesh: 0 vertices and 0 faces"),
        (TETRAHEDRON[:-16], "x is truncated: it announces 4 vertices and 4 faces and has 6 lines of them"),
        (
            TETRAHEDRON.replace(b"0 1 0", b"0 one 0"),
            "x is malformed: a vertex or face is not a line of numbers",
        ),
        (
            TETRAHEDRON.replace(b"0 1 0\n", b"0 1\n"),
            "x is malformed: a vertex or face is not a line of numbers",
        ),
        (
            TETRAHEDRON.replace(b"3 1 2 3", b"3 1 2"),
            "x is malformed: a vertex or face is not a line of numbers",
        ),
        (
            TETRAHEDRON.replace(b"3 1 2 3", b"3 1 2 4"),
            "x is malformed: a face names a vertex that is not there",
        ),
        (
            TETRAHEDRON.replace(b"3 1 2 3", b"3 1 2 -1"),
            "x is malformed: a face names a vertex that is not there",
        ),
    ],
)
def test_malformed_off_files(text, sentence):
    with pytest.raises(DataError, match=f"^{sentence}$"):
        parse_off(text, "x")
