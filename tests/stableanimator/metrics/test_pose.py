"""Keypoints made by hand, and clips of the drawn world, whose statures are known."""

from __future__ import annotations

import numpy as np
import pytest

from stableanimator.metrics.pose import main_person, pose_agreement, stature
from stableanimator.perception.dwpose import PersonDetector, WholeBodyPose
from stableanimator.perception.skeleton import to_openpose18
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import draw_clip

# COCO's joints of somebody who stands 200 pixels tall, by the heights of Drillis and Contini: feet at y = 200.
STANDING = {
    0: (50, 18.0), 1: (53.7, 12.8), 2: (46.3, 12.8),  # nose; the eyes 7.4 apart
    5: (75.9, 36.4), 6: (24.1, 36.4),  # shoulders, 51.8 apart, at 0.818
    11: (50, 94.0), 12: (50, 94.0),  # hips at 0.530
    13: (50, 143.0), 14: (50, 143.0), 15: (50, 192.2), 16: (50, 192.2),  # knees at 0.285, ankles at 0.039
}  # fmt: skip


def _person(joints: dict[int, tuple[float, float]], dx: float = 0.0) -> np.ndarray:
    """[1, 133, 3] with these joints, moved to the right."""
    person = np.full((1, 133, 3), (np.nan, np.nan, 0), np.float32)
    for joint, (x, y) in joints.items():
        person[0, joint] = x + dx, y, 0.9
    return person


def _without(*missing: int) -> dict[int, tuple[float, float]]:
    return {joint: place for joint, place in STANDING.items() if joint not in missing}


@pytest.mark.parametrize(
    "missing",
    [(), (13, 15), (13, 14, 15, 16), (0, 15, 16), (11, 12, 13, 14, 15, 16), (0, 5, 11, 12, 13, 14, 15, 16)],
    ids=["whole body", "one leg", "to the hips", "no head and feet", "head and shoulders", "face"],
)
def test_whatever_is_seen_of_somebody_they_are_as_tall(missing: tuple[int, ...]) -> None:
    assert stature(to_openpose18(_person(_without(*missing)))) == pytest.approx(200, rel=0.01)


def test_who_sits_is_as_tall_as_who_stands() -> None:
    """Thighs of 49 pixels to the front of a chair, seen from the side, and shins of 49.2 down from there."""
    sitting = {**STANDING, 13: (99, 94.0), 14: (99, 94.0), 15: (99, 143.2), 16: (99, 143.2)}
    assert stature(to_openpose18(_person(sitting))) == pytest.approx(200, rel=0.01)


def test_a_stature_is_of_all_frames_and_not_of_one_that_is_wrong() -> None:
    frames = np.concatenate([_person(STANDING)] * 19 + [_person({**STANDING, 15: (50, 900.0)})])
    assert stature(to_openpose18(frames)) == pytest.approx(200, rel=0.01)
    assert stature(to_openpose18(_person({0: (1, 1)}))) is None
    # Ankles in one of three frames are not enough to go by: the trunk is taken, a tenth shorter here.
    bent = {**_without(13, 14, 15, 16), 11: (50, 88.24), 12: (50, 88.24)}
    frames = np.concatenate([_person(STANDING), _person(bent), _person(bent)])
    assert stature(to_openpose18(frames[1:])) == pytest.approx(180, rel=0.01)
    assert stature(to_openpose18(frames)) == pytest.approx(196, rel=0.01)  # 90th percentile of 180, 180 and 200


