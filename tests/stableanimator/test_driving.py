from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from stableanimator.alignment.similarity import Similarity
from stableanimator.driving import (
    align_driving,
    face_boxes,
    face_points,
    face_yaw,
    follow_people,
    joints_in_picture,
    misalign_clip,
    pair_people,
    skeleton_pictures,
)
from stableanimator.media.framing import Framing
from stableanimator.perception.skeleton import draw_skeleton
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import ClipRenderer
from stableanimator.synthetic.script import ClipSettings


def _person(seed: int, centre: tuple[float, float] = (50, 50), score: float = 0.9) -> np.ndarray:
    """Body joints spread over about 40 pixels around a centre; no hands, feet or face points."""
    pose = np.full((133, 3), np.nan, np.float32)
    pose[:, 2] = 0
    pose[:17, :2] = np.random.default_rng(seed).uniform(-20, 20, (17, 2)) + centre
    pose[:17, 2] = score
    return pose


def _turned(poses: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    """p -> scale R p + shift, in pixels, by complex numbers."""
    turn = scale * np.exp(1j * math.radians(degrees))
    z = (poses[..., 0] + 1j * poses[..., 1]) * turn + complex(*shift)
    return np.stack([z.real, z.imag, poses[..., 2]], -1).astype(np.float32)


HALF_OUT = (95, 50)
"""Where the middle of a person lies whom a picture of 100 x 100 cuts off at its right edge."""


def _with(pose: np.ndarray, places: dict[int, tuple[float, float]]) -> np.ndarray:
    moved = pose.copy()
    for joint, place in places.items():
        moved[joint, :2] = place
    return moved


def test_people_keep_their_place_when_the_detector_changes_its_order() -> None:
    left, right = _person(0, (20, 50)), _person(1, (80, 50))
    step = np.array([1, 0, 0], np.float32)
    frames = [np.stack([left, right]), np.stack([right + step, left + step]), np.stack([right + 2 * step])]
    followed = follow_people(frames, 2)
    np.testing.assert_array_equal(followed[:2, 0], np.stack([left, left + step]))
    np.testing.assert_array_equal(followed[:, 1], np.stack([right, right + step, right + 2 * step]))


def test_a_person_who_is_not_found_is_missing_and_may_come_back() -> None:
    one = _person(0)
    followed = follow_people([np.stack([one]), np.zeros((0, 133, 3), np.float32), np.stack([one + 1])], 1)
    assert np.isnan(followed[1, 0, :, :2]).all()
    assert (followed[1, 0, :, 2] == 0).all()
    np.testing.assert_array_equal(followed[2, 0], one + 1)


def test_somebody_far_away_does_not_take_over() -> None:
    main, other = _person(0, (20, 50)), _person(1, (320, 50))
    followed = follow_people([main[None], other[None], np.stack([other, main])], 1)
    assert np.isnan(followed[1, 0, :, :2]).all()
    np.testing.assert_array_equal(followed[2, 0], main)


def test_a_second_person_enters_late() -> None:
    one, two = _person(0, (20, 50)), _person(1, (80, 50))
    followed = follow_people([np.stack([one]), np.stack([two, one])], 2)
    np.testing.assert_array_equal(followed[1], np.stack([one, two]))
    assert np.isnan(followed[0, 1, :, :2]).all()


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 0, 2], [2, 1, 0]])
def test_people_drive_those_who_stand_where_they_do(order: list[int]) -> None:
    """Three in a row, and in the reference the same three, twice as large and in another order."""
    row = np.stack([_person(seed, (x, 50)) for seed, x in enumerate((30, 80, 130))])
    reference = (row * [2, 2, 1] + [40, -10, 0]).astype(np.float32)
    assert pair_people(reference, row[order][None]) == [order.index(person) for person in range(3)]


def test_people_of_one_place_drive_those_of_their_size_and_who_is_never_seen_whoever_is_left() -> None:
    small, large = _person(0, (50, 50)) * [0.5, 0.5, 1], _person(0, (50, 50))
    small[:, :2] += 25
    pair = np.stack([large, small]).astype(np.float32)
    assert pair_people(pair[::-1].copy(), pair[None]) == [1, 0]
    nobody = np.full_like(pair[:1], np.nan)
    nobody[..., 2] = 0
    assert pair_people(pair, np.concatenate([nobody, pair[:1]])[None]) == [1, 0]


def test_places_are_those_of_a_frame_that_shows_all() -> None:
    """The left one is hidden at first, and later they change places."""
    left, right = _person(0, (20, 50)), _person(1, (80, 50))
    hidden = left.copy()
    hidden[:, 2] = 0
    frames = np.stack([np.stack(each) for each in ((hidden, right), (left, right), (right, left))])
    assert pair_people(np.stack([right, left]), frames) == [1, 0]


