"""Rotation sets: exactness of quadrature, evenness of spirals, one call for all kinds."""

import math

import pytest
import torch

from twirl.groups import SO3, Cyclic, Octahedral
from twirl.rotations import (
    KINDS,
    RotationSet,
    enumerate_group,
    product_quadrature,
    rotation_set,
    super_fibonacci,
)
from twirl.wigner import wigner_D


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mean_wigner(rotations: RotationSet, l: int) -> torch.Tensor:  # noqa: E741
    """The mean of D^l, zero for l > 0 in the Haar measure."""
    return torch.einsum("r,rij->ij", rotations.weights, wigner_D(l, 1, rotations.elements))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_the_same_call_and_its_weights_sum_to_one(kind):
    rotations = rotation_set(kind, 40, generator(0))
    assert len(rotations) <= 40
    assert rotations.elements.shape == (len(rotations), 3, 3)
    assert torch.isclose(rotations.weights.sum(), torch.tensor(1.0, dtype=torch.float64))
    assert torch.allclose(
        rotations.elements @ rotations.elements.mT, torch.eye(3, dtype=torch.float64), atol=1e-12
    )
    again = rotation_set(kind, 40, generator(0))
    assert torch.equal(again.elements, rotations.elements)


@pytest.mark.parametrize("kind", ["super_fibonacci", "product_quadrature"])
def test_deterministic_sets_are_fixed_without_a_generator_and_turned_rigidly_with_one(kind):
    fixed, turned = rotation_set(kind, 30), rotation_set(kind, 30, generator(1))
    assert torch.equal(fixed.elements, rotation_set(kind, 30).elements)
    turn = turned.elements @ fixed.elements.mT
    assert torch.allclose(turn, turn[:1].expand_as(turn), atol=1e-12)
    assert not torch.allclose(turn[0], torch.eye(3, dtype=turn.dtype), atol=1e-3)


@pytest.mark.parametrize("degree", range(7))
def test_product_quadrature_integrates_wigner_functions_exactly_up_to_its_degree(degree):
    rotations = product_quadrature(degree)
    assert len(rotations) == (degree + 1) ** 2 * math.ceil((degree + 1) / 2)
    for l in range(1, degree + 1):  # noqa: E741
        assert mean_wigner(rotations, l).abs().max() < 1e-13
    beyond = [mean_wigner(rotations, l).abs().max() for l in (degree + 1, degree + 2)]  # noqa: E741
    assert max(beyond) > 1e-3


def test_the_largest_product_rule_that_fits_is_chosen():
    assert len(rotation_set("product_quadrature", 17)) == 4
    assert len(rotation_set("product_quadrature", 18)) == 18
    assert len(rotation_set("product_quadrature", 1)) == 1


def test_super_fibonacci_is_spread_far_more_evenly_than_random_draws():
    n = 500
    spiral, random = super_fibonacci(n), rotation_set("iid", n, generator(0))

    def discrepancy(rotations):
        return math.sqrt(sum(float(mean_wigner(rotations, l).square().mean()) for l in range(1, 5)))  # noqa: E741

    assert discrepancy(spiral) < 0.1 * discrepancy(random)


def test_enumeration_lists_the_group_with_equal_weights():
    rotations = enumerate_group(Octahedral())
    assert rotations.sampling == "enumeration"
    assert torch.equal(rotations.elements, Octahedral().elements())
    assert torch.allclose(rotations.weights, torch.full((24,), 1 / 24, dtype=torch.float64))


def test_random_sets_can_be_drawn_from_any_group():
    rotations = rotation_set("iid", 9, generator(0), group=Cyclic(3))
    distances = (rotations.elements[:, None] - Cyclic(3).elements()).flatten(2).norm(dim=-1)
    assert distances.amin(1).max() < 1e-12


def test_bad_rotation_sets_are_refused():
    with pytest.raises(ValueError, match="kind must be one of"):
        rotation_set("sobol", 10)
    with pytest.raises(ValueError, match="at least 1 rotation"):
        rotation_set("iid", 0)
    with pytest.raises(ValueError, match=r"a rule for SO\(3\)"):
        rotation_set("super_fibonacci", 10, group=Octahedral())
    with pytest.raises(ValueError, match="infinite and cannot be enumerated"):
        enumerate_group(SO3())
    with pytest.raises(ValueError, match="sum to one"):
        RotationSet(torch.eye(3).expand(2, 3, 3), torch.ones(2), "quadrature")
    with pytest.raises(ValueError, match="as many weights"):
        RotationSet(torch.eye(3).expand(2, 3, 3), torch.ones(3) / 3, "quadrature")
    with pytest.raises(ValueError, match="equal weights"):
        RotationSet(torch.eye(3).expand(2, 3, 3), torch.tensor([0.3, 0.7]), "iid")
    with pytest.raises(ValueError, match="sampling must be"):
        RotationSet(torch.eye(3).expand(2, 3, 3), torch.ones(2) / 2, "random")
