"""An actor: everything that a seed decides about one person, and the person's figure in given poses.

F frames
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stableanimator.synthetic.figure import palette
from stableanimator.synthetic.figure.body import Proportions, Skeleton, draw_proportions, stand
from stableanimator.synthetic.figure.clothes import Dresser, Outfit, draw_outfit
from stableanimator.synthetic.figure.face import FacePainter, face_outline
from stableanimator.synthetic.figure.geometry import Array, Flags, View, circle
from stableanimator.synthetic.figure.hair import HairPainter
from stableanimator.synthetic.figure.head import Head, HeadShape
from stableanimator.synthetic.figure.identity import Traits, draw_identity, traits_of
from stableanimator.synthetic.figure.landmarks import Expression, Place, five_points, seen
from stableanimator.synthetic.figure.palette import Colour
from stableanimator.synthetic.figure.patches import PART, Figure, Group
from stableanimator.synthetic.figure.poses import SIDES

KEYPOINTS = 133
_LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_FEET = ("big_toe", "small_toe", "heel")
_EAR_ANGLE, _EAR_HEIGHT = np.pi / 2, 0.2


@dataclass(frozen=True, slots=True)
class Actor:
    """Who plays: a face with an identity, a body, clothes."""

    identity: NDArray[np.float32]
    traits: Traits
    body: Proportions
    outfit: Outfit
    alive: bool = True
    """A statue is not: it is of stone."""

    def turned_to_stone(self) -> Actor:
        """The statue of this person."""
        return replace(self, alive=False)


def draw_actor(generator: np.random.Generator, identity: NDArray[np.floating] | None = None) -> Actor:
    """Someone new, or someone of a given identity in a new body and new clothes."""
    drawn = draw_identity(generator)
    genes = drawn if identity is None else np.asarray(identity, np.float32)
    traits = traits_of(genes)
    return Actor(genes, traits, draw_proportions(generator), draw_outfit(generator, traits.skin))


def figure_of(actor: Actor, poses: Array, expression: Expression, view: View) -> Figure:
    """The patches and the truth of an actor in poses [F, len(POSE)]."""
    skeleton = stand(actor.body, poses, view)
    head = Head(HeadShape(actor.traits), skeleton, actor.body.head)
    painter = FacePainter(head, actor.traits, expression)
    points = painter.features.points()
    groups = _groups(actor, skeleton, head, painter)
    if not actor.alive:
        _to_stone(groups)
    keypoints, facing = _keypoints(skeleton, head, points)
    return Figure(
        groups=groups,
        keypoints=keypoints,
        facing=facing,
        landmarks=five_points(head.place(points.local)),
        face=face_outline(head, actor.traits.hairline),
        face_seen=head.toward[:, 2] > -0.1,
        head_angles=head.angles(),
        stature=actor.body.stature * view.scale,
        shadow=_shadow(skeleton),
    )


def _groups(actor: Actor, skeleton: Skeleton, head: Head, painter: FacePainter) -> list[Group]:
    """Groups with depths: what is nearer to the camera is drawn later."""
    dresser = Dresser(skeleton, actor.body, actor.outfit)
    hair = HairPainter(head, actor.traits)
    nothing = np.zeros(len(skeleton.joints["pelvis"]))
    trunk = skeleton.depth("pelvis", "neck")
    hips = dresser.hips(palette.outline_of(actor.outfit.bottom))
    groups = [Group(hips, trunk - 0.9, outline_only=True), Group(dresser.trunk(), trunk)]
    for side in SIDES:
        # legs are below the trunk's clothes whatever their depth; among themselves the nearer is drawn later
        leg = skeleton.depth(f"{side}_knee", f"{side}_ankle")
        groups.append(Group(dresser.leg(side), trunk - 0.5 + 0.1 * np.clip(leg - trunk, -1, 1)))
        shoulder, elbow, wrist = (skeleton.joints[f"{side}_{joint}"][:, 2] for joint in ("shoulder", "elbow", "wrist"))
        arm = np.where(0.25 * shoulder + 0.35 * elbow + 0.4 * wrist > trunk - 0.012, 0.06, -0.7)
        raised = np.clip((wrist - skeleton.joints["head"][:, 2]) * 4, -0.2, 0.2)
        groups.append(Group(dresser.arm(side), trunk + np.where(arm > 0, 0.3 + raised, arm)))
    front = head.toward[:, 2]
    loose = np.where(front > 0.25, trunk - 0.95, np.where(front < -0.1, trunk + 0.275, trunk + 0.16))
    knot = np.where(front > 0.05, trunk + 0.17, trunk + 0.34)
    return [
        *groups,
        Group(painter.ears(near=False), trunk + 0.2 + nothing),
        Group(hair.behind(), loose),
        Group(hair.before(), knot),
        Group([*painter.skin(), *painter.paint()], trunk + 0.24),
        Group(hair.over(), trunk + 0.28),
        Group(painter.ears(near=True), trunk + 0.27),
    ]


def _to_stone(groups: list[Group]) -> None:
    def stone(colour: Colour) -> Colour:
        return palette.stone_of(colour)

    for group in groups:
        for patch in group.patches:
            patch.colour = stone(patch.colour)
            patch.outline = None if patch.outline is None else palette.mix(stone(patch.outline), (70, 74, 82), 0.6)


def _keypoints(skeleton: Skeleton, head: Head, points: Place) -> tuple[Array, Flags]:
    """DWPose's 133 in the plane of the set [F, 133, 2], and whether each lies on a side that looks at the camera."""
    frames = len(skeleton.joints["pelvis"])
    keypoints = np.zeros((frames, KEYPOINTS, 2))
    facing = np.ones((frames, KEYPOINTS), bool)
    face = head.place(points.local)
    keypoints[:, 23:91], facing[:, 23:91] = face, seen(points)
    five = five_points(face)
    keypoints[:, 0], keypoints[:, 1], keypoints[:, 2] = face[:, 30], five[:, 1], five[:, 0]
    facing[:, 0] = facing[:, 23 + 30]
    facing[:, 1], facing[:, 2] = facing[:, 23 + 42 : 23 + 48].all(1), facing[:, 23 + 36 : 23 + 42].all(1)
    for number, sign in ((3, 1), (4, -1)):
        ear = head.shape.surface(np.array([sign * _EAR_ANGLE]), np.array([_EAR_HEIGHT]), 0.06)
        keypoints[:, number] = head.place(ear)[:, 0]
        facing[:, number] = sign * head.toward[:, 0] > -0.3
    for limb, joint in enumerate(_LIMBS):
        for number, side in enumerate(SIDES):
            keypoints[:, 5 + 2 * limb + number] = skeleton.plane(f"{side}_{joint}")
    for number, side in enumerate(SIDES):
        for toe, joint in enumerate(_FEET):
            keypoints[:, 17 + 3 * number + toe] = skeleton.plane(f"{side}_{joint}")
        keypoints[:, 91 + 21 * number : 112 + 21 * number] = skeleton.view.project(skeleton.hands[side])
    return keypoints, facing


