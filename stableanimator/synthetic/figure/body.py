"""The kinematic body: proportions, and from angles to joints and the frames of limbs.

F frames
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stableanimator.synthetic.figure.geometry import VIEW_TILT, Array, View, rotation, turned
from stableanimator.synthetic.figure.poses import COLUMN, FINGERS, SIDES


@dataclass(frozen=True, slots=True)
class Proportions:
    """Lengths of a body in body heights. Heads are larger than life, as in drawn films, so that small ones read."""

    head: float
    """Half the height of the head, chin to crown."""
    neck: float
    torso: float
    """From the hips to the base of the neck."""
    shoulder: float
    """Half the distance between the shoulders."""
    hip: float
    """Half the distance between the hips."""
    upper_arm: float
    forearm: float
    hand: float
    thigh: float
    shin: float
    foot: float
    build: float
    """Thickness of everything: 1 is average."""
    waist: float
    """Width of the waist, 1 is average."""

    @property
    def stature(self) -> float:
        """Height of the crown above the ground, without hair, when the person stands upright; about 1."""
        return _ANKLE + self.shin + self.thigh + self.torso + self.neck + 1.8 * self.head


_ANKLE = 0.035
"""Height of the ankles above the ground, body heights."""


def draw_proportions(generator: np.random.Generator) -> Proportions:
    """Someone's body; total height about 1."""
    build = generator.uniform(0.86, 1.2)
    legs = generator.uniform(0.93, 1.06)
    arms = generator.uniform(0.95, 1.05)
    return Proportions(
        head=generator.uniform(0.115, 0.126),
        neck=generator.uniform(0.026, 0.036),
        torso=0.29 * (2 - legs) ** 0.6,
        shoulder=generator.uniform(0.098, 0.122) * build**0.4,
        hip=generator.uniform(0.050, 0.060) * build**0.4,
        upper_arm=0.150 * arms,
        forearm=0.133 * arms,
        hand=0.085 * generator.uniform(0.95, 1.08),
        thigh=0.205 * legs,
        shin=0.195 * legs,
        foot=0.105,
        build=build,
        waist=generator.uniform(0.86, 1.08),
    )


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Joints [F, 3] and frames [F, 3, 3] by name, tilted as the camera sees them, the origin between the feet."""

    joints: dict[str, Array]
    frames: dict[str, Array]
    hands: dict[str, Array]
    """[F, 21, 3] of each side."""
    view: View

    def at(self, frame: str, origin: str, offset: tuple[float, float, float] | Array) -> Array:
        """[F, 3] a point fixed to the limb `frame`, `offset` from the joint `origin`."""
        return self.joints[origin] + turned(self.frames[frame], offset)

    def plane(self, name: str) -> Array:
        """[F, 2] a joint in the plane of the set."""
        return self.view.project(self.joints[name])

    def radius(self, name: str, radius: float | Array) -> Array:
        """[F] plane radius of a sphere around a joint."""
        return self.view.radius(self.joints[name], radius)

    def depth(self, *names: str) -> Array:
        """[F] mean closeness to the camera of some joints."""
        return np.asarray(np.mean([self.joints[name][:, 2] for name in names], axis=0))


def stand(body: Proportions, poses: Array, view: View) -> Skeleton:
    """The body in poses [F, len(POSE)]; its lowest point touches the ground unless it jumps."""
    frames = _trunk_frames(poses)
    origin = np.zeros((len(poses), 3))
    joints = {"pelvis": origin}
    joints["chest"] = turned(frames["pelvis"], (0, -0.42 * body.torso, 0))
    joints["neck"] = joints["chest"] + turned(frames["chest"], (0, -0.58 * body.torso, 0))
    joints["skull"] = joints["neck"] + turned(frames["neck"], (0, -body.neck, 0.004))
    joints["head"] = joints["skull"] + turned(frames["head"], (0, -0.80 * body.head, 0.10 * body.head))
    for side, sign in zip(SIDES, (1, -1), strict=True):
        _arm(body, poses, side, sign, joints, frames)
        _leg(body, poses, side, sign, joints, frames)
    hands = {side: _hand(body, poses, side, joints, frames) for side in SIDES}
    soles = [joints[f"{side}_{part}"][:, 1] for side in SIDES for part in ("heel", "toe")]
    move = np.zeros((len(poses), 3))
    move[:, 0] = _column(poses, "shift") - np.mean([joints[f"{side}_ankle"][:, 0] for side in SIDES], axis=0) * 0.5
    move[:, 1] = -np.max(soles, axis=0) - _column(poses, "jump")
    tilt = rotation("x", -VIEW_TILT)
    return Skeleton(
        joints={name: (joint + move) @ tilt.T for name, joint in joints.items()},
        frames={name: tilt @ frame for name, frame in frames.items()},
        hands={side: (points + move[:, None]) @ tilt.T for side, points in hands.items()},
        view=view,
    )


def _column(poses: Array, name: str) -> Array:
    return poses[:, COLUMN[name]]


def _trunk_frames(poses: Array) -> dict[str, Array]:
    heading = rotation("y", _column(poses, "yaw"))
    lean, tilt = _column(poses, "lean"), _column(poses, "tilt")
    pelvis = heading @ rotation("x", -lean) @ rotation("z", tilt)
    chest = (
        pelvis
        @ rotation("y", _column(poses, "chest_yaw"))
        @ rotation("x", -_column(poses, "chest_lean"))
        @ rotation("z", _column(poses, "chest_tilt"))
    )
    yaw, nod, side = (_column(poses, name) for name in ("head_yaw", "head_nod", "head_tilt"))
    # the head stays upright while the trunk bends: half of what the trunk does is taken back
    upright = rotation("z", -0.5 * (tilt + _column(poses, "chest_tilt")))
    head = chest @ upright @ rotation("y", yaw) @ rotation("x", -nod) @ rotation("z", side)
    neck = chest @ rotation("z", 0.5 * side - 0.25 * tilt)
    legs = heading @ rotation("x", -0.2 * lean) @ rotation("z", 0.5 * tilt)
    return {"heading": heading, "pelvis": pelvis, "chest": chest, "neck": neck, "head": head, "legs": legs}


def _arm(
    body: Proportions, poses: Array, side: str, sign: int, joints: dict[str, Array], frames: dict[str, Array]
) -> None:
    def angle(name: str) -> Array:
        return _column(poses, f"{side}_{name}")

    raised = np.clip((angle("arm_out") - 60) / 100, 0, 1) * 0.03 + _column(poses, "shrug")
    place = np.stack([np.full_like(raised, sign * body.shoulder), 0.034 - raised, np.zeros_like(raised)], -1)
    joints[f"{side}_shoulder"] = joints["neck"] + turned(frames["chest"], place)
    upper = (
        frames["chest"]
        @ rotation("x", angle("arm_flex"))
        @ rotation("z", -sign * angle("arm_out"))
        @ rotation("y", sign * angle("arm_twist"))
    )
    fore = upper @ rotation("x", angle("elbow"))
    frames[f"{side}_upper_arm"], frames[f"{side}_forearm"] = upper, fore
    frames[f"{side}_hand"] = fore @ rotation("y", sign * angle("pronate")) @ rotation("x", angle("wrist"))
    joints[f"{side}_elbow"] = joints[f"{side}_shoulder"] + turned(upper, (0, body.upper_arm, 0))
    joints[f"{side}_wrist"] = joints[f"{side}_elbow"] + turned(fore, (0, body.forearm, 0))


def _leg(
    body: Proportions, poses: Array, side: str, sign: int, joints: dict[str, Array], frames: dict[str, Array]
) -> None:
    def angle(name: str) -> Array:
        return _column(poses, f"{side}_{name}")

    joints[f"{side}_hip"] = turned(frames["pelvis"], (sign * body.hip, 0, 0))
    thigh = (
        frames["legs"]
        @ rotation("x", angle("leg_flex"))
        @ rotation("z", -sign * angle("leg_out"))
        @ rotation("y", sign * angle("leg_twist"))
    )
    shin = thigh @ rotation("x", -angle("knee"))
    # a lifted foot follows its shin a little; turned out feet read better than parallel ones
    pitch = angle("foot") + 0.3 * (angle("leg_flex") - angle("knee"))
    foot = frames["heading"] @ rotation("y", sign * (14 + angle("leg_twist"))) @ rotation("x", pitch)
    frames |= {f"{side}_thigh": thigh, f"{side}_shin": shin, f"{side}_foot": foot}
    joints[f"{side}_knee"] = joints[f"{side}_hip"] + turned(thigh, (0, body.thigh, 0))
    joints[f"{side}_ankle"] = joints[f"{side}_knee"] + turned(shin, (0, body.shin, 0))
    for name, place in _FOOT.items():
        offset = (sign * place[0] * body.foot, place[1] * body.foot, place[2] * body.foot)
        joints[f"{side}_{name}"] = joints[f"{side}_ankle"] + turned(foot, offset)


# from the ankle, in lengths of the foot: outwards, down, forward
_FOOT = {
    "heel": (0.0, 0.33, -0.27),
    "big_toe": (-0.10, 0.28, 0.66),
    "small_toe": (0.2, 0.29, 0.52),
    "toe": (0.03, 0.33, 0.62),
}

# Hand at rest, in lengths of the hand: towards the thumb, away from the wrist. Joint, then lengths of its bones.
_KNUCKLES = {
    "thumb": (0.13, 0.10),
    "index": (0.19, 0.48),
    "middle": (0.05, 0.51),
    "ring": (-0.08, 0.48),
    "little": (-0.20, 0.42),
}
_BONES = {
    "thumb": (0.24, 0.18, 0.14),
    "index": (0.2, 0.13, 0.11),
    "middle": (0.22, 0.15, 0.12),
    "ring": (0.2, 0.14, 0.11),
    "little": (0.15, 0.1, 0.09),
}
_SPREAD = {"thumb": 46.0, "index": 7.0, "middle": 1.0, "ring": -5.0, "little": -12.0}
_CURL = {"thumb": (18.0, 40.0, 50.0)}  # degrees of each joint at a curl of 1; other fingers bend further
_FINGER_CURL = (78.0, 98.0, 62.0)


def _hand(body: Proportions, poses: Array, side: str, joints: dict[str, Array], frames: dict[str, Array]) -> Array:
    """[F, 21, 3]: wrist, then four points of each finger from its root to its tip, the thumb first."""
    frame, wrist = frames[f"{side}_hand"], joints[f"{side}_wrist"]
    palm = -1 if side == "left" else 1  # the direction of local x in which the palm looks
    points = [wrist]
    for finger in FINGERS:
        curl = _column(poses, f"{side}_{finger}")
        sideways, away = _KNUCKLES[finger]
        place = wrist + turned(frame, np.array([0.0, away, sideways]) * body.hand)
        points.append(place)
        spread = np.radians(_SPREAD[finger] * (1 - 0.6 * curl if finger != "thumb" else 1 - 0.3 * curl))
        bent = np.zeros(len(poses))
        for bone, degrees in zip(_BONES[finger], _CURL.get(finger, _FINGER_CURL), strict=True):
            bent = bent + np.radians(degrees) * curl
            forward = np.cos(bent)
            direction = np.stack([palm * np.sin(bent), forward * np.cos(spread), forward * np.sin(spread)], -1)
            place = place + turned(frame, direction) * bone * body.hand
            points.append(place)
    return np.stack(points, 1)
