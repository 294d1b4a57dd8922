from __future__ import annotations

import numpy as np
import torch

from stableanimator.alignment.poses import WITHOUT_ARMS, body_pose, visible_joints
from stableanimator.perception.skeleton import OPENPOSE_JOINTS


def test_a_whole_body_becomes_eighteen_joints_in_image_heights() -> None:
    keypoints = np.zeros((2, 133, 3), dtype=np.float32)
    keypoints[..., 2] = 0.9
    keypoints[0, 5], keypoints[0, 6] = (300, 100, 0.8), (200, 140, 0.5)  # COCO's left and right shoulder
    keypoints[0, 0] = (250, 50, 0.29)
    pose = body_pose(keypoints, height=200)
    np.testing.assert_allclose(pose[0, OPENPOSE_JOINTS.index("neck")], [1.25, 0.6, 0.5], rtol=1e-6)
    np.testing.assert_allclose(pose[0, OPENPOSE_JOINTS.index("left_shoulder")], [1.5, 0.5, 0.8], rtol=1e-6)
    nose = pose[0, OPENPOSE_JOINTS.index("nose")]
    assert np.isnan(nose[:2]).all()
    assert nose[2] == 0
    assert keypoints[0, 0, 0] == 250  # the input is left alone


def test_visible_means_score_and_place() -> None:
    keypoints = torch.tensor([[0.0, 0, 0.3], [0, 0, 0.29], [float("nan"), 0, 1], [float("inf"), 0, 1]])
    assert visible_joints(keypoints).tolist() == [True, False, False, False]


def test_without_arms_leaves_out_elbows_and_wrists() -> None:
    left_out = [name for joint, name in enumerate(OPENPOSE_JOINTS) if joint not in WITHOUT_ARMS]
    assert left_out == ["right_elbow", "right_wrist", "left_elbow", "left_wrist"]
