"""Poses: the angles of a body by name, and a small library of poses to dance through.

A pose is a row of numbers, `POSE` names its columns: lengths in body heights, angles in degrees, curls of fingers from
0 (straight) to 1 (fist). Arms and legs have the same meaning on both sides: `out` lifts away from the body, `flex`
swings forward, `twist` turns outwards about the bone.
"""

from __future__ import annotations

import numpy as np

from stableanimator.synthetic.figure.geometry import Array

_ARM = ("arm_flex", "arm_out", "arm_twist", "elbow", "pronate", "wrist")
_LEG = ("leg_flex", "leg_out", "leg_twist", "knee", "foot")
FINGERS = ("thumb", "index", "middle", "ring", "little")
SIDES = ("left", "right")

POSE = (
    *("shift", "jump", "yaw", "lean", "tilt", "chest_yaw", "chest_lean", "chest_tilt", "shrug"),
    *("head_yaw", "head_nod", "head_tilt"),
    *(f"{side}_{name}" for side in SIDES for name in (*_ARM, *_LEG, *FINGERS)),
)
"""Columns of a pose: yaw turns to the picture's right, lean and nod go forward, tilt goes to the picture's right."""
COLUMN = {name: number for number, name in enumerate(POSE)}

_RELAXED = {"thumb": 0.2, "index": 0.25, "middle": 0.3, "ring": 0.35, "little": 0.4}
_REST: dict[str, float] = {
    f"{side}_{name}": value
    for side in SIDES
    for name, value in {"arm_out": 9, "arm_flex": 2, "elbow": 14, "leg_out": 3, "leg_twist": 8, **_RELAXED}.items()
}

HANDS: dict[str, tuple[float, float, float, float, float]] = {
    "relaxed": (0.2, 0.25, 0.3, 0.35, 0.4),
    "open": (0.0, 0.0, 0.0, 0.0, 0.0),
    "fist": (0.8, 1.0, 1.0, 1.0, 1.0),
    "point": (0.7, 0.0, 1.0, 1.0, 1.0),
    "peace": (0.8, 0.0, 0.0, 1.0, 1.0),
    "thumb": (0.0, 1.0, 1.0, 1.0, 1.0),
}


def pose(**values: float) -> Array:
    """[len(POSE)] a relaxed stance with some columns changed; a name without its side sets both sides.

    Raises:
        KeyError: no such column.
    """
    row = np.zeros(len(POSE))
    for name, value in {**_REST, **values}.items():
        for full in (name,) if name in COLUMN else tuple(f"{side}_{name}" for side in SIDES):
            row[COLUMN[full]] = value
    return row


def with_hands(row: Array, left: str, right: str) -> Array:
    """The pose with both hands shaped as in `HANDS`."""
    row = row.copy()
    for side, shape in zip(SIDES, (left, right), strict=True):
        for finger, curl in zip(FINGERS, HANDS[shape], strict=True):
            row[COLUMN[f"{side}_{finger}"]] = curl
    return row


def mirrored(row: Array) -> Array:
    """The pose [..., len(POSE)] with left and right exchanged."""
    result = row.copy()
    for name in POSE:
        if name.startswith("left_"):
            left, right = COLUMN[name], COLUMN["right_" + name.removeprefix("left_")]
            result[..., left], result[..., right] = row[..., right], row[..., left]
    for name in ("shift", "yaw", "tilt", "chest_yaw", "chest_tilt", "head_yaw", "head_tilt"):
        result[..., COLUMN[name]] *= -1
    return result


_UP = {"arm_out": 150.0, "arm_twist": 40.0, "elbow": 30.0}
_ON_HIP = {"arm_out": 48.0, "arm_twist": -62.0, "elbow": 104.0, "arm_flex": -14.0}
_RAISED = {"arm_out": 82.0, "arm_twist": 88.0, "elbow": 96.0}


def _one(side: str, values: dict[str, float]) -> dict[str, float]:
    return {f"{side}_{name}": value for name, value in values.items()}


DANCE: tuple[Array, ...] = (
    with_hands(pose(**_UP, leg_out=12, knee=6), "open", "open"),
    with_hands(pose(**_one("left", _ON_HIP), **_one("right", _UP), tilt=-5, leg_out=11, chest_tilt=8), "fist", "point"),
    with_hands(pose(arm_out=86, elbow=8, leg_out=14, chest_tilt=6), "open", "open"),
    with_hands(pose(**_ON_HIP, leg_out=9, tilt=4, chest_tilt=-6, left_knee=22, left_leg_flex=14), "fist", "fist"),
    with_hands(pose(arm_flex=36, elbow=104, arm_twist=-12, arm_out=26, knee=26, leg_flex=15), "fist", "fist"),
    with_hands(pose(**_RAISED, leg_out=13, knee=12, leg_flex=6), "open", "open"),
    with_hands(
        pose(
            **_one("left", _RAISED),
            right_arm_out=40,
            right_elbow=70,
            right_arm_twist=-40,
            left_leg_flex=42,
            left_knee=64,
            left_leg_out=14,
            tilt=5,
        ),
        "peace",
        "fist",
    ),
    with_hands(
        pose(left_arm_out=118, left_elbow=6, right_arm_out=58, right_elbow=6, chest_tilt=-12, leg_out=15, head_tilt=-6),
        "open",
        "open",
    ),
    with_hands(pose(arm_flex=60, arm_out=30, elbow=96, arm_twist=8, leg_out=8, chest_yaw=18, yaw=10), "open", "open"),
    with_hands(
        pose(
            left_arm_flex=96,
            left_elbow=12,
            right_arm_flex=-28,
            right_elbow=30,
            left_leg_out=6,
            right_leg_out=18,
            yaw=-16,
            lean=4,
        ),
        "point",
        "fist",
    ),
    with_hands(pose(arm_out=28, elbow=48, arm_twist=30, leg_out=12, left_leg_out=26, tilt=-3), "open", "open"),
    with_hands(pose(arm_out=164, elbow=52, arm_twist=70, leg_out=8, knee=30, leg_flex=18), "open", "open"),
)
"""Poses that follow one another in a dance, each also mirrored."""

WAVE = with_hands(pose(**_one("right", _RAISED), right_wrist=0), "relaxed", "open")
STATUES: tuple[Array, ...] = (
    with_hands(
        pose(**_one("right", {"arm_out": 140, "arm_twist": 30, "elbow": 14}), **_one("left", _ON_HIP)), "fist", "point"
    ),
    with_hands(pose(**_ON_HIP, leg_out=8, head_nod=-6), "fist", "fist"),
    with_hands(pose(arm_flex=34, elbow=100, arm_twist=-34, arm_out=14, head_nod=8), "relaxed", "fist"),
    with_hands(
        pose(left_arm_flex=20, left_arm_out=30, right_arm_flex=70, right_elbow=40, left_leg_flex=16, left_knee=22),
        "relaxed",
        "open",
    ),
)
