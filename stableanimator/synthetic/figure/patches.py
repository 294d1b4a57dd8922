"""What a person is drawn from: outlined patches in groups that hide one another by depth.

F frames   N points of an outline
"""

from __future__ import annotations

from dataclasses import dataclass

from stableanimator.synthetic.figure.geometry import Array, Flags
from stableanimator.synthetic.figure.palette import Colour

PARTS = (
    *("nothing", "torso", "neck", "head", "hair", "left_ear", "right_ear", "skirt"),
    *(f"{side}_{part}" for side in ("left", "right") for part in ("upper_arm", "forearm", "hand")),
    *(f"{side}_{part}" for side in ("left", "right") for part in ("thigh", "shin", "foot")),
)
"""Surfaces of a person that can hide keypoints."""
PART = {name: number for number, name in enumerate(PARTS)}


@dataclass(slots=True)
class Patch:
    """A coloured area, frame by frame."""

    points: Array
    """[F, N, 2] in the plane of the set; its outline, or where `hull` a cloud whose convex hull is the outline."""
    colour: Colour
    part: str = "nothing"
    """Which surface it is; "nothing" for what is painted on the surface below (an eye, a stripe)."""
    outline: Colour | None = None
    hull: bool = False
    show: Flags | None = None
    """[F] where it is drawn; None: always."""
    opacity: float = 1.0
    """Below 1 what lies below shines through."""


@dataclass(slots=True)
class Group:
    """Patches with a common outline: all outlines are drawn before the first patch."""

    patches: list[Patch]
    depth: Array
    """[F] closeness to the camera: the group with the largest is drawn last."""
    outline_only: bool = False
    """Draw the outlines and leave the rest to another group."""


@dataclass(slots=True)
class Figure:
    """Everything of a person: groups to draw, and what is known of the person in the plane of the set."""

    groups: list[Group]
    keypoints: Array
    """[F, 133, 2]"""
    facing: Flags
    """[F, 133] whether the surface at a keypoint looks at the camera."""
    landmarks: Array
    """[F, 5, 2]"""
    face: Array
    """[F, N, 2] outline of the face from ear to ear and from hairline to chin."""
    face_seen: Flags
    """[F] whether the front of the head looks at the camera."""
    head_angles: Array
    """[F, 3] yaw, pitch, roll in degrees."""
    stature: Array
    """[F] how tall the person is when standing upright."""
    shadow: Array
    """[F, N, 2] outline of the shadow on the ground."""
