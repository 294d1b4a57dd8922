"""Where somebody is in a picture, from 133 keypoints: boxes around visible joints."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stableanimator.errors import PersonError
from stableanimator.media.framing import Box
from stableanimator.perception.skeleton import VISIBLE

Array = npt.NDArray[np.floating]

_BODY_AND_FEET = slice(0, 23)


def person_box(main: Array) -> Box:
    """Around the visible joints of body and feet of poses [F, 133, 3], of which the first 23 points are read.

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


def typical_box(low: Array, high: Array) -> Box:
    """Of the borders [F, 2] in all frames: the 5th and the 95th percentile, so that a joint that was found in the wrong
    place now and then decides nothing."""
    (x0, y0), (x1, y1) = np.percentile(low, 5, axis=0), np.percentile(high, 95, axis=0)
    return float(x0), float(y0), float(x1), float(y1)
