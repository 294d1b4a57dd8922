"""From the poses of a driving video to what the model is driven by: people followed, aligned, drawn.

F frames   P people   133 whole-body keypoints (x, y, score)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.methods import align
from stableanimator.alignment.poses import body_pose
from stableanimator.alignment.settings import AlignmentName, AlignmentScope
from stableanimator.alignment.similarity import Similarity, mean_point
from stableanimator.media.frame_store import room
from stableanimator.media.framing import Framing, Size
from stableanimator.perception.person_boxes import in_picture, inside, only, visible
from stableanimator.perception.settings import SkeletonStyle
from stableanimator.perception.skeleton import FACE, VISIBLE, draw_skeleton, to_openpose18
from stableanimator.tracklets import find_again, follow_everybody

Array = npt.NDArray[np.float32]

BODY = slice(0, 17)
"""The body joints (COCO's) at the head of the 133."""
EYES_AND_NOSE = (2, 1, 0)
"""The person's right eye, left eye and nose: in the order of the first three points of ArcFace's template, which counts
eyes from the left of the picture."""
# Among the 68 face points, which are in iBUG's order; right is the person's own, left in the picture.
_RIGHT_EYE, _LEFT_EYE, _NOSE_TIP = slice(36, 42), slice(42, 48), slice(30, 31)
_MOUTH_RIGHT, _MOUTH_LEFT = slice(48, 49), slice(54, 55)
_NOSE_DEPTH = 0.41
"""From the plane of the eyes to the tip of the nose, over the distance of the eyes' middles (d / w): 135 and 330 of the
six-point head that OpenCV's examples of `solvePnP` use. Drawn heads, whose turn is known, agree within 3 degrees."""


def follow_people(frames: Sequence[Array], count: int, size: Size | None = None) -> Array:
    """The same `count` people in every frame: poses [P_f, 133, 3] of each frame -> [F, count, 133, 3].

    Who comes first decides who they are. Everybody is followed (stableanimator.tracklets), so that somebody who is not
    asked for cannot be taken for one of them who is hidden; who is gone and comes back is the same again. Who is not
    found is missing: NaN with score 0.

    Args:
        size: of the pictures. People are followed by the joints inside, and given with those outside as well; who has
            none inside is nobody. None: all joints count.
    """
    result = np.full((len(frames), count, 133, 3), np.nan, np.float32)
    result[..., 2] = 0
    bodies = [poses[:, BODY] if size is None else in_picture(poses[:, BODY], size) for poses in frames]
    joints = [np.where(visible(body)[..., None], body[..., :2], np.nan).astype(np.float64) for body in bodies]
    for person, track in enumerate(find_again(follow_everybody(joints), count)):
        for frame, number in track.places:
            result[frame, person] = frames[frame][number]
    return result


def pair_people(reference: Array, driving: Array) -> list[int]:
    """Who drives whom: for each reference person the driving one whose place and size among the driving people is most
    like theirs among the reference's; all of them together, so that each drives one.

    Places are those of the first frame that shows most of the driving people: so long as nobody is hidden.

    Args:
        reference: [P, 133, 3] in pixels of the reference picture, joints outside of it missing.
        driving: [F, P, 133, 3] the same of the driving video.
    """
    seen = visible(driving[:, :, BODY]).any(-1).sum(1)
    ours, theirs = _among_others(reference), _among_others(driving[int(np.argmax(seen))])
    cost = np.linalg.norm(ours[:, None] - theirs[None], axis=-1)
    return [int(person) for person in linear_sum_assignment(np.nan_to_num(cost, nan=_UNSEEN))[1]]


_UNSEEN = 100.0
"""A cost beyond all others of a person of whom no place is known."""


def _among_others(people: Array) -> npt.NDArray[np.float64]:
    """[P, 3] where each of poses [P, 133, 3] is and how large: the middle's distance from that of all, in mean sizes,
    and the logarithm of the size over the mean one. NaN for who is not seen."""
    seen = visible(people[:, BODY])[..., None]
    points = np.where(seen, people[:, BODY, :2], np.nan).astype(np.float64)
    there = seen.any((1, 2))
    result = np.full((len(people), 3), np.nan)
    if there.any():
        low, high = np.nanmin(points[there], 1), np.nanmax(points[there], 1)
        sizes = np.maximum(np.linalg.norm(high - low, axis=-1), 1.0)
        middles = (low + high) / 2
        result[there, :2] = (middles - middles.mean(0)) / sizes.mean()
        result[there, 2] = np.log(sizes / sizes.mean())
    return result


def misalign_clip(keypoints: Array, size: Size, misalignment: Similarity) -> Array:
    """Poses [F, P, 133, 3] of pictures of `size`, moved by one transform (in image heights) about the centroid of all
    body joints that are seen in the clip."""
    height = size[0]
    points = torch.from_numpy(keypoints[..., :2]) / height
    body = body_pose(in_picture(keypoints, size), height).reshape(-1, 3)
    centroid = mean_point(torch.from_numpy(body[:, :2]), torch.from_numpy(visible(body)))
    return _moved(keypoints, misalignment.about(centroid).apply(points), height)


def align_driving(
    driving: Array,
    reference: Array,
    framings: tuple[Framing, Framing],
    name: AlignmentName,
    scope: AlignmentScope,
    aligner: Aligner | None = None,
    misalignment: Similarity | None = None,
) -> Array:
    """Driven poses in pixels of the model's picture, each person brought to its own reference pose.

    Transforms are found by the joints that each of the two pictures shows; what lies outside moves along.

    Args:
        driving: [F, P, 133, 3] pixels of the driving video.
        reference: [P, 133, 3] pixels of the reference picture.
        framings: of the driving video and of the reference picture, to one size.
        name: how the transforms are found; `none` leaves the framed poses where they are.
        scope: one transform a frame, one a clip, or the clip's with a place for each frame.
        aligner: for `learned`.
        misalignment: moves the poses first (`misalign_clip`).

    Raises:
        ValueError: `learned` without an aligner.
    """
    height = framings[0].size[0]
    shown = inside(driving, framings[0].source)  # before anything moves
    if misalignment is not None:
        driving = misalign_clip(driving, framings[0].source, misalignment)
    driven = framings[0].keypoints(driving)
    target = framings[1].keypoints(in_picture(reference, framings[1].source))
    poses = torch.from_numpy(body_pose(only(driven, shown), height)).transpose(0, 1)  # [P, F, 18, 3]
    aspects = [framing.source[1] / framing.source[0] for framing in framings]
    alignment = align(
        name, scope, torch.from_numpy(body_pose(target, height)), poses, aligner, aspect=aspects[1] / aspects[0]
    )
    points = torch.from_numpy(driven[..., :2]).transpose(0, 1) / height
    return _moved(driven, alignment.apply(points).transpose(0, 1), height)


def skeleton_pictures(keypoints: Array, height: int, width: int, style: SkeletonStyle) -> npt.NDArray[np.uint8]:
    """Poses [F, P, 133, 3] in pixels -> skeleton pictures, uint8 [F, H, W, 3]; of a long clip in a file
    (`stableanimator.media.frame_store`)."""
    pictures = room((len(keypoints), height, width, 3), np.uint8)
    for number, people in enumerate(keypoints):
        pictures[number] = draw_skeleton(people, height, width, style)
    return pictures


def face_points(keypoints: Array, height: int, width: int) -> Array:
    """Eyes, nose and corners of the mouth [F, 5, 2] of one person's poses [F, 133, 3], in the order of `TEMPLATE`.

    They come from the 68 face points (iBUG's order): the means of the rings around the eyes, the tip of the nose, the
    corners of the mouth. Where some of these are not visible, eyes and nose are the body's, and the mouth is NaN. A
    frame in which a point lies outside the picture, or eyes and nose are not all visible, shows no face that could be
    compared: all of it is NaN.
    """
    face = keypoints[:, FACE].astype(np.float32)
    parts = [face[:, _RIGHT_EYE], face[:, _LEFT_EYE], face[:, _NOSE_TIP], face[:, _MOUTH_RIGHT], face[:, _MOUTH_LEFT]]
    fine = np.stack([part.mean(1) for part in parts], 1)
    seen = np.asarray(np.stack([visible(part).all(1) for part in parts], 1).all(1))
    points = keypoints[:, EYES_AND_NOSE].astype(np.float32)
    coarse = np.concatenate([points, np.full((len(points), 2, 3), np.nan, np.float32)], 1)
    chosen = np.where(seen[:, None, None], fine, coarse)
    wanted = np.where(seen[:, None], [True] * 5, [True] * 3 + [False] * 2)
    good = visible(chosen) & inside(chosen, (height, width))
    place: Array = chosen[..., :2]
    place[(wanted & ~good).any(1)] = np.nan
    return place


def face_yaw(points: Array) -> Array:
    """How far faces are turned, degrees [F]: positive where the nose points to the picture's right; NaN without a face.

    From the eyes and the nose of `face_points` [F, 5, 2], on a head under weak perspective: the eyes are
    w cos(yaw) apart, and the tip of the nose lies d sin(yaw) along that line, however the head is rolled or nods.
    """
    right, left, nose = points[:, 0], points[:, 1], points[:, 2]
    line = left - right
    aside = ((nose - (right + left) / 2) * line).sum(-1)
    yaw: Array = np.degrees(np.arctan2(aside / _NOSE_DEPTH, (line * line).sum(-1)))
    return yaw


def face_boxes(keypoints: Array, points: Array) -> Array:
    """Boxes [F, 4] (left, top, right, bottom) of one person's face, in the unit of the keypoints; NaN without a face.

    Around the visible face points [F, 133, 3] and `face_points` [F, 5, 2] of the same frames.
    """
    face = np.where(keypoints[:, FACE, 2:] >= VISIBLE, keypoints[:, FACE, :2], np.nan)
    every = np.concatenate([face, points], 1).astype(np.float32)
    boxes = np.full((len(every), 4), np.nan, np.float32)
    there = np.isfinite(points).all(-1).any(-1)
    boxes[there] = np.concatenate([np.nanmin(every[there], 1), np.nanmax(every[there], 1)], -1)
    return boxes


def joints_in_picture(poses: Array, reference: Array, source: Size, size: Size) -> float:
    """How much of what drives can be seen: the share of the driven joints that lie in the picture, of those that the
    reference shows, over all frames and people; 0 where the drive has none of them.

    A reference of a face alone asks for the face alone.

    Args:
        poses: [F, P, 133, 3] where they are drawn, in pixels of the animation; what the driving picture does not show
            is left out.
        reference: [P, 133, 3] in pixels of the reference picture.
        source: of the reference picture.
        size: of the animation.
    """
    driven, shown = to_openpose18(poses), to_openpose18(in_picture(reference, source))
    wanted = visible(driven) & visible(shown)
    return float((wanted & inside(driven, size)).sum() / wanted.sum()) if wanted.any() else 0.0


def _moved(keypoints: Array, points: Tensor, height: int) -> Array:
    """Keypoints with new places, given in image heights."""
    moved = keypoints.copy()
    moved[..., :2] = (points * height).numpy()
    return moved
