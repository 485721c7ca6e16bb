"""From joint angles to joint positions (spec egno.md 2.2)."""

from dataclasses import dataclass

import numpy as np

from data.mocap.skeleton import JOINTS, PARENTS


@dataclass(frozen=True)
class Skeleton:
    """One body. All arrays have a row for each joint; the root's are zero.

    direction: (31, 3) of the bones that end in the joints, in the rest pose, about 1 long. length: (31,) [ASF
    units]. axis: (31, 3) [degrees], the frame in which a joint's angles are measured. freedoms: of each joint,
    the axes (0, 1, 2) it turns about, in the order in which an AMC file lists their angles.
    """

    direction: np.ndarray
    length: np.ndarray
    axis: np.ndarray
    freedoms: tuple[tuple[int, ...], ...]


def rotation(angles: np.ndarray) -> np.ndarray:
    """Rz(c) Ry(b) Rx(a) of angles (..., 3) = (a, b, c) [degrees] -> (..., 3, 3)."""
    (sa, sb, sc), (ca, cb, cc) = (np.moveaxis(f(np.deg2rad(angles)), -1, 0) for f in (np.sin, np.cos))
    rows = [
        [cc * cb, cc * sb * sa - sc * ca, cc * sb * ca + sc * sa],
        [sc * cb, sc * sb * sa + cc * ca, sc * sb * ca - cc * sa],
        [-sb, cb * sa, cb * ca],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def joint_positions(skeleton: Skeleton, root: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """root: (F, 6), its position [ASF units] and angles [degrees]. angles: (F, 31, 3) [degrees] -> (F, 31, 3).

    A bone's frame turns by its angles within its own axes, M = M_parent C E(angles) C^T, and carries its end.
    """
    C = rotation(skeleton.axis)
    turned = C @ rotation(angles) @ C.swapaxes(-1, -2)
    turned[:, 0] = rotation(root[:, 3:])
    return chain(skeleton, root[:, :3], turned)


def chain(skeleton: Skeleton, start: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """Positions (F, 31, 3) from the root's, start (F, 3), and rotations relative to the parents (F, 31, 3, 3)."""
    M = np.empty_like(turned)
    X = np.empty((len(turned), len(JOINTS), 3))
    M[:, 0], X[:, 0] = turned[:, 0], start
    for joint, parent in enumerate(PARENTS[1:], 1):
        M[:, joint] = M[:, parent] @ turned[:, joint]
        bone = skeleton.length[joint] * skeleton.direction[joint]
        X[:, joint] = X[:, parent] + M[:, joint] @ bone
    return X
