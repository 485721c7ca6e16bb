"""A parametric walker and runner on the 31 joints, gravity along -y: what the mini tier trains on.

Joint angles swing as functions of the stride's phase; a subject's speed, stride, build, arms, lean, heading and
first phase are drawn. The lowest foot stands on the ground; in the running gait the body also flies:
between two stances it falls freely, y = v t - g t^2 / 2.
"""

from dataclasses import dataclass

import numpy as np

from data.digest import name_digest
from data.mocap.kinematics import Skeleton, joint_positions
from data.mocap.official import STARTS
from data.mocap.settings import MocapSettings
from data.mocap.skeleton import FRAMES_PER_SECOND, JOINTS, UNIT_METRES
from data.mocap.trials import SPLITS, WINDOW, Samples, Trial

GRAVITY = 9.81 / UNIT_METRES  # [ASF units / s^2]
# Bones of the left side and the middle: direction at rest and length [ASF units]. The right side mirrors the left.
_BONES = {
    "lhipjoint": ((0.65, -0.73, 0.2), 2.6), "lfemur": ((0, -1, 0), 7.4), "ltibia": ((0, -1, 0), 7.7),
    "lfoot": ((0, -0.3, 0.95), 2.3), "ltoes": ((0, 0, 1), 1.1), "lowerback": ((0, 1, -0.1), 2.0),
    "upperback": ((0, 1, 0), 2.0), "thorax": ((0, 1, 0.05), 2.0), "lowerneck": ((0, 1, 0.1), 1.7),
    "upperneck": ((0, 1, -0.1), 1.7), "head": ((0, 1, 0), 1.8), "lclavicle": ((0.95, 0.3, -0.1), 3.5),
    "lhumerus": ((0.1, -1, 0), 5.2), "lradius": ((0.05, -1, 0), 3.6), "lwrist": ((0, -1, 0), 1.8),
    "lhand": ((0, -1, 0), 0.5), "lfingers": ((0, -1, 0), 0.4), "lthumb": ((-0.6, -0.6, 0.5), 0.6),
}  # fmt: skip
_FEET = [JOINTS.index(name) for name in ("lfoot", "ltoes", "rfoot", "rtoes")]


@dataclass(frozen=True)
class Gait:
    """Ranges from which a subject is drawn. cadence: strides (two steps) per second. Angles in degrees.

    hip: amplitude of the thigh's swing. knee: least and most bend. elbow: bend. lean: of the trunk, forward.
    flight: share of a step in the air.
    """

    cadence: tuple[float, float]
    hip: tuple[float, float]
    knee: tuple[float, float]
    arm: tuple[float, float]
    elbow: tuple[float, float]
    lean: tuple[float, float]
    flight: tuple[float, float]


GAITS = {
    "walk": Gait((0.8, 1.1), (18, 28), (45, 65), (12, 30), (10, 35), (0, 6), (0.0, 0.0)),
    "run": Gait((1.3, 1.7), (30, 45), (75, 105), (25, 45), (70, 100), (5, 15), (0.25, 0.4)),
}


def skeleton(scale: float = 1.0) -> Skeleton:
    """A body with left and right alike; every joint may turn about x, y and z."""
    direction, length = np.zeros((len(JOINTS), 3)), np.zeros(len(JOINTS))
    for row, name in enumerate(JOINTS[1:], 1):
        mirrored = name not in _BONES
        (x, y, z), bone = _BONES["l" + name[1:] if mirrored else name]
        direction[row] = np.array([-x if mirrored else x, y, z]) / np.linalg.norm([x, y, z])
        length[row] = scale * bone
    return Skeleton(direction, length, np.zeros((len(JOINTS), 3)), ((),) + ((0, 1, 2),) * 30)


