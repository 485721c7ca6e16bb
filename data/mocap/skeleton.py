"""The 31 joints of the CMU skeleton, its bones, and the graph along which messages travel.

A joint is the root or the far end of a bone; joints are numbered in depth-first order of the ASF hierarchy.
"""

import numpy as np

# Joint: parent. The order is that of every array of joints.
_TREE = {
    "root": None, "lhipjoint": "root", "lfemur": "lhipjoint", "ltibia": "lfemur", "lfoot": "ltibia",
    "ltoes": "lfoot", "rhipjoint": "root", "rfemur": "rhipjoint", "rtibia": "rfemur", "rfoot": "rtibia",
    "rtoes": "rfoot", "lowerback": "root", "upperback": "lowerback", "thorax": "upperback",
    "lowerneck": "thorax", "upperneck": "lowerneck", "head": "upperneck", "lclavicle": "thorax",
    "lhumerus": "lclavicle", "lradius": "lhumerus", "lwrist": "lradius", "lhand": "lwrist",
    "lfingers": "lhand", "lthumb": "lwrist", "rclavicle": "thorax", "rhumerus": "rclavicle",
    "rradius": "rhumerus", "rwrist": "rradius", "rhand": "rwrist", "rfingers": "rhand", "rthumb": "rwrist",
}  # fmt: skip

JOINTS = tuple(_TREE)
PARENTS = np.array([-1 if parent is None else JOINTS.index(parent) for parent in _TREE.values()])
FRAMES_PER_SECOND = 120.0
UNIT_METRES = 0.0254 / 0.45  # one ASF unit [m]
VERTICAL = 1  # the axis along which gravity acts: y


def edges() -> tuple[np.ndarray, np.ndarray]:
    """Ordered pairs of joints one or two bones apart: index (2, 130), row 0 the receivers, and type (130,).

    Type 1: joined by a bone; 2: two bones apart. Sorted by receiver, then by sender (spec egno.md 2.3).
    """
    n = len(JOINTS)
    bone = np.zeros((n, n), dtype=np.int64)
    bone[np.arange(1, n), PARENTS[1:]] = 1
    bone += bone.T
    kind = np.where(bone > 0, 1, np.where(bone @ bone > 0, 2, 0))
    np.fill_diagonal(kind, 0)
    receiver, sender = np.nonzero(kind)
    return np.stack([receiver, sender]), kind[receiver, sender]