def owners() -> NDArray[np.bool_]:
    """[133, parts] on which surfaces each keypoint counts as seen."""
    table = np.zeros((KEYPOINTS, len(PART)), bool)

    def allow(number: int | slice, *parts: str) -> None:
        for part in parts:
            table[number, PART[part]] = True

    allow(slice(0, 3), "head")
    allow(slice(23, 91), "head")
    allow(slice(23, 40), "neck", "left_ear", "right_ear")
    for number, side in enumerate(SIDES):
        ear, arm, fore, hand = (f"{side}_{part}" for part in ("ear", "upper_arm", "forearm", "hand"))
        thigh, shin, foot = (f"{side}_{part}" for part in ("thigh", "shin", "foot"))
        parts = (
            ("head", ear),
            ("torso", arm, "hair", "neck"),
            (arm, fore),
            (fore, hand),
            ("torso", thigh, "skirt"),
            (thigh, shin, "skirt"),
            (shin, foot),
        )
        for row, allowed in enumerate(parts):
            allow(3 + 2 * row + number, *allowed)
        allow(slice(17 + 3 * number, 20 + 3 * number), foot)
        allow(slice(91 + 21 * number, 112 + 21 * number), hand)
        allow(91 + 21 * number, fore)
    return table


def _shadow(skeleton: Skeleton) -> Array:
    """[F, 24, 2] an ellipse on the ground below the feet."""
    feet = np.stack([skeleton.view.project(skeleton.joints[f"{side}_toe"]) for side in SIDES], 1)
    ankles = np.stack([skeleton.view.project(skeleton.joints[f"{side}_ankle"]) for side in SIDES], 1)
    centre = (feet.mean(1) + ankles.mean(1)) / 2
    centre[:, 1] = skeleton.view.ground[:, 1] + 0.004
    spread = np.ptp(np.concatenate([feet, ankles], 1)[..., 0], axis=1)
    outline = circle(np.zeros_like(centre), np.ones(len(centre)), 24)
    size = np.stack([0.5 * spread + 0.07 * skeleton.view.scale, 0.028 * skeleton.view.scale], -1)
    return centre[:, None] + outline * size[:, None]
