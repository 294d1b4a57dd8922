from __future__ import annotations

import numpy as np

from stableanimator.perception.person_boxes import in_picture, inside, only, visible

from ...half_outside import SIZE, half_outside, with_outside

NAN = np.nan


def test_a_picture_is_from_its_first_pixel_to_the_end_of_its_last() -> None:
    points = np.array([[0, 0], [19.9, 9.9], [20, 5], [5, 10], [-0.1, 5], [5, -3], [NAN, 5], [1e9, NAN]], np.float32)
    assert inside(points, (10, 20)).tolist() == [True, True, *[False] * 6]
    assert inside(points[:, None], (20, 10)).tolist() == [[True], [False], [False], [True], *[[False]] * 4]


def test_what_is_left_out_is_missing_and_the_rest_as_it_was() -> None:
    keypoints = np.array([[[3, 4, 0.2], [25, 4, 0.9]], [[5, 6, 0.7], [NAN, NAN, 0]]], np.float32)
    expected = np.array([[[3, 4, 0.2], [NAN, NAN, 0]], [[5, 6, 0.7], [NAN, NAN, 0]]], np.float32)
    before = keypoints.copy()
    np.testing.assert_array_equal(in_picture(keypoints, (10, 20)), expected)
    np.testing.assert_array_equal(keypoints, before)
    assert in_picture(keypoints, (10, 20)).dtype == np.float32
    np.testing.assert_array_equal(only(keypoints, visible(keypoints))[:, 0, 2], [0, np.float32(0.7)])


def test_of_somebody_half_outside_the_picture_shows_what_is_seen() -> None:
    _, truth = half_outside()
    for frame in range(len(truth.frames)):
        people = with_outside(truth, frame)
        legs = people[0, 13:17]
        assert (legs[:, 1] > SIZE[0]).all()
        assert visible(legs).all()
        np.testing.assert_array_equal(in_picture(people, SIZE), truth.scored_keypoints(frame))