def test_misalignment_turns_the_clip_about_the_centroid_of_all_its_joints() -> None:
    clip = np.stack([_person(0, (40, 40)), _person(0, (60, 60))])[:, None]
    body = clip[:, 0, :17, :2]
    neck = body[:, 5:7].mean(1, keepdims=True)
    centroid = np.concatenate([body, neck], 1).mean((0, 1))  # the 18 joints of OpenPose
    quarter = Similarity.from_degrees(torch.tensor(90.0), torch.tensor(2.0), torch.tensor([0.1, 0.0]))
    moved = misalign_clip(clip, (100, 100), quarter)
    offset = body - centroid
    expected = 2 * np.stack([-offset[..., 1], offset[..., 0]], -1) + centroid + [10, 0]
    np.testing.assert_allclose(moved[:, 0, :17, :2], expected, atol=1e-3)
    np.testing.assert_array_equal(moved[..., 2], clip[..., 2])


def test_misalignment_turns_about_what_the_pictures_show() -> None:
    """What a pose network puts below the picture moves along and decides nothing."""
    shown = [_with(_person(0), {13: (np.nan, np.nan)}), _person(1)]
    outside = [_with(_person(0), {13: (50, 140)}), _person(1)]
    turn = Similarity.from_degrees(torch.tensor(30.0), torch.tensor(1.5), torch.tensor([0.1, 0.2]))
    moved, expected = (misalign_clip(np.stack(each)[:, None], (100, 100), turn) for each in (outside, shown))
    there = np.isfinite(expected)
    np.testing.assert_array_equal(moved[there], expected[there])
    knee, hip = moved[0, 0, [13, 11], :2]
    z = complex(50, 140) - complex(*_person(0)[11, :2])
    assert complex(*(knee - hip)) == pytest.approx(1.5 * np.exp(1j * math.radians(30)) * z, abs=1e-3)


SAME = (Framing.cover((100, 100), (100, 100)), Framing.cover((100, 100), (100, 100)))


@pytest.mark.parametrize("scope", ["clip", "frame"])
def test_svd_alignment_undoes_a_similarity_of_the_reference_pose(scope: str) -> None:
    reference = _person(3)[None]
    driving = np.repeat(_turned(reference, 25, 0.7, (30, -10))[None], 4, 0)
    aligned = align_driving(driving, reference, SAME, "svd", scope)  # type: ignore[arg-type]
    np.testing.assert_allclose(aligned[..., :17, :], np.repeat(reference[None], 4, 0)[..., :17, :], atol=1e-2)


def test_one_transform_a_clip_keeps_the_motion_that_one_a_frame_removes() -> None:
    reference = _person(3)[None]
    walk = [np.array([5.0 * f, 0, 0], np.float32) for f in range(-2, 3)]
    driving = np.stack([_turned(reference + step, 25, 0.5, (30, -10)) for step in walk])
    by_clip = align_driving(driving, reference, SAME, "svd", "clip")
    np.testing.assert_allclose(by_clip[:, 0, 0, 0] - reference[0, 0, 0], [-10, -5, 0, 5, 10], atol=1e-2)
    by_frame = align_driving(driving, reference, SAME, "svd", "frame")
    np.testing.assert_allclose(by_frame[:, 0, 0], np.repeat(reference[:, 0], 5, 0), atol=1e-2)


def test_frames_of_other_sizes_meet_in_the_models_picture() -> None:
    # A driving video twice as large, framed to 100x100, shows the same person at the same place: nothing to align.
    reference = _person(4)[None]
    framings = (Framing.cover((200, 200), (100, 100)), SAME[1])
    for name in ("none", "svd"):
        aligned = align_driving((reference * [2, 2, 1]).astype(np.float32)[None], reference, framings, name, "clip")  # type: ignore[arg-type]
        np.testing.assert_allclose(aligned[0, 0, :17], reference[0, :17], atol=1e-3)


def test_people_are_aligned_each_to_their_own_reference() -> None:
    reference = np.stack([_person(5, (30, 50)), _person(6, (70, 50))])
    driving = np.stack([_turned(reference[0], 10, 1.2, (5, 5)), _turned(reference[1], -15, 0.8, (9, 9))])[None]
    aligned = align_driving(driving, reference, SAME, "svd", "clip")
    np.testing.assert_allclose(aligned[0, :, :17], reference[:, :17], atol=1e-2)


