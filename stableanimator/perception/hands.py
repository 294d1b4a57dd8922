"""Where the hands are, from the joints of the arms alone: OpenPose's rule for its hand detector (handDetector.cpp)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stableanimator.perception.skeleton import VISIBLE

# Shoulder, elbow and wrist of the left and of the right arm among DWPose's 133 keypoints.
_ARMS = ((5, 7, 9), (6, 8, 10))
_BEYOND = 0.33  # of the forearm: how far the middle of the hand lies beyond the wrist
_SIDE = 1.5  # of the forearm, or of 0.9 of the upper arm if that is longer
_UPPER_ARM = 0.9


def hand_boxes(keypoints: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Squares around the hands of P people, [N, 4] (left, top, right, bottom) in the unit of the keypoints; N <= 2 P.

    A hand whose shoulder, elbow or wrist is not visible has none.

    Args:
        keypoints: [P, 133, 3] (x, y, score).
    """
    arms = np.asarray(keypoints, np.float32)[:, list(_ARMS)].reshape(-1, 3, 3)
    shoulders, elbows, wrists = arms[(arms[..., 2] >= VISIBLE).all(1), :, :2].transpose(1, 0, 2)
    forearms, upper_arms = (np.linalg.norm(part, axis=1) for part in (wrists - elbows, elbows - shoulders))
    middles = wrists + _BEYOND * (wrists - elbows)
    halves = _SIDE / 2 * np.maximum(forearms, _UPPER_ARM * upper_arms)[:, None]
    return np.concatenate([middles - halves, middles + halves], 1)