def test_near_is_a_share_of_the_stature_and_what_is_not_found_is_missed() -> None:
    truth = [_person(STANDING)]  # with the neck 12 joints; 5 % are 10 pixels, 10 % are 20
    for shift, near in ((9, (1, 1)), (11, (0, 1)), (19, (0, 1)), (21, (0, 0))):
        found = pose_agreement([_person(STANDING, shift)], truth)
        assert (found.joints, found.pck_05, found.pck_10) == (12, *near)
        assert (found.joints_moved, found.pck_moved_05, found.pck_moved_10) == (0, None, None)
    # Three joints are not found, and one is 15 pixels off.
    partly = {**_without(1, 2, 15), 16: (65, 192.2)}
    found = pose_agreement([_person(partly)], truth)
    assert (found.pck_05, found.pck_10) == (pytest.approx(8 / 12), pytest.approx(9 / 12))
    unsure = _person(STANDING)
    unsure[..., 2] = 0.29
    for nobody in (unsure, np.zeros((0, 133, 3), np.float32)):
        assert pose_agreement([nobody], truth).pck_10 == 0


def test_joints_that_moved_are_counted_by_themselves() -> None:
    """An ankle is lifted by 30 pixels, a knee by 19: of 200, over and under a tenth."""
    lifted = {**STANDING, 15: (50, 162.2), 13: (50, 124.0)}
    truth = [_person(STANDING), _person(lifted)]
    still = pose_agreement([_person(STANDING)] * 2, truth)
    assert (still.joints, still.joints_moved, still.pck_moved_10) == (24, 1, 0)
    assert (still.pck_05, still.pck_10) == (pytest.approx(22 / 24), pytest.approx(23 / 24))
    follows = pose_agreement(truth, truth)
    assert (follows.pck_05, follows.pck_moved_05, follows.pck_moved_10) == (1, 1, 1)
    # A joint that the first frame does not show is not known to have moved.
    hidden = pose_agreement(truth, [_person(_without(15)), _person(lifted)])
    assert (hidden.joints_moved, hidden.pck_moved_10) == (0, None)


def test_without_a_person_in_the_truth_there_is_nothing_to_find() -> None:
    nobody = np.zeros((0, 133, 3), np.float32)
    for truth in ([], [nobody]):
        found = pose_agreement([_person(STANDING)] * len(truth), truth)
        assert (found.joints, found.pck_05, found.pck_moved_10) == (0, None, None)
    # Frames without anybody are left out: nothing is asked of them.
    assert pose_agreement([nobody, _person(STANDING)], [nobody, _person(STANDING)]).pck_05 == 1


def test_of_several_people_the_first_one_is_followed() -> None:
    """The other one is listed first in the second frame, as whoever is larger there."""
    truth = [
        np.concatenate([_person(STANDING), _person(STANDING, 300)]),
        np.concatenate([_person(STANDING, 300), _person(STANDING, 4)]),
    ]
    np.testing.assert_allclose(main_person(truth)[:, 0, 0], [50, 54])
    both = [truth[1], truth[0]]
    assert pose_agreement(both, truth).pck_05 == 1
    assert pose_agreement([_person(STANDING, 300)] * 2, truth).pck_10 == 0


@pytest.mark.parametrize(("kind", "seed"), [("dance", 5_300_000), ("gesture", 5_300_007)])
def test_drawn_frames_against_themselves_and_against_a_repeated_reference(kind: str, seed: int) -> None:
    """A whole body that dances, and a half body that speaks with its hands."""
    weights = "package://stableanimator.synthetic/weights/dwpose"
    detector, pose = PersonDetector(f"{weights}/person_detector.onnx"), WholeBodyPose(f"{weights}/pose.onnx")
    pictures, truth = draw_clip(write_clip(kind, seed), range(0, 72, 6))
    people = [pose(picture, detector(picture)[0]) for picture in pictures]
    same = pose_agreement(people, people)
    assert (same.pck_05, same.pck_10, same.pck_moved_05, same.pck_moved_10) == (1, 1, 1, 1)
    still = pose_agreement([people[0]] * len(people), people)
    assert still.joints == same.joints
    assert still.pck_05 is not None
    assert still.pck_05 < 0.95
    assert still.pck_moved_10 == 0
    # Heads are larger than life there, and legs shorter.
    assert stature(main_person(people)) == pytest.approx(float(truth.statures[:, 0].mean()), rel=0.2)
