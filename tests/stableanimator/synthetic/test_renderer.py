from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import ClipRenderer, draw_clip
from stableanimator.synthetic.script import Clip, ClipSettings, Role
from stableanimator.synthetic.truth import HIDDEN, OUTSIDE, SEEN, Truth

SMALL = ClipSettings(width=160, height=128)
BODY = slice(0, 23)


def without_people(clip: Clip) -> Clip:
    return replace(clip, shots=tuple(replace(shot, roles=()) for shot in clip.shots))


def before_camera(camera: str, seed: int = 3) -> Clip:
    """An empty set of many details before a camera of a kind."""
    clip = write_clip("dance", seed, ClipSettings(width=256, height=192))
    shot = replace(clip.shots[0], camera=camera, roles=(), set=replace(clip.shots[0].set, name="library"))
    return replace(clip, shots=(shot,))


def people_only(clip: Clip, frames: list[int]) -> tuple[np.ndarray, np.ndarray, Truth]:
    """Frames with their people, where people change them, and the truth."""
    pictures, truth = draw_clip(clip, frames)
    backgrounds, _ = draw_clip(without_people(clip), frames)
    changed = np.abs(pictures.astype(int) - backgrounds).max(-1) > 12
    return pictures, changed, truth


def test_a_stature_is_the_height_of_who_stands_upright() -> None:
    clip = write_clip("dance", 8, ClipSettings(width=256, height=256))
    upright = replace(clip.shots[0], roles=(Role(0, "statue"),))
    clip = replace(clip, shots=(upright,))
    _, truth = draw_clip(clip, [0])
    _, top, _, bottom = truth.person_boxes[0, 0]
    assert 0.9 < (bottom - top) / truth.statures[0, 0] < 1.15
    near = replace(upright, view=replace(upright.view, height=upright.view.height / 3))
    _, cropped = draw_clip(replace(clip, shots=(near,)), [0])
    assert cropped.statures[0, 0] == pytest.approx(3 * truth.statures[0, 0], rel=1e-5)
    small = replace(upright, roles=(replace(upright.roles[0], scale=0.5),))
    _, half = draw_clip(replace(clip, shots=(small,)), [0])
    assert half.statures[0, 0] == pytest.approx(0.5 * truth.statures[0, 0], rel=1e-5)


def test_the_same_script_gives_the_same_pixels_and_truth() -> None:
    first, second = (draw_clip(write_clip("cut_sets", 5, SMALL), np.arange(0, 120, 20)) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    for name in ("keypoints", "visibility", "face_boxes", "identities", "camera", "person_pixels"):
        np.testing.assert_array_equal(getattr(first[1], name), getattr(second[1], name))
    other, _ = draw_clip(write_clip("cut_sets", 6, SMALL), np.arange(0, 120, 20))
    assert np.abs(first[0].astype(int) - other).mean() > 10


def test_some_frames_are_those_of_the_whole_clip() -> None:
    clip = write_clip("flash", 2, ClipSettings(width=64, height=64, min_seconds=1, max_seconds=1))
    whole, truth = draw_clip(clip)
    some, part = draw_clip(clip, [3, 8, 21])
    np.testing.assert_array_equal(some, whole[[3, 8, 21]])
    np.testing.assert_array_equal(part.keypoints, truth.keypoints[[3, 8, 21]])
    np.testing.assert_array_equal(part.flash, truth.flash[[3, 8, 21]])


@pytest.mark.parametrize("frames", [[], [3, 3], [5, 2], [-1, 4], [10**6]])
def test_frames_that_are_not_there_are_refused(frames: list[int]) -> None:
    with pytest.raises(ValueError, match="frames must be ascending numbers from 0 to"):
        ClipRenderer(write_clip("dance", 1, SMALL), frames)


def test_before_a_camera_that_stays_the_background_stays_to_the_last_bit() -> None:
    clip = write_clip("dance", 4, SMALL)
    pictures, truth = draw_clip(clip, [0, 13, 30, 61])
    background, _ = draw_clip(without_people(clip), [0])
    assert np.ptp(truth.camera, axis=0).max() == 0
    for picture, box in zip(pictures, truth.person_boxes[:, 0], strict=True):
        outside = np.ones(picture.shape[:2], bool)
        x0, y0, x1, y1 = (int(side) for side in box)
        shadow = SMALL.height // 12  # beside the feet and below them
        outside[max(y0 - 3, 0) : y1 + 3, max(x0 - 3, 0) : x1 + 3] = False
        outside[y1 - shadow : y1 + shadow, max(x0 - 40, 0) : x1 + 40] = False
        assert outside.mean() > 0.3
        np.testing.assert_array_equal(picture[outside], background[0][outside])


def test_a_pan_moves_the_background_by_the_true_amount() -> None:
    pictures, truth = draw_clip(before_camera("pan"), np.arange(0, 40, 8))
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64) for picture in pictures]
    window = cv2.createHanningWindow((256, 192), cv2.CV_64F)
    for before, after, step in zip(grey[:-1], grey[1:], truth.camera_steps(), strict=True):
        (dx, dy), response = cv2.phaseCorrelate(before, after, window)
        assert response > 0.5
        np.testing.assert_allclose([dx, dy], step[:2], atol=0.15)
        assert np.hypot(*step[:2]) > 2


