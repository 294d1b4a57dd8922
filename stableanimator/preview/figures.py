"""What is measured of one driven person, from keypoints alone: a function for each figure.

F frames   18 OpenPose's joints   133 whole-body keypoints (x, y, score)   a joint that is not seen is missing
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stableanimator.driving import BODY, face_points, face_yaw
from stableanimator.media.framing import Size
from stableanimator.metrics.pose import LENGTHS, lengths_along
from stableanimator.perception.person_boxes import inside, visible
from stableanimator.perception.skeleton import FACE, OPENPOSE_JOINTS, to_openpose18

Array = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]

SHOULDERS_IN_TRUNKS = 0.8
"""Width of the shoulders over neck to hips of who faces the camera: between 0.72, of the centres of the joints
(`stableanimator.alignment.training_data.procedural`), and 0.90, of Drillis and Contini's outlines."""
SOLE = 0.039
"""Height of an ankle over the ground, in statures (Drillis and Contini, as `stableanimator.metrics.pose`)."""
_LONGEST = 90
"""Percentile over frames that stands for a length, as in `stableanimator.metrics.pose.stature`."""
HEAD = slice(0, 5)
"""Nose, eyes and ears among the 133."""
_EYES = slice(1, 3)
ANKLES = slice(15, 17)
"""Among the 133."""
_CHIN = FACE.start + 8
_JOINT = {name: number for number, name in enumerate(OPENPOSE_JOINTS)}


def scales(driven: Array, reference: Array) -> tuple[float, ...]:
    """How large a driven person is over the reference's, by each length that both show, the best length first: along
    the body, the trunk, the shoulders; the eyes only where there is none of these. Empty: by none.

    Whoever turns away or sits is shorter along some of them, and by no one of them longer.

    Args:
        driven: [F, 133, 3] and
        reference: [133, 3], in pixels of one picture.
    """
    ours, theirs = to_openpose18(driven), to_openpose18(reference)[None]
    found = []
    for _, chains in LENGTHS:
        length, of = lengths_along(ours, chains), lengths_along(theirs, chains)
        found.append(float(np.percentile(length, _LONGEST) / of[0]) if len(length) and len(of) else None)
    by_body, by_eyes = [each for each in found[:-1] if each is not None], found[-1]
    return tuple(by_body) if by_body or by_eyes is None else (by_eyes,)


def middle(poses: Array) -> tuple[float, float] | None:
    """x, y in pixels of the middle of somebody's body joints [F, 133, 3]: the median over the frames that show one."""
    seen = visible(poses[:, BODY])
    if not seen.any():
        return None
    points = np.where(seen[..., None], poses[:, BODY, :2], np.nan)[seen.any(1)]
    x, y = np.median((np.nanmin(points, 1) + np.nanmax(points, 1)) / 2, axis=0)
    return float(x), float(y)


def offset(driven: Array, reference: Array) -> tuple[float, float] | None:
    """x, y in pixels from the reference's body joints [133, 3] to the driven ones [F, 133, 3], in one picture: the
    median over the joints that both show and over the frames. None where there are none."""
    both = visible(driven[:, BODY]) & visible(reference[BODY])
    if not both.any():
        return None
    x, y = np.median((driven[:, BODY, :2] - reference[BODY, :2])[both], axis=0)
    return float(x), float(y)


def found(poses: Array) -> float:
    """Share of the frames [F, 133, 3] that show any body joint of somebody."""
    return float(visible(poses[:, BODY]).any(1).mean())


