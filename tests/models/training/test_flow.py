"""Flow matching against closed forms: Gaussian data have an exact velocity, score, flow and distribution."""

import math
from itertools import pairwise

import pytest
import torch

from models.training.flow import (
    GaussianPrior,
    LinearPath,
    Noise,
    TimeDistribution,
    centred,
    ode_step,
    sample_path,
    sampling_times,
    sde_step,
    squared_error,
)

STD = 0.6  # of the data, x_1 ~ N(0, STD^2)


def variance(t):
    """Of x_t."""
    return (1 - t) ** 2 + (t * STD) ** 2


def exact_clean(x, t):
    """E[x_1 | x_t]."""
    s = t[:, None, None]
    return s * STD**2 / variance(s) * x


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def generators(count, seed=0):
    return [torch.Generator().manual_seed(seed + k) for k in range(count)]


def everywhere(x):
    return torch.ones(x.shape[:2], dtype=torch.bool)


def test_the_ends_of_the_path_are_noise_and_data():
    x_0, x_1 = normal(2, 4, 3), normal(2, 4, 3, seed=1)
    for t, end in ((0.0, x_0), (1.0, x_1)):
        torch.testing.assert_close(LinearPath().sample(x_0, x_1, torch.full((2,), t).double()).x_t, end)


def test_clean_and_velocity_invert_each_other():
    x, t, v = normal(3, 4, 3), torch.tensor([0.0, 0.3, 0.9]).double(), normal(3, 4, 3, seed=1)
    path = LinearPath()
    torch.testing.assert_close(path.velocity(x, t, path.clean(x, t, v)), v)
    assert LinearPath("clean").clean(x, t, v) is v


def test_the_weight_makes_the_error_of_the_clean_points_that_of_the_velocity():
    x_0, x_1, v = (normal(3, 4, 3, seed=k) for k in range(3))
    t, path = torch.tensor([0.1, 0.5, 0.9]).double(), LinearPath()
    sample = path.sample(x_0, x_1, t)
    mask = everywhere(x_1)
    found = path.weight(t) * squared_error(path.clean(sample.x_t, t, v), x_1, mask)
    softened = (1 - t).square() / ((1 - t).square() + 1e-5)
    torch.testing.assert_close(found, softened * squared_error(v, x_1 - x_0, mask))


def test_the_score_of_gaussian_data_is_exact():
    x, t = normal(3, 5, 3), torch.tensor([0.0, 0.4, 0.8]).double()
    velocity = LinearPath.velocity(x, t, exact_clean(x, t))
    s = t[:, None, None]
    torch.testing.assert_close(LinearPath.score(x, t, velocity), -x / variance(s))


def test_the_exact_velocity_is_the_regression_of_the_targets():
    x_0, x_1 = normal(1, 200_000, 3), STD * normal(1, 200_000, 3, seed=1)
    t = torch.tensor([0.7]).double()
    x_t = LinearPath().sample(x_0, x_1, t).x_t
    slope = ((x_1 - x_0) * x_t).mean() / x_t.square().mean()
    exact = LinearPath.velocity(x_t, t, exact_clean(x_t, t)) / x_t
    assert slope.item() == pytest.approx(exact.flatten()[0].item(), abs=0.01)


@pytest.mark.parametrize(("steps", "error"), [(100, 0.03), (1600, 0.002)])
def test_the_flow_scales_the_prior_to_the_data(steps, error):
    x = centred(normal(2, 6, 3), everywhere(normal(2, 6, 3)))
    found = sample_path(lambda x, t, _: exact_clean(x, t), x, everywhere(x), sampling_times(steps, "uniform"))
    torch.testing.assert_close(found, STD * x, rtol=0, atol=error * x.abs().max().item())


@pytest.mark.parametrize("scale", [0.0, 0.4, 1.0])
def test_the_stochastic_sampler_has_the_variance_of_its_recursion(scale):
    noise, times, n = Noise(scale=scale), sampling_times(60), 3000
    expected = 1.0
    for now, following in pairwise(times.tolist()):
        dt, g = following - now, noise.g(now) if now <= noise.until else 0.0
        clean = now * STD**2 / variance(now)
        v = (clean - 1) / (1 - now)
        score = -1 / variance(now)
        expected = (1 + dt * (v + g * score)) ** 2 * expected + 2 * g * scale * dt
    x = centred(normal(1, n, 3), torch.ones(1, n, dtype=torch.bool))
    generator = torch.Generator().manual_seed(5)
    found = sample_path(lambda x, t, _: exact_clean(x, t), x, everywhere(x), times, noise, [generator])
    assert found.square().mean().item() == pytest.approx(expected, rel=6 / math.sqrt(3 * n))
    if scale == 1.0:
        assert expected == pytest.approx(STD**2, rel=0.15)  # noise and score cancel as steps shrink


def test_a_step_without_strength_is_the_flow():
    x, v = normal(1, 4, 3), normal(1, 4, 3, seed=1)
    t = torch.tensor([0.5]).double()
    torch.testing.assert_close(sde_step(x, v, t, 0.1, 0.0, 1.0, v), ode_step(x, v, 0.1))


def test_samples_do_not_leave_the_centre_or_their_mask():
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    prior = GaussianPrior().sample(mask, generators(2), torch.float64)
    found = sample_path(lambda x, t, _: x + 1, prior, mask, sampling_times(5), Noise(), generators(2))
    for x in (prior, found):
        assert (x[~mask] == 0).all()
        assert x.sum(1).abs().max() < 1e-12


def test_noise_of_a_chain_does_not_depend_on_its_padding():
    short = torch.tensor([[True] * 3])
    padded = torch.tensor([[True] * 3 + [False] * 4])
    first, second = (GaussianPrior().sample(mask, generators(1)) for mask in (short, padded))
    torch.testing.assert_close(first, second[:, :3])


def test_the_guess_of_a_step_is_shown_to_the_next():
    seen = []

    def denoise(x, t, previous):
        seen.append(previous)
        return x * 0 + t[:, None, None]

    x = normal(1, 3, 3)
    sample_path(denoise, x, everywhere(x), sampling_times(3, "uniform"))
    assert seen[0] is None
    assert [float(guess.mean()) for guess in seen[1:]] == pytest.approx([0, 1 / 3])


def test_times_have_the_stated_distribution():
    generator = torch.Generator().manual_seed(0)
    distribution = TimeDistribution(power=1.9, uniform=0.02)
    t = torch.tensor([distribution.sample(generator) for _ in range(20_000)])
    for at in (0.1, 0.3, 0.6, 0.9):
        expected = 0.02 * at + 0.98 * at**1.9
        assert (t < at).float().mean().item() == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize("schedule", ["log", "uniform", "power"])
def test_schedules_rise_from_0_to_1(schedule):
    times = sampling_times(7, schedule)
    assert times[0] == 0
    assert times[-1] == 1
    assert (times.diff() > 0).all()


def test_sampling_without_steps_is_refused():
    with pytest.raises(ValueError, match="at least 1 step, not 0"):
        sampling_times(0)