@pytest.mark.parametrize("camera", ["pan", "zoom", "roll", "shake"])
def test_the_true_camera_takes_one_background_to_the_next(camera: str) -> None:
    """Points that are followed from one frame to the other end where the truth says."""
    pictures, truth = draw_clip(before_camera(camera), [10, 14])
    before, after = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures)
    corners = cv2.goodFeaturesToTrack(before, 200, 0.02, 6)
    found, status, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None, winSize=(15, 15), maxLevel=3)
    kept = status[:, 0] == 1
    places, ends = (
        points[kept, 0].astype(np.float64) + 0.5 for points in (corners, found)
    )  # OpenCV counts from centres
    first, second = (np.vstack([matrix, [0, 0, 1]]) for matrix in truth.camera)
    between = second @ np.linalg.inv(first)
    expected = places @ between[:2, :2].T + between[:2, 2]
    error = np.linalg.norm(ends - expected, axis=-1)
    assert len(error) > 80
    assert np.median(error) < 0.12
    assert np.linalg.norm(ends - places, axis=-1).mean() > 5 * np.median(error)


@pytest.mark.parametrize("kind", ["dance", "gesture", "talk", "walk", "turn_away"])
def test_seen_keypoints_lie_on_the_person(kind: str) -> None:
    frames = [2, 25, 44, 60]
    _, changed, truth = people_only(write_clip(kind, 8, ClipSettings(width=192, height=192)), frames)
    for row, drawn in enumerate(changed):
        near = cv2.dilate(drawn.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0  # the jaw runs along the edge
        seen = truth.visibility[row, 0] == SEEN
        x, y = truth.keypoints[row, 0][seen].astype(int).T
        assert near[y, x].mean() > 0.995
        assert seen[BODY].sum() >= 5


@pytest.mark.parametrize("kind", ["dance", "wave", "walk"])
def test_the_box_of_a_person_is_where_pixels_change(kind: str) -> None:
    _, changed, truth = people_only(write_clip(kind, 9, ClipSettings(width=192, height=192)), [5, 40])
    for drawn, box in zip(changed, truth.person_boxes[:, 0], strict=True):
        rows = np.flatnonzero(drawn[:, int(box[0]) : int(np.ceil(box[2]))].any(1))
        upper = drawn[: int(box[1] + 0.8 * (box[3] - box[1]))]  # above the shadow on the ground
        columns = np.flatnonzero(upper.any(0))
        assert box[1] == pytest.approx(rows[0], abs=2.5)
        assert box[0] <= columns[0] + 2.5
        assert box[2] >= columns[-1] - 1.5


def painted(kind: str, **colours: tuple[int, int, int]) -> Clip:
    """A clip whose person has some colours that nothing else in it has."""
    clip = write_clip(kind, 3, ClipSettings(width=384, height=384, supersample=1))
    shot = replace(clip.shots[0], set=replace(clip.shots[0].set, name="brick"))
    traits = {name: colour for name, colour in colours.items() if name != "shoes"}
    actor = replace(clip.cast[0], traits=replace(clip.cast[0].traits, glasses="none", beard="none", **traits))
    if "shoes" in colours:
        actor = replace(actor, outfit=replace(actor.outfit, shoes=colours["shoes"], legs="trousers"))
    return replace(clip, cast=(actor,), shots=(shot,))


def greenest(picture: np.ndarray) -> tuple[np.ndarray, int]:
    """Mean place of pure green pixels, and how many there are."""
    red, green, blue = picture.astype(int).transpose(2, 0, 1)
    y, x = np.nonzero((green > 2.2 * red) & (green > 2.2 * blue) & (green > 60))
    return np.array([x.mean() + 0.5, y.mean() + 0.5]), len(x)


def test_green_lips_are_where_the_mouth_is_said_to_be() -> None:
    pictures, truth = draw_clip(painted("talk", lip_colour=(0, 255, 0)), [4, 30, 66])
    for row, picture in enumerate(pictures):
        place, count = greenest(picture)
        lips = cv2.convexHull(truth.keypoints[row, 0, 23 + 48 : 23 + 60])
        moments = cv2.moments(lips)
        middle = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
        assert count > 100
        np.testing.assert_allclose(
            place, middle, atol=3.0
        )  # the upper lip is drawn darker, so fewer pixels of it count
        assert np.ptp(truth.face_landmarks[row, 0, 3:, 0]) > 20


def test_green_eyes_are_where_the_eyes_are_said_to_be() -> None:
    pictures, truth = draw_clip(painted("talk", iris=(0, 255, 0)), [0])
    place, count = greenest(pictures[0])
    assert count > 60
    # both irises together: between the eyes, moved by the gaze at most
    np.testing.assert_allclose(place, truth.face_landmarks[0, 0, :2].mean(0), atol=6)


def test_green_shoes_are_where_the_feet_are_said_to_be() -> None:
    pictures, truth = draw_clip(painted("dance", shoes=(0, 255, 0)), [3, 50])
    for row, picture in enumerate(pictures):
        place, count = greenest(picture)
        feet = truth.keypoints[row, 0, 15:23]  # ankles, toes, heels
        assert count > 50
        assert (feet.min(0) - 5 < place).all()
        assert (place < feet.max(0) + 8).all()


def test_keypoints_are_in_dwposes_order() -> None:
    _, truth = draw_clip(write_clip("walk", 4, ClipSettings(width=256, height=256)), [30])
    points = truth.keypoints[0, 0]
    for left, right in ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (23 + 45, 23 + 36), (91, 112)):
        assert points[left, 0] > points[right, 0]  # a person's left is on the right of the picture
    levels = points[[0, 5, 7, 11, 13, 15], 1]  # nose, shoulder, elbow, hip, knee, ankle
    assert (np.diff(levels) > 0).all()
    np.testing.assert_array_equal(points[91], points[9])  # the root of each hand is its wrist
    np.testing.assert_array_equal(points[112], points[10])
    np.testing.assert_array_equal(points[0], points[23 + 30])  # the tip of the nose
    height = np.ptp(points[:, 1])
    for ankle, toes in ((15, slice(17, 20)), (16, slice(20, 23))):
        assert np.linalg.norm(points[toes] - points[ankle], axis=-1).max() < 0.12 * height
    for wrist, hand in ((9, slice(91, 112)), (10, slice(112, 133))):
        assert np.linalg.norm(points[hand] - points[wrist], axis=-1).max() < 0.12 * height


