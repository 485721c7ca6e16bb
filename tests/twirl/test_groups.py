"""Group laws, Haar moments, enumeration and generators."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from twirl.groups import (
    SO2,
    SO3,
    AxisPreserving,
    Cyclic,
    FiniteRotations,
    Octahedral,
    OnePerRow,
    Permutations,
    TwoAxisTurns,
    about_axis,
    compose,
    inverse,
    voxel_rotations,
)

FINITE = [Octahedral(), Cyclic(5), Cyclic(4, "x"), Cyclic(1), Permutations(4), Permutations(1)]
GROUPS = [SO3(), SO2(), SO2("x"), OnePerRow(Octahedral(), [7, 3]), *FINITE]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def name(group) -> str:
    return type(group).__name__


def close(a, b, tolerance=1e-12) -> bool:
    return torch.allclose(a.double(), b.double(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("group", GROUPS, ids=name)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_products_are_associative_and_inverses_cancel(group, seed):
    g, h, k = group.sample(12, generator(seed)).chunk(3)
    assert close(compose(compose(g, h), k), compose(g, compose(h, k)))
    assert close(compose(g, inverse(g)), group.identity().expand_as(g))
    assert close(compose(inverse(g), g), group.identity().expand_as(g))
    assert close(compose(g, group.identity()), g)


@pytest.mark.parametrize(
    "group", [SO3(), SO2("y"), Octahedral(), Cyclic(7), AxisPreserving(), TwoAxisTurns()], ids=name
)
def test_rotations_are_orthogonal_with_determinant_one(group):
    g = group.sample(50, generator(0))
    assert close(g @ g.mT, torch.eye(3).expand_as(g))
    assert close(torch.linalg.det(g), torch.ones(50))


@pytest.mark.parametrize("group", GROUPS, ids=name)
def test_the_same_seed_draws_the_same_elements(group):
    assert torch.equal(group.sample(5, generator(3)), group.sample(5, generator(3)))
    assert len(group.sample(1, generator(3))) == 1


def test_so3_samples_have_the_moments_of_the_haar_measure():
    n = 40_000
    g = SO3().sample(n, generator(1))
    second = torch.einsum("nij,nkl->ijkl", g, g) / n
    eye = torch.eye(3, dtype=g.dtype)
    tolerance = 5 / math.sqrt(n)
    assert close(g.mean(0), torch.zeros(3, 3), tolerance)
    assert close(second, torch.einsum("ik,jl->ijkl", eye, eye) / 3, tolerance)
    assert close((g**4).mean(0), torch.full((3, 3), 1 / 5), tolerance)
    trace = g.diagonal(dim1=1, dim2=2).sum(1)
    assert close(trace.square().mean(), torch.tensor(1.0), 2 * tolerance)
    assert close(trace.pow(4).mean(), torch.tensor(3.0), 20 * tolerance)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_so2_samples_fix_their_axis_and_are_uniform_in_angle(axis):
    g = SO2(axis).sample(20_000, generator(2))
    v = torch.eye(3, dtype=g.dtype)["xyz".index(axis)]
    assert close(g @ v, v.expand(len(g), 3))
    assert close(g.mean(0), torch.outer(v, v), 5 / math.sqrt(len(g)))


def test_rotation_about_z_is_counter_clockwise():
    quarter = about_axis("z", torch.tensor(math.pi / 2, dtype=torch.float64))
    assert close(quarter @ torch.tensor([1.0, 0, 0], dtype=torch.float64), torch.tensor([0.0, 1, 0]))


@pytest.mark.parametrize(("group", "order"), list(zip(FINITE, [24, 5, 4, 1, 24, 1], strict=True)), ids=str)
def test_a_finite_group_lists_every_element_once_and_the_identity_first(group, order):
    elements = group.elements()
    assert len(elements) == order
    assert len(torch.unique(elements.double().mul(1e6).round(), dim=0)) == order
    assert close(elements[:1], group.identity())


@pytest.mark.parametrize("group", FINITE, ids=name)
def test_sampling_a_finite_group_is_uniform(group):
    elements, n = group.elements().double().flatten(1), 4000
    draws = group.sample(n, generator(5)).double().flatten(1)
    counts = torch.cdist(draws, elements, compute_mode="donot_use_mm_for_euclid_dist").argmin(1).bincount()
    expected = n / len(elements)
    assert len(counts) == len(elements)
    assert (counts - expected).abs().max() < 5 * math.sqrt(expected) + 1e-9


@pytest.mark.parametrize("group", FINITE, ids=name)
def test_generators_of_a_finite_group_generate_all_of_it(group):
    generators, reached = group.generators(), group.identity()
    for _ in range(24):
        products = compose(generators[:, None], reached[None]).flatten(0, 1)
        reached = torch.cat([reached, products])
        _, first = _unique_rows(reached)
        reached = reached[first]
    assert len(reached) == len(group.elements())


def _unique_rows(x):
    rows, where = torch.unique(x.double().flatten(1).mul(1e6).round() + 0.0, dim=0, return_inverse=True)
    first = torch.full((len(rows),), len(x)).scatter_reduce(0, where, torch.arange(len(x)), "amin")
    return rows, first


def test_words_in_the_generators_of_so3_come_near_every_rotation():
    letters = SO3().generators()
    letters = torch.cat([letters, inverse(letters)])
    choice = torch.randint(4, (12, 20_000), generator=generator(0))
    words = letters[choice[0]]
    for row in choice[1:]:
        words = letters[row] @ words
    targets = SO3().sample(50, generator(1))
    traces = torch.einsum("tij,wij->tw", targets, words)
    angle = ((traces.amax(1) - 1) / 2).clamp(-1, 1).acos()
    assert angle.max() < 0.4


def test_powers_of_the_generator_of_so2_come_near_every_angle():
    g = SO2().generators()[0]
    step = torch.atan2(g[1, 0], g[0, 0])
    angles = (step * torch.arange(1000)).remainder(2 * math.pi).sort().values
    assert angles.diff().max() < 0.02


def test_the_voxel_set_has_the_16_cube_rotations_that_keep_an_axis():
    kept = voxel_rotations()
    cube = Octahedral().elements()
    keeps_an_axis = (cube.diagonal(dim1=1, dim2=2) != 0).any(1)
    assert len(kept) == 16
    expected, found = _unique_rows(cube[keeps_an_axis])[0], _unique_rows(kept)[0]
    assert torch.equal(expected, found)


def test_the_voxel_set_is_not_a_group():
    with pytest.raises(ValueError, match="not closed under products"):
        FiniteRotations(voxel_rotations())
    with pytest.raises(ValueError, match="no generators"):
        AxisPreserving().generators()


def test_a_finite_rotation_group_is_recognised_whatever_its_order():
    shuffled = Octahedral().elements()[torch.randperm(24, generator=generator(0))]
    group = FiniteRotations(shuffled)
    assert close(group.elements()[0], torch.eye(3))
    assert len(group.generators()) <= 4


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        (torch.eye(3), r"shape \(n, 3, 3\)"),
        (2 * torch.eye(3)[None], "orthogonal"),
        (torch.stack([torch.eye(3), -torch.eye(3)]), "reflection"),
        (torch.eye(3).expand(2, 3, 3), "listed twice"),
    ],
)
def test_matrices_that_are_no_rotation_group_are_refused(matrices, message):
    with pytest.raises(ValueError, match=message):
        FiniteRotations(matrices)


@pytest.mark.parametrize("group", [SO3(), SO2()], ids=name)
def test_an_infinite_group_cannot_be_enumerated(group):
    with pytest.raises(ValueError, match="infinite and cannot be enumerated"):
        group.elements()


def test_too_many_permutations_are_not_enumerated():
    with pytest.raises(ValueError, match="too many to list"):
        Permutations(12).elements()


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="axis must be 'x', 'y' or 'z'"):
        SO2("w")
    with pytest.raises(ValueError, match="at least 1"):
        SO3().sample(0)


def test_the_other_reading_of_sixteen_shares_twelve_elements_and_has_four_turns_by_a_third():
    turns, axial = TwoAxisTurns().elements(), voxel_rotations()
    assert len(turns.unique(dim=0)) == 16
    assert sum(bool((axial == g).flatten(1).all(1).any()) for g in turns) == 12
    assert int(turns.diagonal(dim1=1, dim2=2).sum(1).eq(0).sum()) == 4  # the trace is 1 + 2 cos(angle)
    with pytest.raises(ValueError, match="not closed"):
        TwoAxisTurns().generators()


def test_each_row_has_rotations_of_its_own_whatever_batch_it_is_in():
    whole = OnePerRow(AxisPreserving(), range(5)).sample(7, generator(3))
    part = OnePerRow(AxisPreserving(), [4, 1]).sample(7, generator(3))
    assert whole.shape == (7, 5, 3, 3)
    assert torch.equal(part, whole[:, [4, 1]])
    assert len({tuple(whole[:, row].flatten().tolist()) for row in range(5)}) == 5


def test_rotations_of_rows_are_uniform_and_independent():
    g = OnePerRow(Octahedral(), range(2000)).sample(2, generator(0))
    counts = (g[:, :, None] == Octahedral().elements()).flatten(3).all(3).double().mean(1)
    assert (counts - 1 / 24).abs().max() < 0.02
    assert (g[0, 1:] == g[0, :-1]).flatten(1).all(1).double().mean() == pytest.approx(1 / 24, abs=0.02)


def test_generators_of_a_rotation_per_row_turn_one_row_at_a_time():
    generators = OnePerRow(Octahedral(), range(3)).generators()
    assert generators.shape == (6, 3, 3, 3)
    still = (generators == torch.eye(3).double()).flatten(2).all(2)
    assert (still.sum(1) == 2).all()
    with pytest.raises(ValueError, match="too many"):
        OnePerRow(Octahedral(), range(3)).elements()
