"""The recipe's augmentations: their distributions, their order, and that they draw from one generator alone."""

import math

import pytest
import torch

from data.modelnet40.augment import (
    evaluation_view,
    rotated,
    scaled,
    shifted,
    shuffled,
    stretched,
    thinned,
    train_view,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def clouds(count=2000, points=8):
    return torch.randn(count, points, 3, generator=generator(9))


def assert_uniform(values, low, high):
    """Range, and mean and standard deviation within four standard errors."""
    assert low <= values.min() < low + 0.02 * (high - low)
    assert high - 0.02 * (high - low) < values.max() <= high
    spread = (high - low) / math.sqrt(12)
    assert values.mean().item() == pytest.approx((low + high) / 2, abs=4 * spread / math.sqrt(len(values)))
    assert values.std().item() == pytest.approx(spread, rel=4 / math.sqrt(len(values)))


def test_stretched_scales_each_axis_by_itself_and_offsets():
    points = torch.stack([torch.zeros(3000, 3), torch.ones(3000, 3)], dim=1)
    out = stretched(points, generator())
    for axis in range(3):
        assert_uniform(out[:, 0, axis], -0.2, 0.2)
        assert_uniform((out[:, 1] - out[:, 0])[:, axis], 2 / 3, 3 / 2)
    factors = out[:, 1] - out[:, 0]
    assert torch.corrcoef(factors.T).triu(1).abs().max() < 0.08


def test_shuffled_permutes_each_cloud_by_itself():
    points = torch.arange(10.0)[None, :, None].expand(500, 10, 3)
    out = shuffled(points, generator())
    assert torch.equal(out.sort(1).values, points)
    assert len(out[:, :, 0].unique(dim=0)) > 490
    assert out[:, 0, 0].mean().item() == pytest.approx(4.5, abs=0.5)


@pytest.mark.parametrize("rotation", ["z", "so3"])
def test_rotations_keep_distances_and_handedness_and_differ_between_clouds(rotation):
    points = clouds(200).double()
    out = rotated(points, rotation, generator())
    torch.testing.assert_close(torch.cdist(out, out), torch.cdist(points, points))
    torch.testing.assert_close(torch.linalg.det(out[:, :3]), torch.linalg.det(points[:, :3]))
    R = torch.linalg.lstsq(points, out).solution
    assert (R[0] - R[1]).abs().max() > 0.1
    assert torch.equal(out[..., 2], points[..., 2]) == (rotation == "z")


def test_so3_turns_a_direction_everywhere_and_z_around():
    up = torch.tensor([0.0, 0.0, 1.0]).expand(4000, 1, 3)
    for axis in range(3):
        assert_uniform(rotated(up, "so3", generator())[:, 0, axis], -1, 1)
    ahead = torch.tensor([1.0, 0.0, 0.0]).expand(4000, 1, 3)
    turned = rotated(ahead, "z", generator())[:, 0]
    assert_uniform(torch.atan2(turned[:, 1], turned[:, 0]), -math.pi, math.pi)


def test_an_unknown_rotation():
    with pytest.raises(ValueError, match="rotation is 'aligned', not one of none, z, so3"):
        rotated(clouds(2), "aligned", generator())


def test_thinned_replaces_points_by_the_first_and_keeps_their_number():
    points = clouds(3000, 400)
    out = thinned(points, generator())
    is_dropped = (out == points[:, :1]).all(-1)
    torch.testing.assert_close(out[~is_dropped], points[~is_dropped])
    share = is_dropped[:, 1:].float().mean(1)
    assert share.mean().item() == pytest.approx(0.875 / 2, abs=0.02)
    assert share.std().item() == pytest.approx(0.875 / math.sqrt(12), abs=0.02)
    assert 0.85 < share.max() < 0.95  # r < 0.875, and what 399 draws add to it
    assert torch.equal(thinned(points, generator(), most=0), points)


def test_scaled_is_isotropic():
    points = clouds()
    factor = scaled(points, generator()) / points
    torch.testing.assert_close(factor, factor[:, :1, :1].expand_as(factor))
    assert_uniform(factor[:, 0, 0], 0.8, 1.25)


def test_shifted_is_uniform_in_the_cube_or_in_the_ball():
    points = torch.zeros(4000, 2, 3)
    cube = shifted(points, generator())
    assert torch.equal(cube[:, 0], cube[:, 1])
    for axis in range(3):
        assert_uniform(cube[:, 0, axis], -0.1, 0.1)
    ball = shifted(points, generator(), in_ball=True)[:, 0]
    assert_uniform(ball.norm(dim=-1) ** 3, 0, 0.1**3)
    assert_uniform((ball / ball.norm(dim=-1, keepdim=True))[:, 2], -1, 1)


def test_the_training_view_applies_the_recipe_in_its_order():
    points, stream = clouds(16, 50), generator()
    expected = stretched(points, stream)
    expected = shuffled(expected, stream)
    expected = rotated(expected, "so3", stream)
    expected = thinned(expected, stream)
    expected = scaled(expected, stream)
    expected = shifted(expected, stream)
    assert torch.equal(train_view(points, "so3", generator()), expected)


def test_the_evaluation_view_is_rotated_and_nothing_else():
    points = clouds(16, 50)
    assert torch.equal(evaluation_view(points, "none", generator()), points)
    assert torch.equal(evaluation_view(points, "so3", generator()), rotated(points, "so3", generator()))


def test_views_depend_on_their_generator_alone_and_leave_the_input_and_the_global_generator():
    points = clouds(16, 50)
    before, state = points.clone(), torch.get_rng_state()
    first = train_view(points, "so3", generator(1))
    torch.rand(3)
    assert torch.equal(first, train_view(points, "so3", generator(1)))
    assert not torch.equal(first, train_view(points, "so3", generator(2)))
    assert torch.equal(points, before)
    torch.set_rng_state(state)
    train_view(points, "so3", generator(1))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_views_keep_shape_and_dtype(dtype):
    points = clouds(3, 20).to(dtype)
    for rotation in ("none", "z", "so3"):
        view = train_view(points, rotation, generator(), shift_in_ball=True)
        assert (view.shape, view.dtype) == (points.shape, dtype)
