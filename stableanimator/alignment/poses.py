"""The poses that alignment works on: OpenPose-18 keypoints [..., 18, 3] (x, y, score) in units of image height."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stableanimator.perception.person_boxes import only, visible
from stableanimator.perception.skeleton import VISIBLE, to_openpose18

NODES = 18
"""Nodes of the skeleton, in the order of `perception.skeleton.OPENPOSE_JOINTS`."""

WITHOUT_ARMS = (0, 1, 2, 5, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17)
"""All but elbows and wrists, which move most; the joints that MimicMotion and ControlNeXt fit by."""


def visible_joints(keypoints: Tensor) -> Tensor:
    """Joints [..., J] of keypoints [..., J, 3] that are present: score at least 0.3 and finite."""
    return (keypoints[..., 2] >= VISIBLE) & torch.isfinite(keypoints[..., :2]).all(-1)


def body_pose(keypoints: NDArray[np.float32], height: int) -> NDArray[np.float32]:
    """Whole-body keypoints [..., 133, 3] in pixels of a picture `height` pixels high -> [..., 18, 3] in its heights.

    Joints that are not visible become NaN with score 0.
    """
    pose = to_openpose18(np.asarray(keypoints, dtype=np.float32)).astype(np.float32)
    pose[..., :2] /= height
    return hide_invisible(pose)


def hide_invisible(keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
    """A copy in which joints below score 0.3, or without a position, are NaN with score 0."""
    return only(keypoints, visible(keypoints))
