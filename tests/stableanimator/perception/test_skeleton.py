"""Joints by their names, and pictures by their colours."""

from __future__ import annotations

import numpy as np
import pytest

from stableanimator.perception.settings import SkeletonStyle
from stableanimator.perception.skeleton import OPENPOSE_JOINTS, draw_skeleton, to_openpose18

COCO = [
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee"),
    *("left_ankle", "right_ankle"),
]
# OpenPose's documentation: keypoints of its COCO model, in order.
OPENPOSE = [
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear"),
]
# And the colours in which it draws them.
COLOURS = {
    "nose": (255, 0, 0),
    "neck": (255, 85, 0),
    "right_shoulder": (255, 170, 0),
    "right_elbow": (255, 255, 0),
    "right_wrist": (170, 255, 0),
    "left_shoulder": (85, 255, 0),
    "left_elbow": (0, 255, 0),
    "left_wrist": (0, 255, 85),
    "right_hip": (0, 255, 170),
    "right_knee": (0, 255, 255),
    "right_ankle": (0, 170, 255),
    "left_hip": (0, 85, 255),
    "left_knee": (0, 0, 255),
    "left_ankle": (85, 0, 255),
    "right_eye": (170, 0, 255),
    "left_eye": (255, 0, 255),
    "right_ear": (255, 0, 170),
    "left_ear": (255, 0, 85),
}
# Centres of pixels.
PLACES = {
    name: (x + 0.5, y + 0.5)
    for name, (x, y) in {
        "nose": (250, 90),
        "right_eye": (235, 75),
        "left_eye": (265, 75),
        "right_ear": (215, 85),
        "left_ear": (285, 85),
        "right_shoulder": (200, 150),
        "right_elbow": (160, 220),
        "right_wrist": (120, 280),
        "left_shoulder": (300, 150),
        "left_elbow": (340, 220),
        "left_wrist": (380, 280),
        "right_hip": (220, 300),
        "right_knee": (210, 390),
        "right_ankle": (200, 470),
        "left_hip": (280, 300),
        "left_knee": (290, 390),
        "left_ankle": (300, 470),
    }.items()
}
NECK = (250.5, 150.5)


def person(score: float = 1.0) -> np.ndarray:
    keypoints = np.full((133, 3), np.nan, np.float32)
    keypoints[:, 2] = 0
    for number, name in enumerate(COCO):
        keypoints[number] = (*PLACES[name], score)
    return keypoints


def test_the_18_joints_are_the_named_ones() -> None:
    assert list(OPENPOSE_JOINTS) == OPENPOSE
    joints = to_openpose18(person())
    for number, name in enumerate(OPENPOSE):
        assert tuple(joints[number, :2]) == (NECK if name == "neck" else PLACES[name]), name


def test_the_neck_is_as_sure_as_the_less_sure_shoulder() -> None:
    keypoints = np.stack([person(), person()])
    keypoints[0, COCO.index("left_shoulder"), 2] = 0.4
    keypoints[1, COCO.index("right_shoulder")] = (np.nan, np.nan, 0)
    joints = to_openpose18(keypoints)
    assert joints.shape == (2, 18, 3)
    assert joints[0, 1] == pytest.approx((*NECK, 0.4))
    assert np.isnan(joints[1, 1, :2]).all()
    assert joints[1, 1, 2] == 0


def colour_at(picture: np.ndarray, place: tuple[float, float]) -> np.ndarray:
    return picture[int(place[1]), int(place[0])].astype(int)


@pytest.mark.parametrize(("style", "size"), [("ours", 512), ("released", 2160)])
def test_joints_and_limbs_have_their_colours(style: SkeletonStyle, size: int) -> None:
    picture = draw_skeleton(person()[None], size, size, style)
    assert picture.shape == (size, size, 3)
    for name, colour in COLOURS.items():
        place = NECK if name == "neck" else PLACES[name]
        np.testing.assert_allclose(colour_at(picture, place), colour, atol=2, err_msg=name)
    limbs = {  # limbs are numbered from neck to right shoulder on, and dimmed to 0.6
        ("neck", "right_shoulder"): (255, 0, 0),
        ("neck", "left_shoulder"): (255, 85, 0),
        ("right_elbow", "right_wrist"): (255, 255, 0),
        ("left_elbow", "left_wrist"): (85, 255, 0),
        ("neck", "right_hip"): (0, 255, 0),
        ("left_knee", "left_ankle"): (0, 85, 255),
        ("neck", "nose"): (0, 0, 255),
    }
    for (start, end), colour in limbs.items():
        a, b = (np.array(NECK if name == "neck" else PLACES[name]) for name in (start, end))
        np.testing.assert_allclose(
            colour_at(picture, tuple((a + b) / 2)), np.array(colour) * 0.6, atol=12, err_msg=f"{start} {end}"
        )


def test_scores_fade_and_hide() -> None:
    faded = draw_skeleton(person(0.5)[None], 512, 512, "ours")
    np.testing.assert_allclose(colour_at(faded, PLACES["left_elbow"]), (0, 127, 0), atol=2)
    half = (np.array(PLACES["left_elbow"]) + PLACES["left_wrist"]) / 2
    np.testing.assert_allclose(colour_at(faded, tuple(half)), np.array([85, 255, 0]) * 0.25 * 0.6, atol=4)
    above = person(3.0)
    assert np.array_equal(draw_skeleton(above[None], 512, 512, "ours"), draw_skeleton(person()[None], 512, 512, "ours"))


