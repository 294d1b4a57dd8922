from __future__ import annotations

import numpy as np
import pytest

from stableanimator.synthetic.figure.body import Skeleton, draw_proportions, stand
from stableanimator.synthetic.figure.geometry import VIEW_TILT, View, rotation
from stableanimator.synthetic.figure.motions import MOTIONS, move
from stableanimator.synthetic.figure.poses import COLUMN, DANCE, mirrored, pose

BODY = draw_proportions(np.random.default_rng(3))


def standing(poses: np.ndarray) -> Skeleton:
    return stand(BODY, poses, View(np.zeros((len(poses), 2)), np.ones(len(poses))))


def untilted(skeleton: Skeleton, name: str) -> np.ndarray:
    """A joint in upright coordinates."""
    return skeleton.joints[name] @ rotation("x", -VIEW_TILT)


@pytest.mark.parametrize("motion", sorted(MOTIONS))
def test_bones_keep_their_lengths_and_feet_the_ground(motion: str) -> None:
    skeleton = standing(move(motion, np.arange(0, 4, 0.13), seed=2).poses)
    for side in ("left", "right"):
        for start, end, length in (
            ("shoulder", "elbow", BODY.upper_arm),
            ("elbow", "wrist", BODY.forearm),
            ("hip", "knee", BODY.thigh),
            ("knee", "ankle", BODY.shin),
        ):
            bone = skeleton.joints[f"{side}_{end}"] - skeleton.joints[f"{side}_{start}"]
            np.testing.assert_allclose(np.linalg.norm(bone, axis=-1), length)
    soles = [untilted(skeleton, f"{side}_{part}")[:, 1] for side in ("left", "right") for part in ("heel", "toe")]
    np.testing.assert_allclose(np.max(soles, axis=0), 0, atol=1e-9)


def test_the_left_arm_is_on_the_right_of_the_picture_until_one_turns_round() -> None:
    turned = pose()
    turned[COLUMN["yaw"]] = 180
    skeleton = standing(np.stack([pose(), turned]))
    sides = skeleton.plane("left_wrist")[:, 0] - skeleton.plane("right_wrist")[:, 0]
    assert sides[0] > 0.2
    assert sides[1] < -0.2


def test_a_straight_arm_lifted_by_ninety_degrees_is_level() -> None:
    skeleton = standing(pose(arm_out=90, elbow=0, arm_flex=0, arm_twist=0)[None])
    for joint in ("elbow", "wrist"):
        level = untilted(skeleton, f"left_{joint}")[0, 1] - untilted(skeleton, "left_shoulder")[0, 1]
        assert level == pytest.approx(0, abs=1e-9)


def test_an_arm_swung_forward_by_ninety_degrees_points_at_the_camera() -> None:
    skeleton = standing(pose(arm_flex=90, arm_out=0, elbow=0, arm_twist=0)[None])
    arm = untilted(skeleton, "right_wrist") - untilted(skeleton, "right_shoulder")
    np.testing.assert_allclose(arm[0], [0, 0, BODY.upper_arm + BODY.forearm], atol=1e-9)


def test_knees_bend_backwards() -> None:
    skeleton = standing(pose(knee=60, leg_flex=0, leg_out=0, leg_twist=0)[None])
    shin = untilted(skeleton, "left_ankle") - untilted(skeleton, "left_knee")
    assert shin[0, 2] == pytest.approx(-BODY.shin * np.sin(np.radians(60)))


def test_a_mirrored_pose_mirrors_every_joint() -> None:
    poses = np.stack(DANCE)
    one, other = standing(poses), standing(mirrored(poses))
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "big_toe"):
        np.testing.assert_allclose(one.joints[f"left_{joint}"] * (-1, 1, 1), other.joints[f"right_{joint}"], atol=1e-9)
    np.testing.assert_allclose(one.hands["left"] * (-1, 1, 1), other.hands["right"], atol=1e-9)
    np.testing.assert_allclose(one.joints["head"] * (-1, 1, 1), other.joints["head"], atol=1e-9)


def test_fists_are_shorter_than_open_hands_and_start_at_the_wrist() -> None:
    open_hand, fist = (dict.fromkeys(("thumb", "index", "middle", "ring", "little"), curl) for curl in (0.0, 1.0))
    skeleton = standing(np.stack([pose(**open_hand), pose(**fist)]))
    hand = skeleton.hands["left"]
    np.testing.assert_array_equal(hand[:, 0], skeleton.joints["left_wrist"])
    reach = np.linalg.norm(hand - hand[:, :1], axis=-1)[:, [8, 12, 16, 20]]  # tips of the four fingers
    assert (reach[0] > 0.6 * BODY.hand).all()
    assert (reach[1] < 0.75 * reach[0]).all()
    assert reach[0, 1] == reach[0].max()  # the middle finger is the longest


def test_a_motion_can_be_asked_for_at_any_time_by_itself() -> None:
    times = np.arange(0, 5, 0.04)
    for name in MOTIONS:
        whole, some = move(name, times, seed=4), move(name, times[[7, 80]], seed=4)
        np.testing.assert_allclose(some.poses, whole.poses[[7, 80]])
        np.testing.assert_allclose(some.travel, whole.travel[[7, 80]])
        np.testing.assert_allclose(some.expression.mouth, whole.expression.mouth[[7, 80]])


def test_a_statue_does_not_move_and_a_dancer_does() -> None:
    times = np.arange(0, 5, 0.2)
    still, lively = (standing(move(name, times, seed=1).poses).joints["left_wrist"] for name in ("statue", "dance"))
    assert np.ptp(still, axis=0).max() == 0
    assert np.ptp(lively, axis=0).max() > 0.15
