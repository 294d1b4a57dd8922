"""Where in a picture a person is, as a set of boxes: closer than the one box around them, which hides the background.

A dancer's box is half background, and the box of a talking head often is the whole picture, although the wall beside
the head is what shows whether the camera moves. Sizes are those of a body: hair and clothes are allowed for.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]
Point = NDArray[np.floating]

# DWPose's first 17 keypoints are COCO's
_NOSE, _LEFT_EAR, _RIGHT_EAR = 0, 3, 4
_SHOULDERS, _HIPS, _KNEES, _ANKLES = (5, 6), (11, 12), (13, 14), (15, 16)
_ARMS = ((5, 7), (7, 9), (6, 8), (8, 10))
_FOREARMS = ((7, 9), (8, 10))
_SHINS = ((13, 15), (14, 16))

_HEAD = 1.1  # radius with hair, over the distance between the ears
_HEAD_FROM_EYES = 2.2  # the same over the distance between eyes and nose where no ear is seen
_LIMB = 0.25  # half thickness of a clothed limb, over the width of the shoulders
_TORSO = 0.3  # how far clothes and arms stand out beside shoulders and hips, over the width of the shoulders
_BEYOND = 0.3  # where hand and foot are, over the length of forearm and shin
_HAND = 0.4  # half size of hand and foot, over the width of the shoulders


def person_outline(box: Boxes, keypoints: NDArray[np.float32] | None, visible: float = 0.3) -> Boxes:
    """Boxes [n, 4] in pixels that cover a person.

    What the skeleton does not show is taken as filled: with unseen hips everything in the box below the shoulders,
    with unseen shoulders everything below the eyes, with an unseen face the whole box.

    Args:
        box: [4] the person's box.
        keypoints: [133, 3] x, y, score, those outside the picture left out; None when nobody looked.
        visible: score from which a joint counts.
    """
    if keypoints is None:
        return box.reshape(1, 4)
    points, seen = keypoints[:, :2].astype(np.float64), keypoints[:, 2] >= visible
    head = points[:5][seen[:5]]
    if len(head) < 3:
        return box.reshape(1, 4)
    spread = float(np.linalg.norm(head[:, None] - head[None], axis=-1).max())
    radius = spread * (_HEAD if seen[_LEFT_EAR] or seen[_RIGHT_EAR] else _HEAD_FROM_EYES)
    centre = head.mean(0)
    parts = [_square(centre, radius)]
    if not seen[list(_SHOULDERS)].all():
        parts.append(_below(box, centre[1]))
        return np.stack(parts).astype(np.float32)
    shoulders = points[list(_SHOULDERS)]
    width = max(float(np.linalg.norm(shoulders[0] - shoulders[1])), spread)
    neck = np.array([centre[0] - radius, centre[1], centre[0] + radius, shoulders[:, 1].max()])
    parts.append(neck)  # with the hair beside it
    if not seen[list(_HIPS)].all():
        parts.append(_below(box, shoulders[:, 1].min() - _TORSO * width))
        return np.stack(parts).astype(np.float32)
    hips, knees = points[list(_HIPS)], points[list(_KNEES)]
    parts += _bands(shoulders, hips, _TORSO * width)
    parts += [square for bone in _ARMS if seen[list(bone)].all() for square in _limb(points[list(bone)], width)]
    parts += [_end(points[[elbow, wrist]], width) for elbow, wrist in _FOREARMS if seen[[elbow, wrist]].all()]
    if seen[[*_KNEES, *_ANKLES]].all():
        parts += _bands(hips, knees, _TORSO * width)  # with a skirt between them
        parts += [square for bone in _SHINS for square in _limb(points[list(bone)], width)]
        parts += [_end(points[list(bone)], width) for bone in _SHINS]
    else:
        parts.append(_below(box, hips[:, 1].min()))
    return np.stack(parts).astype(np.float32)


def _square(centre: Point, half: float) -> NDArray[np.float64]:
    return np.array([centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half])


def _below(box: Boxes, y: float) -> NDArray[np.float64]:
    return np.array([box[0], min(y, box[3]), box[2], box[3]])


def _bands(upper: Point, lower: Point, margin: float) -> list[NDArray[np.float64]]:
    """Bands from one pair of joints down to another (a leaning body fills only part of the box around it)."""
    bands = []
    for low, high in itertools.pairwise(np.linspace(0, 1, 5)):
        corners = np.concatenate([upper + (lower - upper) * share for share in (low, high)])
        bands.append(np.concatenate([corners.min(0) - margin, corners.max(0) + margin]))
    return bands


def _limb(bone: Point, width: float) -> list[NDArray[np.float64]]:
    """Squares along a bone [2, 2]."""
    count = max(2, int(np.ceil(np.linalg.norm(bone[1] - bone[0]) / (_LIMB * width))) + 1)
    return [_square(point, _LIMB * width) for point in np.linspace(bone[0], bone[1], count)]


def _end(bone: Point, width: float) -> NDArray[np.float64]:
    """The hand beyond a forearm, the foot beyond a shin."""
    beyond = bone[1] + _BEYOND * (bone[1] - bone[0])
    corners = np.stack([bone[1], beyond])
    return np.concatenate([corners.min(0) - _HAND * width, corners.max(0) + _HAND * width])