@pytest.mark.parametrize("name", ["linear", "linear_aspect_bug", "per_bone"])
def test_a_driving_video_of_another_shape_is_stretched_by_the_bug_alone(name: str) -> None:
    # The reference picture is square, the driving video twice as wide; both show the same person in the same size.
    reference = _person(7)[None]
    shifted = (reference + np.array([50, 0, 0])).astype(np.float32)
    framings = (Framing.cover((100, 200), (100, 100)), SAME[1])
    aligned = align_driving(shifted[None], reference, framings, name, "clip")[0, 0, :17, :2]  # type: ignore[arg-type]
    expected = reference[0, :17, :2].copy()
    if name == "linear_aspect_bug":
        # All joints but elbows and wrists, and the neck between the shoulders, keep their mean.
        fitted = np.concatenate([np.delete(expected, [7, 8, 9, 10], axis=0), expected[5:7].mean(0, keepdims=True)])
        middle = fitted[:, 0].mean()
        expected[:, 0] = middle + 0.5 * (expected[:, 0] - middle)
    np.testing.assert_allclose(aligned, expected, atol=1e-2)


def test_per_bone_moves_hands_with_their_wrists() -> None:
    reference = _person(8)
    driving = reference.copy()
    driving[91:112, :2], driving[91:112, 2] = driving[9, :2] + [1, 2], 0.9
    driving[5:17, :2] = 50 + 0.5 * (driving[5:17, :2] - 50)
    driving[91:112, :2] = 50 + 0.5 * (driving[91:112, :2] - 50)
    aligned = align_driving(driving[None, None], reference[None], SAME, "per_bone", "clip")
    np.testing.assert_allclose(aligned[0, 0, [9, 10], :2], reference[[9, 10], :2], atol=1e-2)
    np.testing.assert_allclose(aligned[0, 0, 91:112, :2], np.tile(reference[9, :2] + [1, 2], (21, 1)), atol=1e-2)


def test_a_clip_without_anyone_is_left_where_it_is() -> None:
    nobody = np.full((3, 1, 133, 3), np.nan, np.float32)
    nobody[..., 2] = 0
    aligned = align_driving(nobody, _person(0)[None], SAME, "svd", "clip")
    np.testing.assert_array_equal(aligned, nobody)


def test_five_points_come_from_the_face_points_in_the_order_of_arcface() -> None:
    poses = np.stack([_person(0) for _ in range(4)])
    face = poses[:, 23:91]  # iBUG: eyes 36 to 47, the tip of the nose 30, corners of the mouth 48 and 54
    face[..., 2] = 0.9
    face[..., :2] = 50
    for ring, middle in ((range(36, 42), (40, 50)), (range(42, 48), (60, 50))):
        turns = np.arange(6) * np.pi / 3
        face[:, ring, :2] = np.stack([middle[0] + 3 * np.cos(turns), middle[1] + np.sin(turns)], -1)
    face[:, 30, :2], face[:, 48, :2], face[:, 54, :2] = (50, 60), (43, 70), (57, 70)
    face[1, 37, 2] = 0.1  # a part of an eye is not seen: the body's joints, and no mouth
    poses[:, [0, 1, 2], :2] = [(50, 61), (61, 50), (39, 50)]
    poses[:, [0, 1, 2], 2] = 0.9
    face[2, 54, 0] = 100.5  # outside
    poses[3, :, 2] = 0
    points = face_points(poses, 100, 100)
    np.testing.assert_allclose(points[0], [[40, 50], [60, 50], [50, 60], [43, 70], [57, 70]], atol=1e-5)
    np.testing.assert_allclose(points[1], [[39, 50], [61, 50], [50, 61], [np.nan] * 2, [np.nan] * 2])
    assert np.isnan(points[2:]).all()
    boxes = face_boxes(poses, points)
    np.testing.assert_allclose(boxes[0], [37, 49.134, 63, 70], atol=1e-3)
    assert np.isfinite(boxes[1]).all()
    assert np.isnan(boxes[2:]).all()


@pytest.mark.parametrize("name", ["svd", "per_bone", "linear"])
def test_joints_outside_either_picture_decide_no_alignment_and_move_along(name: str) -> None:
    """A knee that each picture has no room for, in places that no transform brings together."""
    reference, driving = _person(3)[None], _turned(_person(3), 10, 0.9, (8, -2))[None, None]
    assert (driving[..., :17, :2] >= 0).all()
    assert (driving[..., :17, :2] < 100).all()
    without = [np.array([_with(pose, {13: (np.nan, np.nan)})]) for pose in (driving[0, 0], reference[0])]
    outside = [np.array([_with(driving[0, 0], {13: (60, 130)})]), np.array([_with(reference[0], {13: (-40, 20)})])]
    turn = Similarity.from_degrees(torch.tensor(-70.0), torch.tensor(1.6), torch.tensor([0.5, 0.3]))
    for moved in (None, turn):  # `turn` takes other joints out of the picture and this one into it
        aligned, expected = (
            align_driving(each[0][None], each[1], SAME, name, "clip", misalignment=moved)[0, 0]  # type: ignore[arg-type]
            for each in (outside, without)
        )
        there = np.isfinite(expected)
        np.testing.assert_array_equal(aligned[there], expected[there])
        assert np.isfinite(aligned[13]).all()