def test_who_turns_away_has_no_face_any_more() -> None:
    clip = write_clip("turn_away", 3, SMALL)
    _, truth = draw_clip(clip, [0, 3, 50, 70])
    assert np.isfinite(truth.face_boxes[:2]).all()
    assert np.isnan(truth.face_boxes[2:]).all()
    assert np.isnan(truth.face_landmarks[2:]).all()
    assert (truth.visibility[:2, 0, 0] == SEEN).all()
    assert (truth.visibility[2:, 0, :3] == HIDDEN).all()  # nose and eyes
    assert np.abs(truth.head_angles[:2, 0, 0]).max() < 45 < 120 < np.abs(truth.head_angles[2:, 0, 0]).min()


def test_what_lies_outside_the_picture_is_outside() -> None:
    _, truth = draw_clip(write_clip("talk", 3, SMALL), [10])
    inside = ((truth.keypoints >= 0) & (truth.keypoints < (SMALL.width, SMALL.height))).all(-1)
    np.testing.assert_array_equal(truth.visibility > OUTSIDE, inside)
    assert (truth.visibility[0, 0, 11:23] == OUTSIDE).all()  # hips, legs and feet of a close-up
    assert (truth.visibility[0, 0, 5:7] == SEEN).all()  # shoulders


def test_who_stands_behind_somebody_is_hidden() -> None:
    clip = write_clip("pair", 2, SMALL)
    shot = clip.shots[0]
    front, back = (role.person for role in shot.roles)
    apart = (Role(front, "idle", x=-0.4, y=0.04), Role(back, "idle", x=0.4))
    hidden = (Role(front, "idle", y=0.04, scale=1.8), Role(back, "idle"))
    _, alone = draw_clip(replace(clip, shots=(replace(shot, roles=apart),)), [0])
    _, behind = draw_clip(replace(clip, shots=(replace(shot, roles=hidden),)), [0])
    assert (alone.visibility[0, back, BODY] == SEEN).sum() >= 15
    assert (behind.visibility[0, back, :13] == HIDDEN).all()  # from head to hips: there, and covered
    assert behind.person_pixels[0, back] < 0.35 * alone.person_pixels[0, back]
    assert np.isnan(behind.face_boxes[0, back]).all()


