from __future__ import annotations

import math

import numpy as np
import pytest

from stableanimator.synthetic.scores import (
    Tally,
    area_under_curve,
    camera_errors,
    identity_pairs,
    joint_errors,
    landmark_errors,
    match_boxes,
    overlaps,
    tally_boxes,
    tally_cuts,
    total,
)


def test_a_tally_knows_its_shares() -> None:
    tally = total([Tally(3, 1, 0), Tally(3, 0, 2)])
    assert (tally.precision, tally.recall, tally.true) == (6 / 8, 6 / 7, 7)
    assert math.isnan(Tally(0, 2, 0).precision)
    assert math.isnan(Tally(0, 0, 2).recall)


def test_boxes_overlap_by_shared_over_joint_area() -> None:
    first = np.array([[0, 0, 4, 4], [10, 10, 12, 12]])
    second = np.array([[2, 0, 6, 4], [0, 0, 4, 4], [3.5, 20, 5, 30]])
    np.testing.assert_allclose(overlaps(first, second), [[8 / 24, 1, 0], [0, 0, 0]])


def test_the_best_overlap_is_matched_first() -> None:
    true = np.array([[0, 0, 10, 10], [2, 0, 12, 10]])
    found = np.array([[2, 0, 12, 10], [40, 40, 50, 50]])
    assert match_boxes(true, found) == [(1, 0)]  # it overlaps the other one by 8 / 12 too
    assert tally_boxes(true, found) == Tally(1, 1, 1)
    assert tally_boxes(true, found, np.array([True, False])) == Tally(1, 0, 1)
    assert tally_boxes(true, found, np.array([False, True])) == Tally(0, 1, 1)
    assert tally_boxes(np.zeros((0, 4)), found) == Tally(0, 0, 2)
    assert tally_boxes(true, np.zeros((0, 4))) == Tally(0, 2, 0)


def test_a_found_cut_stands_for_one_true_cut() -> None:
    assert tally_cuts([10, 50], [11, 49, 80]) == Tally(2, 0, 1)
    assert tally_cuts([10, 13], [12]) == Tally(1, 1, 0)
    assert tally_cuts([], [3]) == Tally(0, 0, 1)


def test_landmarks_are_measured_by_the_eyes() -> None:
    true = np.array([[10, 10], [14, 13], [12, 15], [10, 20], [14, 20]], float)  # the eyes are 5 apart
    np.testing.assert_allclose(landmark_errors(true, true + np.array([3, 4])), 1)


def test_a_joint_that_is_not_sure_is_not_found() -> None:
    true = np.array([[10, 10], [20, 20], [30, 30]], float)
    found = np.array([[13, 14, 0.9], [20, 20, 0.29], [np.nan, np.nan, 0]])
    np.testing.assert_allclose(joint_errors(true, found, stature=100, visible=0.3), [0.05, np.inf, np.inf])


def test_camera_steps_are_compared_about_the_centre() -> None:
    angle, scale = np.radians(3), 1.02
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([40, 30])
    before = np.array([[5.0, 0, 7], [0, 5.0, 9]])
    shift = turn @ (before[:, 2] - middle) + middle + (3, 4)  # about the centre, then 3 right and 4 down
    after = np.column_stack([turn @ before[:, :2], shift])
    errors = camera_errors(np.stack([before, after]), np.array([[3, 4, 3, 1.02]]), height=60, width=80)
    np.testing.assert_allclose(errors, 0, atol=1e-9)
    errors = camera_errors(np.stack([before, after]), np.array([[0, 0, 1, 1.0]]), height=60, width=80)
    np.testing.assert_allclose(errors, [[0.05, 1 - 1 / 1.02, 2]])


def test_area_under_curve_counts_pairs_in_order() -> None:
    assert area_under_curve(np.array([0.9, 0.8]), np.array([0.1, 0.2, 0.3])) == 1
    assert area_under_curve(np.array([0.5]), np.array([0.5])) == 0.5
    generator = np.random.default_rng(1)
    same, different = generator.integers(0, 20, 30), generator.integers(-5, 15, 40)
    counted = np.mean([(one > other) + 0.5 * (one == other) for one in same for other in different])
    assert area_under_curve(same, different) == pytest.approx(counted)
    with pytest.raises(ValueError, match="both kinds"):
        area_under_curve(same, different[:0])


def test_pairs_within_a_clip_are_left_out() -> None:
    embeddings = np.eye(4)[[0, 1, 2, 3]] * 1.0
    embeddings[1] = embeddings[0]
    same, different = identity_pairs(embeddings, np.array([7, 7, 7, 8]), np.array([0, 1, 1, 2]))
    np.testing.assert_allclose(sorted(same), [0, 1])  # (0, 1) and (0, 2); (1, 2) is one clip
    longer = identity_pairs(embeddings * [[20], [3], [20], [1]], np.array([7, 7, 7, 8]), np.array([0, 1, 1, 2]))
    np.testing.assert_allclose(longer[0], same)
    assert len(different) == 3