def test_people_are_followed_by_what_is_seen_of_them_and_given_whole() -> None:
    one, two = _person(0, (30, 50)), _person(1, (70, 50))
    outside = _with(one, {15: (30, 1000), 16: (-900, 50)})
    gone = _person(1, (170, 50))
    frames = [np.stack([one, two]), np.stack([two, outside]), np.stack([gone, one])]
    followed = follow_people(frames, 2, (100, 100))
    np.testing.assert_array_equal(followed[:, 0], np.stack([one, outside, one]))
    np.testing.assert_array_equal(followed[:2, 1], np.stack([two, two]))
    assert np.isnan(followed[2, 1, :, :2]).all()  # who lies outside is nobody


def test_eyes_and_nose_come_in_the_order_of_arcface_and_only_when_all_are_there() -> None:
    poses = np.stack([_person(0) for _ in range(4)])
    poses[:, 23:91, 2] = 0
    poses[:, 0, :2], poses[:, 1, :2], poses[:, 2, :2] = (50, 60), (60, 50), (40, 50)  # nose, left eye, right eye
    poses[1, 1, 2] = 0.2
    poses[2, 0, 0] = 101
    poses[3, 2] = [np.nan, np.nan, 0]
    points = face_points(poses, 100, 100)
    np.testing.assert_array_equal(points[0], [[40, 50], [60, 50], [50, 60], [np.nan] * 2, [np.nan] * 2])
    assert np.isnan(points[1:]).all()


def test_every_frame_is_drawn_with_all_its_people() -> None:
    poses = np.stack([np.stack([_person(0), _person(1)])] * 2)
    pictures = skeleton_pictures(poses, 96, 64, "ours")
    np.testing.assert_array_equal(pictures[1], draw_skeleton(poses[1], 96, 64, "ours"))
    assert (pictures[0] != draw_skeleton(poses[0, :1], 96, 64, "ours")).any()


def test_joints_in_picture_are_counted_of_those_that_the_reference_shows() -> None:
    """Shoulders, nose and ankles: with the neck between the shoulders five joints of OpenPose's."""
    reference = np.full((1, 133, 3), (np.nan, np.nan, 0), np.float32)
    for joint, place in {0: (50, 20), 5: (60, 40), 6: (40, 40), 15: (55, 95)}.items():
        reference[0, joint] = (*place, 0.9)
    poses = np.repeat(reference[None], 2, 0)
    poses[:, 0, 16] = (45, 500, 0.9)  # an ankle that the reference does not show
    assert joints_in_picture(poses, reference, (100, 100), (100, 100)) == 1
    assert joints_in_picture(poses, reference, (90, 100), (100, 100)) == 1  # its ankle is below its picture
    assert joints_in_picture(poses, reference, (100, 100), (90, 100)) == 4 / 5
    poses[0, 0, :, 0] += 45  # of the first frame the left shoulder, the ankle and nothing else lie outside
    assert joints_in_picture(poses, reference, (100, 100), (100, 100)) == 8 / 10
    poses[1, 0, :, 2] = 0  # nobody in the second frame
    assert joints_in_picture(poses, reference, (100, 100), (100, 100)) == 3 / 5
    assert joints_in_picture(poses * np.float32(np.nan), reference, (100, 100), (100, 100)) == 0


def test_the_turn_of_a_face_is_that_of_the_drawn_head() -> None:
    """Heads that spin, nod and roll in the drawn world, which knows their angles."""
    found, true = [], []
    for seed, kind in enumerate(("spin", "dance", "turn_away")):
        renderer = ClipRenderer(write_clip(kind, 77 + seed, ClipSettings(min_seconds=3.0, max_seconds=4.0)))
        for _ in renderer:
            pass
        found.append(face_yaw(renderer.truth.face_landmarks[:, 0]))
        true.append(renderer.truth.head_angles[:, 0, 0])
    yaw, expected = np.concatenate(found), np.concatenate(true)
    seen = np.isfinite(yaw) & (np.abs(expected) < 70)
    assert seen.sum() > 100
    assert np.ptp(expected[seen]) > 90
    assert np.abs(yaw[seen] - expected[seen]).mean() < 6
    assert np.corrcoef(yaw[seen], expected[seen])[0, 1] > 0.95
    assert np.isnan(face_yaw(np.full((1, 5, 2), np.nan, np.float32))).all()
