"""Skeletons: from DWPose's 133 keypoints to OpenPose's 18 joints, and to the picture that PoseNet reads."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
from numpy.typing import NDArray

from stableanimator.perception.settings import SkeletonStyle

VISIBLE = 0.3
"""Score from which a keypoint counts as visible."""

OPENPOSE_JOINTS = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear"),
)
"""Names of the 18 joints, in order; right and left are the person's own."""

_NECK = 1
_SHOULDERS = [5, 6]
# COCO's number of each of the 18 joints; the neck's place is filled afterwards.
_FROM_COCO = [0, 0, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]

FACE = slice(23, 91)
"""The 68 face points among the 133."""
HANDS = (slice(91, 112), slice(112, 133))
"""The 21 points of the left and of the right hand."""

LIMBS = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7)),  # shoulders and arms
    *((1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)),  # trunk and legs
    *((1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),  # head
)
"""Pairs of the 18 joints that are drawn as limbs."""
_FINGERS = [(0 if step == 0 else finger + step - 1, finger + step) for finger in range(1, 21, 4) for step in range(4)]

# OpenPose's rainbow: 18 steps of the colour wheel, each a multiple of a third of the full brightness.
_COLOURS = [
    *((255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0)),
    *((0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255)),
    *((0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85)),
]
_DIMMED = (np.arange(256) * 0.6).astype(np.uint8)  # limbs are dimmed, so that joints stand out
_HALF_LIMB = 4  # pixels of the canvas: half the width of a limb, and a joint's radius
_FACE_RADIUS = 3
_FINGER_WIDTH = 2

CANVAS_SHORT_SIDE = 2160
"""Pixels of the canvas on which the released StableAnimator draws before it shrinks the picture."""
_MOST_SHRUNK = CANVAS_SHORT_SIDE / 512


def to_openpose18(keypoints: NDArray[np.floating]) -> NDArray[np.float32]:
    """OpenPose's 18 joints from DWPose's 133: [..., 133, 3] -> [..., 18, 3] (x, y, score).

    The neck is the midpoint of the shoulders with the lower of their scores; where one is missing, so is the neck.
    """
    joints = np.asarray(keypoints, np.float32)[..., _FROM_COCO, :]
    shoulders = np.asarray(keypoints, np.float32)[..., _SHOULDERS, :]
    joints[..., _NECK, :2] = shoulders[..., :2].mean(-2)
    joints[..., _NECK, 2] = shoulders[..., 2].min(-1)
    return joints


