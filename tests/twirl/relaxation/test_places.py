"""Places: their layouts, their representations as matrices, and what is refused."""

import math

import pytest
import torch
from torch import nn

from tests.twirl.relaxation.toy import F8, Channels, network, places, randn
from twirl.groups import SO3, Permutations, about_axis
from twirl.relaxation.blocks import BlockDiagonal, matrices, rotation_generators
from twirl.relaxation.places import Place, check_places
from twirl.representations import IrrepsRep, Permuted, Scalars, Vectors


class Unconstrained(nn.Linear):
    def __init__(self):
        super().__init__(6, 12)

    def forward(self, v):
        return super().forward(v.flatten(-2)).unflatten(-1, (4, 3))


G = SO3().sample(3, torch.Generator().manual_seed(0))
CASES = [
    (Vectors(), (5, 3)),
    (Vectors(dim=-2), (3, 5)),
    (IrrepsRep("2x0e + 3x1o + 1x2e"), (16,)),
    (Scalars(), (7,)),
    (Vectors(), (40, 3)),
]


@pytest.mark.parametrize(("rep", "features"), CASES, ids=lambda case: type(case).__name__)
def test_the_matrices_of_a_representation_act_as_it_does(rep, features):
    rho = matrices(rep, G, features)
    z = randn(6, *features)
    expected = rep.act(G, z[None]).flatten(2)
    assert torch.allclose(z.flatten(1) @ rho.dense().mT, expected, atol=1e-13)
    W, V = randn(4, rho.dim), randn(rho.dim, 4)
    assert torch.allclose(rho.right(W), W @ rho.dense(), atol=1e-13)
    assert torch.allclose(rho.left(V), rho.dense() @ V, atol=1e-13)


def test_vector_channels_store_one_block_and_permutations_act_too():
    assert matrices(Vectors(), G, (40, 3)).blocks.shape == (3, 1, 3, 3)
    g = Permutations(4).generators()
    z = randn(2, 4, 3)
    found = z.flatten(1) @ matrices(Permuted(), g, (4, 3)).dense().mT
    assert torch.equal(found, Permuted().act(g, z[None]).flatten(2))


@pytest.mark.parametrize(("rep", "features"), CASES[:4], ids=lambda case: type(case).__name__)
def test_generators_are_the_derivatives_of_rotations(rep, features):
    A, h = rotation_generators(rep, features).dense(), 1e-3

    def rho(t):
        angle = torch.tensor([t], dtype=F8)
        return torch.cat([matrices(rep, about_axis(axis, angle), features).dense() for axis in "xyz"])

    difference = (8 * (rho(h) - rho(-h)) - (rho(2 * h) - rho(-2 * h))) / (12 * h)
    assert torch.allclose(A, difference, atol=1e-10)
    assert torch.equal(A, -A.mT) or torch.allclose(A, -A.mT, atol=1e-13)


def test_the_generators_of_vectors_are_the_standard_ones():
    x = [[0, 0, 0], [0, 0, -1], [0, 1, 0]]
    y = [[0, 0, 1], [0, 0, 0], [-1, 0, 0]]
    z = [[0, -1, 0], [1, 0, 0], [0, 0, 0]]
    standard = torch.tensor([x, y, z], dtype=F8)
    assert torch.allclose(rotation_generators(Vectors(), (1, 3)).dense(), standard, atol=1e-13)
    assert torch.allclose(rotation_generators(IrrepsRep("1x1o"), (3,)).dense(), standard, atol=1e-13)


def test_generators_of_every_degree_have_its_casimir():
    for degree in range(9):
        A = rotation_generators(IrrepsRep(f"1x{degree}e"), (2 * degree + 1,)).dense()
        casimir = -(A @ A).sum(0)
        assert torch.allclose(
            casimir, degree * (degree + 1) * torch.eye(2 * degree + 1, dtype=F8), atol=1e-10
        )


@pytest.mark.parametrize("axes", [None, (1, 2), (-1, 1)], ids=str)
def test_flattening_a_layers_input_keeps_channel_then_coordinate(axes):
    place = Place("x", Vectors(), Vectors(), (4, 3), (4, 3), axes=axes)
    z = randn(2, 5, 6, 4, 3)
    stored = z if axes is None else z.movedim((-2, -1), axes)
    assert torch.equal(place.flatten(stored), z.flatten(-2))
    assert torch.equal(place.unflatten(place.flatten_out(stored)), stored)
    b = randn(12)
    assert torch.equal(place.flatten_out(stored + place.spread(b, stored.ndim)), z.flatten(-2) + b)


@pytest.mark.parametrize(
    ("layer", "features_in", "features_out", "acts_on_in", "message"),
    [
        (Channels(2, 4), (2, 3), (5, 3), Vectors(), r"output has shape .* declared features \(5, 3\)"),
        (Channels(2, 4), (3, 3), (4, 3), Vectors(), r"does not take features of shape \(3, 3\)"),
        (Channels(2, 4), (2, 3), (4, 3), IrrepsRep("2x1o"), r"acts_on_in: .* the data have shape"),
        (Unconstrained(), (2, 3), (4, 3), Vectors(), r"not equivariant under .* \(Vectors to Vectors\)"),
    ],
)
def test_a_layer_is_held_against_its_declaration(layer, features_in, features_out, acts_on_in, message):
    Place("a", Vectors(), Vectors(), (2, 3), (4, 3)).check(Channels(2, 4), G)
    with pytest.raises(ValueError, match="place 'a'.*" + message):
        Place("a", acts_on_in, Vectors(), features_in, features_out).check(layer, G)


def test_features_on_both_sides_and_axes_are_equally_many():
    with pytest.raises(ValueError, match="same length"):
        Place("a", Vectors(), Vectors(), (2, 3), 12)


def test_the_check_leaves_the_layer_and_random_numbers_alone():
    layer = nn.Sequential(Channels(2, 4), nn.Dropout(0.5)).train()
    state = torch.get_rng_state()
    Place("a", Vectors(), Vectors(), (2, 3), (4, 3)).check(layer, G)
    assert layer.training
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "nowhere"}, "Toy has no module of that name"),
        ({"name": "first.feat"}, "listed twice"),
        ({"name": "first"}, "one inside the other"),
        ({"reads": "middle"}, "no earlier place"),
        ({"reads": "first.feat"}, "differ in shape"),
    ],
    ids=str,
)
def test_impossible_lists_of_places_are_refused(change, message):
    first, second, last = places()
    fields = {"name": "last", "features_in": (4, 3), "features_out": (1, 3), "reads": None} | change
    last = Place(fields.pop("name"), Vectors(), Vectors(), **fields)
    with pytest.raises(ValueError, match=message):
        check_places([first, second, last], network())
    with pytest.raises(ValueError, match="empty"):
        check_places([], network())


def test_blocks_follow_a_tensors_dtype():
    rho = BlockDiagonal(torch.eye(3, dtype=F8)[None, None], 6)
    assert rho.to(torch.zeros((), dtype=torch.float32)).blocks.dtype == torch.float32
    assert math.prod(rho.dense().shape) == 36