def generate_trial(
    gait: str, frames: int, rng: np.random.Generator, heading_spread: float = 30.0
) -> np.ndarray:
    """Positions (frames, 31, 3) of one subject, walking or running straight ahead along about +z or -z."""
    g = GAITS[gait]
    body = skeleton(rng.uniform(0.93, 1.07))
    cadence, hip, knee = (rng.uniform(*r) for r in (g.cadence, g.hip, g.knee))
    arm, elbow, lean, flight = (rng.uniform(*r) for r in (g.arm, g.elbow, g.lean, g.flight))
    heading = rng.choice([0.0, 180.0]) + rng.uniform(-heading_spread, heading_spread)
    t = np.arange(frames) / FRAMES_PER_SECOND
    drift = rng.uniform(0.02, 0.05) * np.sin(2 * np.pi * rng.uniform(0.1, 0.3) * t + rng.uniform(0, 6.3))
    phase = (
        2 * np.pi * (rng.uniform() + cadence * t) + drift
    )  # of the left leg; the right one is half a turn off
    angles = np.zeros((frames, len(JOINTS), 3))

    def turn(name: str, axis: int, degrees: np.ndarray | float) -> None:
        angles[:, JOINTS.index(name), axis] = degrees

    for side, p, sign in (("l", phase, 1), ("r", phase + np.pi, -1)):
        swing = hip * np.sin(p)  # forward is a negative turn about x
        bend = (
            6 + knee * np.clip(np.cos(p - 0.35), 0, None) ** 2 + 10 * np.clip(np.sin(p + 2.2), 0, None) ** 2
        )
        turn(f"{side}femur", 0, -swing - 0.15 * hip)
        turn(f"{side}femur", 2, sign * rng.uniform(0, 3))
        turn(f"{side}tibia", 0, bend)
        turn(f"{side}foot", 0, -0.35 * bend + 12 * np.sin(p + 2.6))
        turn(f"{side}humerus", 0, arm * np.sin(p))
        turn(f"{side}humerus", 2, sign * rng.uniform(3, 12))
        turn(f"{side}radius", 0, -elbow - 0.3 * arm * np.sin(p + 0.4))
    twist = rng.uniform(4, 9)
    turn("lowerback", 0, lean)
    turn("upperback", 1, -twist * np.sin(phase))
    turn("head", 0, -0.7 * lean)
    root = np.zeros((frames, 6))
    root[:, 4] = twist * 0.7 * np.sin(phase)
    root[:, 5] = rng.uniform(1, 3) * np.cos(phase)
    P = joint_positions(body, root, angles)
    up = _height(P, phase, flight, cadence)
    # The body moves forward by as much as the legs' swing moves a standing foot back.
    leg = body.length[JOINTS.index("lfemur")] + body.length[JOINTS.index("ltibia")]
    speed = 4 * leg * np.sin(np.deg2rad(hip)) * cadence / (1 - flight) * rng.uniform(0.95, 1.05)
    along = speed * (t - t.mean()) + 0.02 * leg * np.sin(2 * phase)
    P = P + np.stack([0.03 * leg * np.cos(phase), up, along], axis=-1)[:, None]
    return _turned(P, heading) + np.array([rng.normal(0, 3), 0, rng.normal(0, 3)])


def _height(P: np.ndarray, phase: np.ndarray, flight: float, cadence: float) -> np.ndarray:
    """(F,) how far to lift a body hung at its root so that it stands on its lowest foot, or flies above it."""
    ground = -P[:, _FEET, 1].min(axis=1)
    if flight == 0.0:
        return ground
    step = (phase / np.pi) % 1.0  # twice a stride
    duration = flight / (2 * cadence)
    t = np.clip(step / flight, 0, 1) * duration
    return ground + GRAVITY / 2 * t * (duration - t)


def _turned(P: np.ndarray, heading: float) -> np.ndarray:
    """Positions turned about the vertical."""
    s, c = np.sin(np.deg2rad(heading)), np.cos(np.deg2rad(heading))
    return P @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T


def generate(settings: MocapSettings) -> dict[str, tuple[list[Trial], dict[str, Samples]]]:
    """Trials and samples of every motion; each trial is a function of (seed, motion, number) alone."""
    motions = {}
    for motion in settings.motions:
        trials: list[Trial] = []
        samples = {}
        for split in SPLITS:
            cases = range(len(trials), len(trials) + settings.trials(split))
            windows = []
            for case in cases:
                name = f"{motion} {case}"
                rng = np.random.default_rng(name_digest(name, settings.seed))
                frames = STARTS[motion] + WINDOW - 1
                trials.append(
                    Trial(case, case, generate_trial(motion, frames, rng, settings.heading_spread), 0, name)
                )
                starts = rng.permutation(STARTS[motion])[: settings.starts_per_trial]
                windows += [(case, int(start)) for start in starts]
            samples[split] = Samples(tuple(windows), len(windows))
        motions[motion] = trials, samples
    return motions
