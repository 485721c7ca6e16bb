"""Generated walkers and runners move as bodies under gravity do, and no two alike."""

import numpy as np
import pytest

from data.mocap.generate import GAITS, GRAVITY, generate_trial, skeleton
from data.mocap.skeleton import FRAMES_PER_SECOND, JOINTS, PARENTS

FEET = [JOINTS.index(name) for name in ("lfoot", "ltoes", "rfoot", "rtoes")]


def trial(gait, seed=0, frames=331, spread=30.0):
    return generate_trial(gait, frames, np.random.default_rng(seed), spread)


@pytest.mark.parametrize("gait", GAITS)
def test_bones_are_rigid_and_left_mirrors_right(gait):
    P = trial(gait)
    lengths = np.linalg.norm(P[:, 1:] - P[:, PARENTS[1:]], axis=-1)
    assert np.ptp(lengths, axis=0).max() < 1e-12
    body = skeleton()
    for k, name in enumerate(JOINTS):
        twin = "r" + name[1:]
        if name.startswith("l") and twin in JOINTS:
            assert body.length[k] == body.length[JOINTS.index(twin)]
            np.testing.assert_array_equal(body.direction[k] * [-1, 1, 1], body.direction[JOINTS.index(twin)])


def test_a_walker_always_stands_on_the_ground_and_a_runner_also_flies():
    assert abs(trial("walk")[:, FEET, 1].min(axis=1)).max() < 1e-12
    lowest = trial("run")[:, FEET, 1].min(axis=1)
    assert lowest.min() > -1e-12
    assert 0.1 < (lowest > 1e-9).mean() < 0.6


def test_flight_is_free_fall():
    lowest = trial("run")[:, FEET, 1].min(axis=1) * FRAMES_PER_SECOND**2
    flying = lowest > 1e-6
    inside = flying[:-2] & flying[1:-1] & flying[2:]
    np.testing.assert_allclose(np.diff(lowest, 2)[inside], -GRAVITY, rtol=0.2)


@pytest.mark.parametrize("gait", GAITS)
def test_travel_is_level_and_within_the_spread_of_z(gait):
    for seed in range(8):
        P = trial(gait, seed)
        way = P[-1, 0] - P[0, 0]
        turn = np.rad2deg(np.arctan2(way[0], abs(way[2])))
        assert abs(turn) < 32
        assert abs(way[1]) < 3
        assert P[:, JOINTS.index("head"), 1].min() > P[:, 0, 1].max()


def test_subjects_differ_in_speed_phase_build_and_heading():
    trials = [trial("walk", seed) for seed in range(12)]
    speeds = [np.linalg.norm(P[-1, 0] - P[0, 0]) for P in trials]
    heights = [P[:, JOINTS.index("head"), 1].mean() for P in trials]
    assert np.std(speeds) > 0.08 * np.mean(speeds)
    assert np.std(heights) > 0.02 * np.mean(heights)
    assert len({np.sign(P[-1, 0, 2] - P[0, 0, 2]) for P in trials}) == 2


def test_runners_are_faster_than_walkers():
    def speed(gait):
        return np.mean([np.linalg.norm(trial(gait, s)[-1, 0] - trial(gait, s)[0, 0]) for s in range(6)])

    assert speed("run") > 2.5 * speed("walk")
