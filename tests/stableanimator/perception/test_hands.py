"""Hand boxes against OpenPose's rule, by hand."""

from __future__ import annotations

import numpy as np

from stableanimator.perception.hands import hand_boxes


def _arm(shoulder: tuple[float, float], elbow: tuple[float, float], wrist: tuple[float, float]) -> np.ndarray:
    pose = np.full((1, 133, 3), (np.nan, np.nan, 0.0))
    pose[0, [5, 7, 9], :2] = shoulder, elbow, wrist
    pose[0, [5, 7, 9], 2] = 0.5
    return pose


def test_the_box_lies_beyond_the_wrist_and_is_as_wide_as_the_arm_asks() -> None:
    # A forearm of 100 along x: the middle is 33 beyond the wrist, the side 150.
    boxes = hand_boxes(_arm((0, 100), (0, 0), (100, 0)))
    np.testing.assert_allclose(boxes, [[133 - 75, -75, 133 + 75, 75]], rtol=1e-6)
    # A foreshortened one of 10: the upper arm of 100 gives the side, 0.9 * 150.
    boxes = hand_boxes(_arm((0, 100), (0, 0), (10, 0)))
    np.testing.assert_allclose(boxes, [[13.3 - 67.5, -67.5, 13.3 + 67.5, 67.5]], rtol=1e-5)


def test_hands_of_arms_that_are_not_seen_have_none() -> None:
    assert hand_boxes(np.zeros((0, 133, 3))).shape == (0, 4)
    for joint in (5, 7, 9):
        pose = _arm((0, 100), (0, 0), (100, 0))
        pose[0, joint, 2] = 0.29
        assert hand_boxes(pose).shape == (0, 4)