def draw_skeleton(
    people: NDArray[np.floating], height: int, width: int, style: SkeletonStyle = "released"
) -> NDArray[np.uint8]:
    """Draw people [P, 133, 3] (pixels of the picture, score) as RGB on black, [height, width, 3].

    Limbs, joints, hands and faces have DWPose's colours, shapes and order, faded by their scores: everything is drawn
    on a canvas whose shorter side has 2160 pixels, then shrunk. What is NaN is not drawn.

    `released` is StableAnimator's picture, pixel for pixel (DWPose/skeleton_extraction.py): the neck scores 1 between
    two visible shoulders, points of hands and faces are drawn whatever they score, as long as they lie right of and
    below the first pixel, and scores above 1 shine brighter. `ours` asks every point for the score `VISIBLE` and gives
    pictures with a shorter side below 512 a proportionally smaller canvas, or their lines would vanish.
    """
    released = style == "released"
    scale = CANVAS_SHORT_SIDE / min(height, width)
    if not released:
        scale = min(scale, _MOST_SHRUNK)
    canvas = np.zeros((int(height * scale), int(width * scale), 3), np.uint8)
    people = _on_canvas(people, (height, width), canvas.shape[:2], released)
    bodies = to_openpose18(people)
    if released:
        shoulders = people[:, _SHOULDERS, 2]
        bodies[:, _NECK, 2] = (shoulders > VISIBLE).all(-1)
    for limb, colour in zip(LIMBS, _COLOURS, strict=False):  # one limb fewer than joints
        for body in bodies:
            _draw_limb(canvas, body[list(limb)], colour)
    canvas = np.asarray(cv2.LUT(canvas, _DIMMED), np.uint8)
    for joint, colour in enumerate(_COLOURS):
        for body in bodies:
            if body[joint, 2] >= VISIBLE:
                _draw_point(canvas, body[joint], colour, _HALF_LIMB)
    for hand in HANDS:
        for person in people:
            _draw_hand(canvas, person[hand], _drawn(person[hand], released))
    for person in people:
        for point in person[FACE][_drawn(person[FACE], released)]:
            _draw_point(canvas, point, (255, 255, 255), _FACE_RADIUS)
    return np.asarray(cv2.resize(canvas, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _on_canvas(
    people: NDArray[np.floating], size: tuple[int, int], canvas: tuple[int, int], released: bool
) -> NDArray[np.float64]:
    """People [P, 133, 3] in pixels of the canvas (height, width); what is missing lies at 0 with score 0."""
    people = np.array(people, np.float64).reshape(-1, 133, 3)
    seen = np.isfinite(people).all(-1, keepdims=True) & (people[..., 2:] > 0)
    if released:  # which counts from the centre of the first pixel, and rounds the canvas first
        people[..., :2] = (people[..., :2] - 0.5) / (size[1], size[0]) * (canvas[1], canvas[0])
    else:
        people[..., :2] *= CANVAS_SHORT_SIDE / min(size) if min(size) >= 512 else _MOST_SHRUNK
        people[..., 2] = np.clip(people[..., 2], 0.0, 1.0)
    return np.where(seen, people, 0.0)


def _drawn(points: NDArray[np.floating], released: bool) -> NDArray[np.bool_]:
    """Which points [n, 3] of a hand or a face are drawn."""
    return np.asarray((points[:, :2] >= 1).all(-1) if released else points[:, 2] >= VISIBLE)


def _faded(colour: tuple[float, float, float], strength: float) -> tuple[int, int, int]:
    red, green, blue = (int(level * strength) for level in colour)
    return red, green, blue


def _draw_limb(canvas: NDArray[np.uint8], ends: NDArray[np.floating], colour: tuple[int, int, int]) -> None:
    """A filled ellipse from one joint [3] to the other."""
    if (ends[:, 2] < VISIBLE).any():
        return
    (x0, y0), (x1, y1) = ends[:, :2]
    middle = (int((x0 + x1) / 2), int((y0 + y1) / 2))
    axes = (int(np.hypot(x0 - x1, y0 - y1) / 2), _HALF_LIMB)
    angle = int(np.degrees(np.arctan2(y0 - y1, x0 - x1)))
    outline = np.asarray(cv2.ellipse2Poly(middle, axes, angle, 0, 360, 1))
    cv2.fillConvexPoly(canvas, outline, _faded(colour, float(ends[:, 2].prod())))


def _draw_point(
    canvas: NDArray[np.uint8], point: NDArray[np.floating], colour: tuple[int, int, int], radius: int
) -> None:
    cv2.circle(canvas, (int(point[0]), int(point[1])), radius, _faded(colour, float(point[2])), thickness=-1)


def _draw_hand(canvas: NDArray[np.uint8], hand: NDArray[np.floating], drawn: NDArray[np.bool_]) -> None:
    """Fingers [21, 3] as lines around the colour wheel, their joints as blue dots; `drawn` [21] says which."""
    for number, (start, end) in enumerate(_FINGERS):
        if not (drawn[start] and drawn[end]):
            continue
        red, green, blue = colorsys.hsv_to_rgb(number / len(_FINGERS), 1.0, 1.0)
        base, tip = ((int(hand[place, 0]), int(hand[place, 1])) for place in (start, end))
        brightness = int(hand[start, 2] * hand[end, 2] * 255)
        colour = (red * brightness, green * brightness, blue * brightness)
        cv2.line(canvas, base, tip, colour, thickness=_FINGER_WIDTH)
    for point in hand[drawn]:
        _draw_point(canvas, point, (0, 0, 255), _HALF_LIMB)