@pytest.mark.parametrize("style", ["released", "ours"])
def test_who_is_missing_is_not_drawn(style: SkeletonStyle) -> None:
    assert not draw_skeleton(person(0.29)[None], 512, 512, style).any()
    assert not draw_skeleton(np.full((1, 133, 3), np.nan), 512, 512, style).any()
    assert not draw_skeleton(np.zeros((0, 133, 3)), 512, 512, style).any()


def test_the_released_neck_is_there_or_not() -> None:
    """DWPose/dwpose_utils/wholebody.py: its score is 1 where both shoulders have more than 0.3."""
    faint = person(0.5)
    np.testing.assert_allclose(colour_at(draw_skeleton(faint[None], 2160, 2160), NECK), (255, 85, 0), atol=2)
    ours = colour_at(draw_skeleton(faint[None], 512, 512, "ours"), NECK)
    np.testing.assert_allclose(ours, (127, 42, 0), atol=2)


def test_released_hands_and_faces_are_drawn_whatever_they_score() -> None:
    """DWPose/skeleton_extraction.py asks their points for a place within the picture, not for a score."""
    keypoints = np.zeros((1, 133, 3))
    keypoints[0, 23] = (300.5, 100.5, 0.2)
    keypoints[0, 91] = (100.5, 100.5, 0.2)
    picture = draw_skeleton(keypoints, 2160, 2160)
    np.testing.assert_allclose(colour_at(picture, (300, 100)), (51, 51, 51), atol=2)
    np.testing.assert_allclose(colour_at(picture, (100, 100)), (0, 0, 51), atol=2)
    assert not draw_skeleton(keypoints, 512, 512, "ours").any()
    keypoints[0, [23, 91], 0] = 0.2  # on its canvas this is column 0, which it takes for missing
    assert not draw_skeleton(keypoints, 2160, 2160).any()


@pytest.mark.parametrize("style", ["released", "ours"])
@pytest.mark.parametrize(
    ("joint", "place", "edge"),
    [
        ("left_ankle", (300.5, 600.5), (511, slice(290, 305))),
        ("right_wrist", (-60.5, 280.5), (slice(240, 270), 0)),
        ("left_wrist", (700.5, 240.5), (slice(225, 240), 511)),
        ("nose", (250.5, -90.5), (0, slice(245, 255))),
    ],
)
def test_a_limb_runs_to_the_edge_where_its_joint_lies_beyond(
    joint: str, place: tuple[float, float], edge: tuple[slice | int, slice | int], style: SkeletonStyle
) -> None:
    keypoints = person()
    assert not draw_skeleton(keypoints[None], 512, 512, style)[edge].any()
    keypoints[COCO.index(joint), :2] = place
    assert draw_skeleton(keypoints[None], 512, 512, style)[edge].max() > 60


def test_a_limb_needs_both_ends() -> None:
    keypoints = person()
    keypoints[COCO.index("left_wrist"), 2] = 0.1
    picture = draw_skeleton(keypoints[None], 512, 512, "ours")
    assert not picture[250:300, 350:400].any()
    assert colour_at(picture, PLACES["left_elbow"]).any()


def test_hands_and_faces_are_drawn() -> None:
    keypoints = np.zeros((1, 133, 3))
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    keypoints[0, 23:91] = np.stack([250.5 + 60 * np.cos(angle), 250.5 + 60 * np.sin(angle), np.ones(68)], -1)
    keypoints[0, 91] = (50.5, 50.5, 1)  # the left hand's root
    keypoints[0, 92:96] = [(100.5, 50.5 + 10 * step, 1) for step in range(4)]  # its thumb
    picture = draw_skeleton(keypoints, 512, 512, "ours")
    np.testing.assert_allclose(colour_at(picture, (310, 250)), (255, 255, 255), atol=2)
    np.testing.assert_allclose(colour_at(picture, (50, 50)), (0, 0, 255), atol=2)
    np.testing.assert_allclose(colour_at(picture, (75, 50)), (255, 0, 0), atol=60)  # a thin line
    assert colour_at(picture, (75, 50))[0] > 150
    assert not picture[400:].any()


def test_several_people_and_other_sizes() -> None:
    other = person()
    other[:, 0] += 500
    both = draw_skeleton(np.stack([person(), other]), 512, 1024, "ours")
    alone = draw_skeleton(person()[None], 512, 1024, "ours")
    assert np.array_equal(both[:, :450], alone[:, :450])
    np.testing.assert_allclose(colour_at(both, (PLACES["nose"][0] + 500, PLACES["nose"][1])), (255, 0, 0), atol=2)
    # A small picture shows the same, not less: its lines keep about two pixels.
    small = person()
    small[:, :2] /= 8
    picture = draw_skeleton(small[None], 64, 64, "ours")
    lit = [colour_at(picture, (x / 8, y / 8)).max() for x, y in PLACES.values()]
    assert min(lit) > 100
