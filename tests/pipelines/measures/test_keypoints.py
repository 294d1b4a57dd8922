from __future__ import annotations

import numpy as np
import pytest

from pipelines.measures.frames import Frame
from pipelines.measures.keypoints import KeypointMeasure, KeypointSettings, coverage
from stableanimator.perception.skeleton import to_openpose18

SIZE = (200, 100)  # height, width
INSIDE = np.array([20, 20, 80, 180], np.float32)
CUT_OFF = np.array([20, 20, 80, 200], np.float32)  # by the lower edge
HEAD = (0, 14, 15, 16, 17)


def _joints(*visible: int) -> np.ndarray:
    joints = np.full((18, 3), np.nan, np.float32)
    joints[:, 2] = 0
    joints[list(visible)] = (50, 100, 0.9)
    return joints


def test_a_whole_person_needs_all_eighteen_joints():
    assert coverage(_joints(*range(18)), INSIDE, SIZE, KeypointSettings()) == 1
    assert coverage(_joints(*HEAD), INSIDE, SIZE, KeypointSettings()) == pytest.approx(5 / 18)


def test_of_a_person_whom_the_picture_cuts_off_head_and_shoulders_are_enough():
    # eight are expected: nose, neck, two shoulders, eyes, ears
    assert coverage(_joints(*HEAD), CUT_OFF, SIZE, KeypointSettings()) == pytest.approx(5 / 8)
    # a hand that is seen beside them counts, and is expected then
    assert coverage(_joints(*HEAD, 4), CUT_OFF, SIZE, KeypointSettings()) == pytest.approx(6 / 9)


def test_legs_alone_lack_the_head():
    assert coverage(_joints(8, 9, 10, 11, 12, 13), CUT_OFF, SIZE, KeypointSettings()) == pytest.approx(6 / 14)


def test_unsure_joints_are_not_there():
    joints = _joints(*range(18))
    joints[0, 2] = 0.29
    assert coverage(joints, INSIDE, SIZE, KeypointSettings()) == pytest.approx(17 / 18)


@pytest.mark.parametrize(
    ("joint", "place", "lost"),
    [(0, (50, 200), 1), (15, (-1, 50), 1), (9, (99, 199), 0), (5, (150, 100), 2)],
    ids=["nose", "ankle", "wrist inside", "a shoulder, and the neck with it"],
)
def test_joints_outside_the_picture_are_kept_and_not_seen(joint: int, place: tuple[int, int], lost: int):
    person = np.full((1, 133, 3), (20, 100, 0.9), np.float32)
    person[0, joint, :2] = place
    measure = KeypointMeasure(KeypointSettings(), lambda image, people: person, to_openpose18)
    measure.add(Frame(0, 0.0, np.zeros((*SIZE, 3), np.uint8), people=INSIDE[None]))
    columns = measure.columns()
    assert columns["keypoint_coverage"] == pytest.approx((18 - lost) / 18)
    np.testing.assert_array_equal(columns["keypoints"][0][0], person.reshape(-1))


def test_frames_without_a_person_count_as_nothing_there():
    whole = np.zeros((1, 133, 3), np.float32)
    whole[..., :] = (50, 100, 0.9)
    boxes = iter([INSIDE[None], np.zeros((0, 4), np.float32), INSIDE[None], INSIDE[None]])
    measure = KeypointMeasure(KeypointSettings(), lambda image, people: whole, to_openpose18)
    for number in range(4):
        frame = Frame(number, number / 8, np.zeros((*SIZE, 3), np.uint8), people=next(boxes))
        measure.add(frame)
        assert frame.keypoints is not None
    columns = measure.columns()
    assert columns["keypoint_coverage"] == 0.75
    assert columns["keypoint_missing_share"] == 0.25
    assert [len(people) for people in columns["keypoints"]] == [1, 0, 1, 1]
    assert len(columns["keypoints"][0][0]) == 399


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="lacking"):
        KeypointSettings(lacking=1.5)
