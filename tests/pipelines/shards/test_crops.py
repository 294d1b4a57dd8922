from __future__ import annotations

import numpy as np
import pytest

from pipelines.shards.crops import crop_framing, half_body_box, person_box, same_cut
from pipelines.shards.settings import Crop
from stableanimator.errors import PersonError, RowError
from stableanimator.media.framing import Framing

Points = dict[int, tuple[float, float]]


def _person(points: Points) -> np.ndarray:
    """[133, 3] with these points alone."""
    pose = np.full((133, 3), np.nan, np.float32)
    pose[:, 2] = 0
    for joint, place in points.items():
        pose[joint] = (*place, 0.9)
    return pose


# Upright: eyes at 40, shoulders at 60, hips at 100, ankles at 180; about x = 300.
UPRIGHT: Points = {
    1: (303, 40), 2: (297, 40), 5: (315, 60), 6: (285, 60),
    11: (308, 100), 12: (292, 100), 15: (308, 180), 16: (292, 180),
}  # fmt: skip


def _clip(points: Points, shifts: list[float]) -> np.ndarray:
    return np.stack([_person({j: (x + shift, y) for j, (x, y) in points.items()}) for shift in shifts])


def test_the_box_of_a_person_holds_the_joints_of_the_whole_clip_but_for_rare_mistakes() -> None:
    main = _clip(UPRIGHT, [-50.0] * 30 + [0.0] * 40 + [20.0] * 30)
    assert person_box(main) == pytest.approx((235, 40, 335, 180))
    main[7, 16] = (2, 390, 0.9)  # one ankle of a hundred frames in a corner
    main[8, 100] = (2, 390, 0.9)  # fingers do not count
    main[9] = _person({})
    assert person_box(main) == pytest.approx((235, 40, 335, 180))
    with pytest.raises(PersonError, match="no_person"):
        person_box(main[9:10])


def test_a_half_body_goes_from_above_the_head_to_below_the_hips() -> None:
    # From shoulders to hips 40: the head ends 0.63 x 40 above the shoulders, and the margin is 0.2 x 40.
    x0, y0, x1, y1 = half_body_box(_clip(UPRIGHT, [0.0] * 5))
    assert (x0, y0, x1, y1) == pytest.approx((285 - 8, 60 - 25.2 - 8, 315 + 8, 100 + 8))
    # A large head: the chin at 58 is 18 below the eyes, so the crown is 18 above them, at 22.
    assert half_body_box(_clip(UPRIGHT | {31: (300, 58)}, [0.0]))[1] == pytest.approx(22 - 8)


@pytest.mark.parametrize("missing", [5, 6, 11, 12])
def test_a_half_body_needs_shoulders_and_hips_in_half_of_the_frames(missing: int) -> None:
    without = {joint: place for joint, place in UPRIGHT.items() if joint != missing}
    half = np.concatenate([_clip(UPRIGHT, [0.0] * 2), _clip(without, [0.0] * 2)])
    assert half_body_box(half)[3] == pytest.approx(108)
    with pytest.raises(PersonError, match=r"no_half_body: 2 of 5 frames"):
        half_body_box(np.concatenate([half, _clip(without, [0.0])]))


def test_the_person_is_as_central_as_the_picture_allows() -> None:
    source, sizes = (200, 400), ((100, 100),)
    centre = crop_framing("centre", source, _clip(UPRIGHT, [0.0]), sizes, 2.0)
    person = crop_framing("person", source, _clip(UPRIGHT, [0.0]), sizes, 2.0)
    assert (person.scaled, centre.left, person.left) == ((100, 200), 50, 100)  # 300 / 2 - 50
    assert person.keypoints(_person(UPRIGHT))[[5, 6], 0].mean() == 50
    at_the_edge = crop_framing("person", source, _clip(UPRIGHT, [80.0]), sizes, 2.0)
    assert (at_the_edge.left, at_the_edge.top) == (100, 0)  # 140 would leave the picture