def turned(poses: Array, size: Size) -> float | None:
    """How far somebody is turned from facing the camera, degrees, the median over the frames [F, 133, 3] of a picture
    of `size`: 0 faces it, 90 is a profile, 180 the back. None where no frame tells.

    By how wide the shoulders are over the trunk, and on which side the left one is; where the trunk is not seen, by the
    face (`stableanimator.driving.face_yaw`), which is no more than a profile; and where neither tells, a head of which
    one side is hidden is a profile.
    """
    joints = _places(to_openpose18(poses))
    trunk = _trunks(joints)
    across = joints[:, _JOINT["left_shoulder"]] - joints[:, _JOINT["right_shoulder"]]
    with np.errstate(invalid="ignore", divide="ignore"):
        width = (across[:, 0] * trunk[:, 1] - across[:, 1] * trunk[:, 0]) / (trunk * trunk).sum(-1)
        by_body = np.degrees(np.arccos(np.clip(width / SHOULDERS_IN_TRUNKS, -1, 1)))
        by_face = np.abs(face_yaw(face_points(poses, *size)))
    head = visible(poses[:, HEAD])
    one_sided = head[:, 0] & (head[:, 1] != head[:, 2]) & (head[:, 3] != head[:, 4])  # of the eyes, and of the ears
    by_face = np.where(np.isnan(by_face) & one_sided, 90.0, by_face)
    return _median(np.where(np.isfinite(by_body), by_body, by_face))


def thighs_down(poses: Array) -> float | None:
    """How far the knees are below the hips, along the trunk and in its lengths: the median over the frames [F, 133, 3]
    of the leg that is straighter. 0.8 of who stands, around 0 of who sits, seen from any side. None where no frame
    shows a shoulder, a hip and a knee.
    """
    joints = _places(to_openpose18(poses))
    right, left = _either(joints, "right_hip", "left_hip")
    trunk = _trunks(joints)
    with np.errstate(invalid="ignore", divide="ignore"):
        down = [
            ((joints[:, _JOINT[knee]] - hip) * trunk).sum(-1) / (trunk * trunk).sum(-1)
            for hip, knee in ((right, "right_knee"), (left, "left_knee"))
        ]
    return _median(np.fmax(*down))


def feet_shown(poses: Array, size: Size, stature: float) -> npt.NDArray[np.bool_]:
    """[F] whether a picture of `size` shows a foot with its sole, of poses [F, 133, 3] of somebody so many pixels
    tall."""
    ankles = poses[:, ANKLES]
    soles = ankles[..., :2] + np.array([0, SOLE * stature], np.float32)
    return np.asarray((visible(ankles) & inside(ankles, size) & inside(soles, size)).any(1))


def head_shown(poses: Array, size: Size) -> npt.NDArray[np.bool_]:
    """[F] whether a picture of `size` shows somebody's head up to the crown, of poses [F, 133, 3].

    The crown is as far above the eyes as the chin is below them; where chin or eyes are not seen, the joints of the
    head stand for it.
    """
    head, eyes, chin = poses[:, HEAD], poses[:, _EYES], poses[:, _CHIN]
    there = (visible(head) & inside(head, size)).any(1)
    seen = visible(eyes).all(1) & visible(chin)
    crown = 2 * eyes[..., :2].mean(1) - chin[:, :2]
    return np.asarray(there & (~seen | inside(crown, size)))


def _places(joints: Array) -> Values:
    return np.where(visible(joints)[..., None], joints[..., :2], np.nan).astype(np.float64)


def _trunks(joints: Values) -> Values:
    """[F, 2] from the neck to the middle of the hips, of joints [F, 18, 2]. One hip stands for both where the other is
    missing; where a shoulder is, and the neck with it, the trunk is that of the other shoulder's side."""
    right, left = _either(joints, "right_hip", "left_hip")
    trunk = (right + left) / 2 - joints[:, _JOINT["neck"]]
    for hip, shoulder in ((right, "right_shoulder"), (left, "left_shoulder")):
        trunk = np.where(np.isnan(trunk), hip - joints[:, _JOINT[shoulder]], trunk)
    return np.asarray(trunk)


def _either(joints: Values, first: str, second: str) -> tuple[Values, Values]:
    """[F, 2] of two joints that are alike far along the body, each standing for the other where that is missing."""
    one, other = joints[:, _JOINT[first]], joints[:, _JOINT[second]]
    return np.where(np.isnan(one), other, one), np.where(np.isnan(other), one, other)


def _median(values: Values) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None
