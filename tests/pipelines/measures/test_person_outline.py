from __future__ import annotations

import numpy as np
import pytest

from pipelines.measures.person_outline import person_outline

BOX = np.array([100, 50, 300, 550], np.float32)
STANDING = {  # COCO's joints of a person who stands upright and faces the camera, arms down
    0: (200, 100),
    1: (208, 92),
    2: (192, 92),
    3: (220, 96),
    4: (180, 96),
    5: (240, 150),
    6: (160, 150),
    7: (250, 230),
    8: (150, 230),
    9: (255, 300),
    10: (145, 300),
    11: (225, 300),
    12: (175, 300),
    13: (225, 410),
    14: (175, 410),
    15: (225, 520),
    16: (175, 520),
}


def _keypoints(joints: dict[int, tuple[float, float]]) -> np.ndarray:
    keypoints = np.full((133, 3), np.nan, np.float32)
    keypoints[:, 2] = 0
    for joint, place in joints.items():
        keypoints[joint] = (*place, 0.9)
    return keypoints


def _covered(boxes: np.ndarray, x: float, y: float) -> bool:
    return bool(((x >= boxes[:, 0]) & (x <= boxes[:, 2]) & (y >= boxes[:, 1]) & (y <= boxes[:, 3])).any())


def test_every_joint_is_covered_and_the_corners_of_the_box_are_free():
    outline = person_outline(BOX, _keypoints(STANDING))
    assert all(_covered(outline, x, y) for x, y in STANDING.values())
    assert _covered(outline, 200, 350)  # between the thighs: a skirt
    for x, y in ((105, 60), (295, 60), (105, 540), (295, 540)):
        assert not _covered(outline, x, y)


@pytest.mark.parametrize("hidden", [(0, 1, 2), (0, 1, 2, 3, 4)])
def test_without_a_face_the_whole_box_is_taken(hidden: tuple[int, ...]):
    joints = {joint: place for joint, place in STANDING.items() if joint not in hidden}
    assert np.array_equal(person_outline(BOX, _keypoints(joints)), BOX[None])
    assert np.array_equal(person_outline(BOX, None), BOX[None])


def test_of_a_talking_head_the_wall_beside_it_stays_free():
    joints = {joint: STANDING[joint] for joint in range(5)}
    outline = person_outline(BOX, _keypoints(joints))
    assert _covered(outline, 200, 100)
    assert _covered(outline, 105, 300)  # shoulders are somewhere below
    assert not _covered(outline, 105, 60)


def test_with_unseen_hips_everything_below_the_shoulders_is_taken():
    joints = {joint: STANDING[joint] for joint in range(7)}
    outline = person_outline(BOX, _keypoints(joints))
    assert _covered(outline, 105, 540)
    assert not _covered(outline, 105, 100)
