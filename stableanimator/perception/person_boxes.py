"""Where somebody is in a picture, from 133 keypoints: which of them it shows, and boxes around these.

Keypoints keep their places outside the picture (`stableanimator.perception.dwpose`), so that a limb is drawn up to the
edge. Whoever means what is seen asks `in_picture` first.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stableanimator.errors import PersonError
from stableanimator.media.framing import Box, Size
from stableanimator.perception.skeleton import VISIBLE

Array = npt.NDArray[np.floating]

_BODY_AND_FEET = slice(0, 23)


def person_box(main: Array) -> Box:
    """Around the visible joints of body and feet of poses [F, 133, 3], of which the first 23 points are read; those
    outside the picture count unless they are left out first.

    Raises:
        PersonError: `no_person`, no frame shows a joint.
    """
    joints = main[:, _BODY_AND_FEET]
    seen = visible(joints)
    some = seen.any(1)
    if not some.any():
        raise PersonError("no_person", "no joint of the main person is visible")
    points = np.where(seen[..., None], joints[..., :2], np.nan)[some]
    return typical_box(np.nanmin(points, 1), np.nanmax(points, 1))


def visible(points: Array) -> npt.NDArray[np.bool_]:
    """Of keypoints [..., 3] (x, y, score): which are there and score at least `VISIBLE`."""
    return np.asarray((points[..., 2] >= VISIBLE) & np.isfinite(points[..., :2]).all(-1))


def inside(points: Array, size: Size) -> npt.NDArray[np.bool_]:
    """Of points [..., 2 or 3] (x, y) in pixels: which lie in a picture of `size`. Missing ones do not."""
    height, width = size
    return np.asarray(((points[..., :2] >= 0) & (points[..., :2] < np.array([width, height]))).all(-1))


def in_picture(keypoints: npt.NDArray[np.float32], size: Size) -> npt.NDArray[np.float32]:
    """A copy of keypoints [..., 3] in which those outside a picture of `size` are missing."""
    return only(keypoints, inside(keypoints, size))


def only(keypoints: npt.NDArray[np.float32], which: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """A copy of keypoints [..., 3] in which all but `which` [...] are missing: NaN with score 0."""
    left = keypoints.copy()
    left[~which] = (np.nan, np.nan, 0)
    return left


def typical_box(low: Array, high: Array) -> Box:
    """Of the borders [F, 2] in all frames: the 5th and the 95th percentile, so that a joint that was found in the wrong
    place now and then decides nothing."""
    (x0, y0), (x1, y1) = np.percentile(low, 5, axis=0), np.percentile(high, 95, axis=0)
    return float(x0), float(y0), float(x1), float(y1)