@pytest.mark.parametrize("crop", ["person", "half_body"])
def test_what_lies_outside_the_picture_moves_no_cut(crop: Crop) -> None:
    source, sizes = (200, 400), ((100, 100),)
    strayed = UPRIGHT | {0: (300, -300), 3: (-90, 38), 9: (500, 60), 15: (308, 1000), 31: (300, 250)}
    expected = crop_framing(crop, source, _clip({k: v for k, v in UPRIGHT.items() if k != 15}, [0.0]), sizes, 2.0)
    assert crop_framing(crop, source, _clip(strayed, [0.0]), sizes, 2.0) == expected


def test_hips_below_the_picture_make_no_half_body() -> None:
    with pytest.raises(PersonError, match="no_half_body: 0 of 1 frames"):
        crop_framing("half_body", (99, 400), _clip(UPRIGHT, [0.0]), ((100, 100),), 2.0)


def test_a_half_body_is_larger_inside_the_picture_and_not_stretched() -> None:
    framing = crop_framing("half_body", (200, 400), _clip(UPRIGHT, [0.0] * 3), ((100, 100),), 2.0)
    # The box is 46 wide and 81.2 high, so a square of 81.2 fills 100 pixels.
    assert framing.enlargement == pytest.approx(100 / 81.2, abs=0.01)
    assert abs(framing.scaled[1] - 2 * framing.scaled[0]) <= 1  # whole pixels
    moved = framing.boxes(np.array([277, 26.8, 323, 108], np.float32))
    np.testing.assert_allclose(moved[[1, 3]], [0, 100], atol=1)
    assert moved[[0, 2]].mean() == pytest.approx(50, abs=1)


def test_a_half_body_that_is_hardly_closer_is_left_out() -> None:
    walks = _clip(UPRIGHT, [-250.0, -100.0, 0.0, 50.0])
    with pytest.raises(PersonError, match=r"not_closer: .* 1\.00 times"):
        crop_framing("half_body", (200, 400), walks, ((100, 100),), 2.0)


def test_too_much_enlargement_leads_to_the_next_bucket_or_to_a_reason() -> None:
    portrait, sizes = (320, 180), ((512, 288), (256, 256), (128, 512))
    nobody: list[np.ndarray] = []
    assert crop_framing("centre", portrait, nobody, sizes, 1.6).size == (512, 288)  # exactly 1.6 times
    assert crop_framing("centre", portrait, nobody, sizes, 1.5).size == (256, 256)  # 1.42, and half of the picture
    with pytest.raises(RowError, match=r"too_small: 180x320 .* enlarged 1\.42 times for 256x256, .* 1\.4"):
        crop_framing("centre", portrait, nobody, sizes, 1.4)  # 128x512 would leave a strip


def test_cuts_a_sixteenth_apart_are_two() -> None:
    one = Framing((200, 400), (100, 200), (100, 100), 0, 50)
    assert same_cut(one, Framing((200, 400), (100, 200), (100, 100), 0, 56))
    assert not same_cut(one, Framing((200, 400), (100, 200), (100, 100), 0, 57))
    assert not same_cut(one, Framing((200, 400), (110, 220), (100, 100), 0, 50))


def test_a_half_body_of_the_nearest_bucket_asks_nothing_of_the_others() -> None:
    """The person moves sideways: a square holds all of it closer, a portrait is as high as the picture then."""
    walks = _clip({j: (3 * x - 500, 3 * y) for j, (x, y) in UPRIGHT.items()}, [0.0, 100.0, 200.0, 350.0])
    alone = crop_framing("half_body", (1000, 1000), walks, ((512, 512),), 2.0)
    assert crop_framing("half_body", (1000, 1000), walks, ((512, 512), (1024, 576)), 2.0) == alone
    with pytest.raises(PersonError, match="not_closer"):
        crop_framing("half_body", (1000, 1000), walks, ((1024, 576),), 2.0)
