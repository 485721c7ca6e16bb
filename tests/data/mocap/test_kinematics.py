"""Joint positions follow from joint angles as the formulas say, and rotate, shift and keep their bones."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data.mocap.amc import read_amc
from data.mocap.asf import read_asf
from data.mocap.kinematics import joint_positions, rotation
from data.mocap.skeleton import JOINTS, PARENTS, edges
from tests.data.mocap.raw_files import amc_text, asf_text


@pytest.fixture
def trial(tmp_path):
    (tmp_path / "a.asf").write_text(asf_text())
    (tmp_path / "a.amc").write_text(amc_text(frames=6, first=3))
    skeleton = read_asf(tmp_path / "a.asf")
    return skeleton, read_amc(tmp_path / "a.amc", skeleton)


def test_angles_turn_about_x_then_y_then_z_of_fixed_axes():
    angles = np.random.default_rng(0).uniform(-180, 180, (20, 3))
    np.testing.assert_allclose(
        rotation(angles), Rotation.from_euler("xyz", angles, degrees=True).as_matrix(), atol=1e-15
    )


def test_positions_are_those_of_the_recursion(trial):
    skeleton, read = trial
    P = joint_positions(skeleton, read.root, read.angles)
    for frame in range(6):
        M = {0: Rotation.from_euler("xyz", read.root[frame, 3:], degrees=True)}
        np.testing.assert_array_equal(P[frame, 0], read.root[frame, :3])
        for joint in range(1, 31):
            C = Rotation.from_euler("xyz", skeleton.axis[joint], degrees=True)
            E = Rotation.from_euler("xyz", read.angles[frame, joint], degrees=True)
            M[joint] = M[PARENTS[joint]] * C * E * C.inv()
            bone = M[joint].apply(skeleton.length[joint] * skeleton.direction[joint])
            np.testing.assert_allclose(P[frame, joint], P[frame, PARENTS[joint]] + bone, atol=1e-12)


def test_bones_keep_their_lengths_and_a_shifted_root_shifts_all(trial):
    skeleton, read = trial
    P = joint_positions(skeleton, read.root, read.angles)
    lengths = np.linalg.norm(P[:, 1:] - P[:, PARENTS[1:]], axis=-1)
    np.testing.assert_allclose(lengths, np.broadcast_to(skeleton.length[1:], lengths.shape), rtol=1e-12)
    shifted = joint_positions(skeleton, read.root + np.array([1, 2, 3, 0, 0, 0]), read.angles)
    np.testing.assert_allclose(shifted, P + np.array([1, 2, 3]), atol=1e-12)


def test_angles_go_to_the_joints_and_axes_that_the_skeleton_names(trial, tmp_path):
    _, read = trial
    assert read.first_frame == 3
    assert (read.angles[:, JOINTS.index("lhipjoint")] == 0).all()
    lines = (tmp_path / "a.amc").read_text().splitlines()
    foot = next(line.split() for line in lines if line.startswith("lfoot"))
    np.testing.assert_array_equal(
        read.angles[0, JOINTS.index("lfoot")], [float(foot[1]), 0.0, float(foot[2])]
    )


def test_windows_line_ends_and_comments_are_read(trial, tmp_path):
    skeleton, read = trial
    text = (tmp_path / "a.amc").read_text()
    (tmp_path / "b.amc").write_bytes(text.replace("\n", "\r\n").encode() + b"\x1a")
    again = read_amc(tmp_path / "b.amc", skeleton)
    np.testing.assert_array_equal(again.angles, read.angles)


def test_the_graph_joins_joints_one_or_two_bones_apart():
    index, kind = edges()
    assert index.shape == (2, 130)
    assert [(kind == k).sum() for k in (1, 2)] == [60, 70]
    pairs = list(map(tuple, index.T.tolist()))
    assert pairs == sorted(pairs)
    assert {(j, i) for i, j in pairs} == set(pairs)
    bone = dict(zip(pairs, kind, strict=True))
    assert bone[JOINTS.index("ltibia"), JOINTS.index("lfemur")] == 1
    assert bone[JOINTS.index("lhipjoint"), JOINTS.index("rhipjoint")] == 2
