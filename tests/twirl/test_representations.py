"""Representations: homomorphisms, exact voxel moves, folding of copies."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from twirl import groups
from twirl.groups import SO3, Octahedral, Permutations, about_axis, compose, inverse
from twirl.representations import (
    BatchIndex,
    Constant,
    Count,
    Identity,
    IrrepsRep,
    OnePerRow,
    Permuted,
    Scalars,
    Tree,
    Vectors,
    Voxels,
    as_representation,
)
from twirl.wigner import parse_irreps, wigner_D

F8 = torch.float64


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=F8)


CASES = [
    (Scalars(), SO3(), (4, 2)),
    (Vectors(), SO3(), (4, 3)),
    (Vectors(), SO3(), (4, 5, 3)),
    (Vectors(dim=1), SO3(), (4, 3, 5)),
    (Vectors(dim=-2), SO3(), (4, 3, 5)),
    (IrrepsRep("3x0e + 2x1o + 1x2e + 1x3o"), SO3(), (4, 3 + 6 + 5 + 7)),
    (IrrepsRep("1x6e"), Octahedral(), (2, 13)),
    (Voxels(), Octahedral(), (2, 3, 4, 4, 4)),
    (Voxels(), Octahedral(), (2, 5, 5, 5)),
    (OnePerRow(Vectors()), groups.OnePerRow(SO3(), range(4)), (4, 5, 3)),
    (OnePerRow(Voxels()), groups.OnePerRow(Octahedral(), range(2)), (2, 3, 4, 4, 4)),
    (Permuted(), Permutations(5), (4, 5)),
    (Permuted(dim=-1), Permutations(5), (4, 2, 5)),
]

ALIKE = [case for case in CASES if not isinstance(case[0], OnePerRow)]  # one element for all rows


@pytest.mark.parametrize(("rep", "group", "shape"), CASES, ids=lambda c: type(c).__name__)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=8, deadline=None)
def test_acting_twice_is_acting_with_the_product(rep, group, shape, seed):
    g, h = group.sample(6, generator(seed)).chunk(2)
    x = randn(1, *shape, seed=seed)
    twice, once = rep.act(g, rep.act(h, x)), rep.act(compose(g, h), x)
    assert twice.shape == (3, *shape)
    assert torch.allclose(twice, once, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("rep", "group", "shape"), CASES, ids=lambda c: type(c).__name__)
def test_the_inverse_undoes_and_the_identity_does_nothing(rep, group, shape):
    g, x = group.sample(3, generator(0)), randn(1, *shape)
    assert torch.allclose(rep.act(inverse(g), rep.act(g, x)), x.expand(3, *shape), rtol=0, atol=1e-12)
    assert torch.allclose(rep.act(group.identity(), x), x, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("rep", "group", "shape"), CASES, ids=lambda c: type(c).__name__)
def test_the_dtype_follows_the_data(rep, group, shape):
    x = randn(1, *shape).float()
    assert rep.act(group.sample(2, generator(0)), x).dtype == torch.float32


@pytest.mark.parametrize(("rep", "group", "shape"), ALIKE, ids=lambda c: type(c).__name__)
def test_rows_with_elements_of_their_own_are_transformed_one_by_one(rep, group, shape):
    g, x = group.sample(shape[0], generator(0)), randn(*shape)
    alone = torch.stack([rep.act(g[i : i + 1], x[None, i : i + 1])[0, 0] for i in range(len(x))])
    assert torch.allclose(rep.act_rows(g, x), alone, rtol=0, atol=1e-12)


def test_vectors_rotate_as_columns():
    g = about_axis("z", torch.tensor([math.pi / 2], dtype=F8))
    turned = Vectors().act(g, torch.tensor([[[1.0, 0, 0]]], dtype=F8))
    assert torch.allclose(turned, torch.tensor([[[0.0, 1, 0]]], dtype=F8), atol=1e-15)


def test_irreps_of_degree_one_are_vectors():
    g, x = SO3().sample(4, generator(0)), randn(1, 5, 3)
    assert torch.allclose(IrrepsRep("1x1o").act(g, x), Vectors().act(g, x), rtol=0, atol=1e-13)


@pytest.mark.parametrize("l", range(7))
def test_wigner_matrices_are_those_of_e3nn_to_its_precision(l):  # noqa: E741
    o3 = pytest.importorskip("e3nn.o3")
    g = SO3().sample(6, generator(0))
    assert torch.allclose(wigner_D(l, 1, g), o3.Irrep(l, 1).D_from_matrix(g).to(F8), rtol=0, atol=1e-5)


def test_irreps_are_read_in_the_notation_of_e3nn():
    assert parse_irreps("3x0e+1o + 2x2e") == [(3, 0, 1), (1, 1, -1), (2, 2, 1)]
    with pytest.raises(ValueError, match="irreps are written like"):
        parse_irreps("3 vectors")


def test_wigner_matrices_represent_reflections_by_parity():
    mirror = -torch.eye(3, dtype=F8)[None]
    assert torch.allclose(wigner_D(1, -1, mirror), mirror, atol=1e-15)
    assert torch.allclose(wigner_D(2, 1, mirror), torch.eye(5, dtype=F8)[None], atol=1e-15)


def test_wigner_matrices_are_exact_next_to_the_poles():
    tiny = about_axis("x", torch.tensor([1e-9, 1e-5], dtype=F8))
    D = wigner_D(4, 1, torch.cat([tiny, tiny @ tiny]))
    assert torch.allclose(D[:2] @ D[:2], D[2:], rtol=0, atol=1e-14)


@pytest.mark.parametrize(("axis", "dims"), [("x", (1, 2)), ("y", (2, 0)), ("z", (0, 1))])
@pytest.mark.parametrize("n", [4, 5])
def test_quarter_turns_of_voxels_equal_rot90(axis, dims, n):
    g = about_axis(axis, torch.tensor([math.pi / 2], dtype=F8))
    x = randn(n, n, n)
    moved = Voxels().act(g, x[None, None])[0, 0]
    assert torch.equal(moved, torch.rot90(x, 1, dims))


def test_turning_a_smooth_field_by_interpolation_is_nearly_exact_at_any_angle():
    n = 32
    line = torch.linspace(-1, 1, n, dtype=F8)
    r = torch.cartesian_prod(line, line, line)
    centre, widths = torch.tensor([0.2, -0.1, 0.15], dtype=F8), torch.tensor([0.3, 0.4, 0.35], dtype=F8)

    def field(points):
        return torch.exp(-((points - centre) / widths).square().sum(-1) / 2).view(n, n, n)

    g = SO3().sample(3, generator(0))
    moved = Voxels().act(g, field(r)[None, None])[:, 0]
    exact = torch.stack([field(r @ k) for k in g])  # rows of r g are g^-1 r
    inside = (r.norm(dim=1) < 1).view(n, n, n)  # the ball that no rotation moves out of the grid
    assert (moved - exact)[:, inside].abs().max() < 0.015
    assert torch.equal(Voxels().act(g[:1], torch.zeros(1, 1, n, n, n)), torch.zeros(1, 1, n, n, n))


def test_a_set_of_exact_and_general_rotations_treats_each_as_if_alone():
    g = torch.cat([Octahedral().elements()[5:7], SO3().sample(1, generator(0)), Octahedral().elements()[:1]])
    x = randn(1, 2, 6, 6, 6)
    together = Voxels().act(g, x)
    alone = torch.cat([Voxels().act(k[None], x) for k in g])
    assert torch.equal(together, alone)


@dataclass(frozen=True)
class Cloud:
    positions: torch.Tensor
    kinds: torch.Tensor
    cutoff: float


class Pair(NamedTuple):
    a: torch.Tensor
    b: torch.Tensor


def test_trees_act_leaf_by_leaf_on_dicts_tuples_and_dataclasses():
    g = SO3().sample(2, generator(0))
    v, s = randn(4, 3), torch.arange(4)
    turned = Vectors().copies(g, v)
    cloud = Tree({"positions": Vectors(), "kinds": Identity(), "cutoff": Constant()}).copies(
        g, Cloud(v, s, 5.0)
    )
    assert isinstance(cloud, Cloud)
    assert torch.equal(cloud.positions, turned)
    assert torch.equal(cloud.kinds, s.repeat(2))
    assert cloud.cutoff == 5.0
    pair = Tree((Vectors(), Identity())).copies(g, Pair(v, s))
    assert isinstance(pair, Pair)
    assert torch.equal(pair.a, turned)
    nested = Tree({"in": (Vectors(), {"s": Identity()})}).copies(g, {"in": (v, {"s": s})})
    assert torch.equal(nested["in"][0], turned)
    assert torch.equal(nested["in"][1]["s"], s.repeat(2))


def test_a_dataclass_of_representations_is_a_tree():
    rep = as_representation(Cloud(Vectors(), Identity(), Constant()))
    g, v = SO3().sample(2, generator(0)), randn(4, 3)
    assert torch.equal(rep.copies(g, Cloud(v, torch.arange(4), 1.0)).positions, Vectors().copies(g, v))


def test_indices_of_copies_point_into_their_own_rows_and_padding_stays():
    g = SO3().sample(3, generator(0))
    data = {
        "positions": randn(4, 3),
        "edges": torch.tensor([[0, 1, 2], [1, 0, 0]]),
        "neighbours": torch.tensor([[1, -1], [0, 2], [1, -1], [-1, -1]]),
        "graph": torch.tensor([0, 0, 1, 1]),
        "graphs": 2,
    }
    rep = Tree(
        {
            "positions": Vectors(),
            "edges": BatchIndex("positions", dim=1),
            "neighbours": BatchIndex("positions"),
            "graph": BatchIndex("graphs"),
            "graphs": Count(),
        }
    )
    folded = rep.copies(g, data)
    assert folded["edges"].tolist() == [[0, 1, 2, 4, 5, 6, 8, 9, 10], [1, 0, 0, 5, 4, 4, 9, 8, 8]]
    assert folded["neighbours"].tolist()[4:8] == [[5, -1], [4, 6], [5, -1], [-1, -1]]
    assert folded["graph"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert folded["graphs"] == 6
    assert BatchIndex().copies(g, data["graph"]).tolist() == folded["graph"].tolist()


@pytest.mark.parametrize(
    ("rep", "x", "message"),
    [
        (Vectors(), torch.ones(4, 2), "needs 3 components"),
        (Vectors(), torch.ones(3), "needs 3 components"),
        (Vectors(dim=0), torch.ones(3, 3), "needs 3 components"),
        (IrrepsRep("1x1o"), torch.ones(4, 4), "needs a last axis of 3"),
        (Voxels(), torch.ones(2, 4, 4, 5), "cubic grid"),
        (Scalars(), 3.0, "use Constant"),
        (Scalars(), torch.tensor(3.0), "use Constant"),
        (BatchIndex("positions"), torch.tensor([0]), "must be a leaf of a Tree"),
        (Tree({"a": Vectors()}), {"a": torch.ones(1, 3), "b": 1}, "fields 'b' have no representation"),
        (
            Tree({"a": Vectors(), "b": Vectors()}),
            {"a": torch.ones(1, 3)},
            "fields 'b', which the data do not",
        ),
        (Tree({"a": BatchIndex("c")}), {"a": torch.tensor([0])}, "no such field; fields are 'a'"),
        (Tree({"a": Vectors()}), torch.ones(1, 3), "acts on dicts, tuples and dataclass"),
    ],
)
def test_data_that_do_not_fit_a_representation_are_named(rep, x, message):
    with pytest.raises(ValueError, match=message):
        rep.copies(SO3().sample(2), x)


def test_permutations_need_as_many_things_as_they_permute():
    with pytest.raises(ValueError, match="needs 5 things"):
        Permuted().copies(Permutations(5).sample(2), torch.ones(2, 4))


def test_only_representations_are_accepted_as_representations():
    with pytest.raises(ValueError, match="expected a representation"):
        as_representation("vectors")


def test_a_rotation_per_row_turns_each_row_as_if_alone():
    g = groups.OnePerRow(Octahedral(), range(3)).sample(4, generator(0))
    x = randn(1, 3, 2, 4, 4, 4)
    together = OnePerRow(Voxels()).act(g, x)
    for row in range(3):
        assert torch.equal(together[:, row], Voxels().act(g[:, row], x[:, row : row + 1])[:, 0])
    with pytest.raises(ValueError, match="3 group elements for 2 rows"):
        OnePerRow(Voxels()).act(g, x[:, :2])


def test_voxels_move_as_rot90_moves_them():
    """Axis i of the result is axis p[i], backwards where the sign is -1: X90 is rot90 in the plane (y, z)."""
    x = randn(1, 1, 4, 4, 4)
    for axis, plane in (("x", (-2, -1)), ("y", (-1, -3)), ("z", (-3, -2))):
        g = about_axis(axis, torch.tensor([math.pi / 2], dtype=F8)).round()
        assert torch.equal(Voxels().act(g, x), torch.rot90(x, 1, plane))