def test_visible_pixels_of_a_person_are_those_that_change() -> None:
    clip = write_clip("wave", 6, SMALL)
    _, changed, truth = people_only(clip, [12])
    inside = cv2.erode(changed[0].astype(np.uint8), np.ones((3, 3), np.uint8))  # without the outline
    assert inside.sum() < truth.person_pixels[0, 0] < changed.sum()


def test_flashes_whiten_the_picture_by_the_stated_share() -> None:
    clip = write_clip("flash", 4, SMALL)
    frame, share = clip.flashes[0]
    white, truth = draw_clip(clip, [frame])
    plain, _ = draw_clip(replace(clip, flashes=()), [frame])
    assert truth.flash[0] == pytest.approx(share)
    np.testing.assert_allclose(white[0], plain[0] + share * (255.0 - plain[0]), atol=1)


def test_statues_are_grey_and_not_alive() -> None:
    pictures, truth = draw_clip(write_clip("statue", 5, SMALL), [0, 40])
    assert not truth.alive[0]
    assert np.isfinite(truth.face_boxes).all()
    np.testing.assert_array_equal(pictures[0], pictures[1])
    x0, y0, x1, y1 = (int(side) for side in truth.face_boxes[0, 0])
    face = pictures[0, y0:y1, x0:x1].astype(int)
    assert np.median(np.ptp(face, axis=-1)) < 12


def test_a_cut_inside_a_set_keeps_the_set() -> None:
    clip = write_clip("cut_inside", 7, SMALL)
    cut = clip.shots[1].start
    _, truth = draw_clip(clip, [cut - 2, cut - 1, cut, cut + 1])
    np.testing.assert_array_equal(truth.cuts, [cut])
    np.testing.assert_array_equal(truth.sets, [0, 0, 0, 0])
    np.testing.assert_array_equal(np.isnan(truth.camera_steps()).all(-1), [False, True, False])
    _, other = draw_clip(write_clip("cut_sets", 7, SMALL), [0, 120])
    np.testing.assert_array_equal(other.sets, [0, 1])
    # each of the two people is in one shot only
    assert np.isfinite(other.keypoints[0, 0]).all()
    assert np.isnan(other.keypoints[0, 1]).all()
    assert (other.visibility[0, 1] == OUTSIDE).all()


@pytest.mark.parametrize("size", [(64, 64), (90, 160), (320, 128), (33, 47)])
def test_any_size_on_request(size: tuple[int, int]) -> None:
    pictures, truth = draw_clip(write_clip("gesture", 3, ClipSettings(width=size[0], height=size[1])), [20])
    assert pictures.shape == (1, size[1], size[0], 3)
    assert truth.visibility[0, 0, 0] == SEEN  # the nose is in every picture
