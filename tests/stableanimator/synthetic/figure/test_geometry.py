from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from stableanimator.synthetic.figure.geometry import View, capsule, circle, offset, ribbon, rotation, smooth, thickness


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_rotations_are_those_of_scipy(axis: str) -> None:
    degrees = np.array([-170.0, -35, 0, 20, 90])
    expected = Rotation.from_euler(axis, degrees[:, None], degrees=True).as_matrix()
    np.testing.assert_allclose(rotation(axis, degrees), expected, atol=1e-12)


@pytest.mark.parametrize("clockwise", [True, False])
def test_an_offset_square_is_a_larger_square(clockwise: bool) -> None:
    square = np.array([[0.0, 0], [4, 0], [4, 4], [0, 4]])[:: 1 if clockwise else -1]
    reach = 1 / np.sqrt(2)  # corners move along their diagonal
    expected = {(-reach, -reach), (4 + reach, -reach), (4 + reach, 4 + reach), (-reach, 4 + reach)}
    assert {(round(x, 9), round(y, 9)) for x, y in offset(square, 1.0)} == {
        (round(x, 9), round(y, 9)) for x, y in expected
    }


def test_thickness_is_the_width_of_a_strip_and_the_radius_of_a_disc() -> None:
    strip = np.array([[0.0, 0], [1000, 0], [1000, 6], [0, 6]])
    assert thickness(strip) == pytest.approx(6, rel=0.01)
    ones = np.ones(1)
    assert thickness(circle(np.zeros((1, 2)), 3 * ones, 300))[0] == pytest.approx(3, rel=1e-3)


def test_a_capsule_has_the_area_of_a_rectangle_and_a_disc() -> None:
    one = np.ones(1)
    outline = capsule(np.array([[1.0, 1]]), np.array([[4.0, 5]]), 0.5 * one, 0.5 * one, arc=200)[0]
    assert cv2.contourArea(outline.astype(np.float32)) == pytest.approx(5 * 1 + np.pi * 0.25, rel=1e-3)


def test_a_ribbon_is_as_wide_as_asked() -> None:
    line = np.stack([np.linspace(0, 10, 5), np.zeros(5)], -1)[None]
    edges = ribbon(line, np.full(5, 0.25))[0]
    np.testing.assert_allclose(sorted(set(np.round(edges[:, 1], 9))), [-0.25, 0.25])


def test_a_smooth_curve_goes_through_its_points() -> None:
    points = np.array([[[0.0, 0], [1, 2], [2, -1], [3, 0.5]]])
    np.testing.assert_allclose(smooth(points, 10)[0, ::3], points[0], atol=1e-12)


def test_what_is_nearer_is_larger_and_the_ground_stays() -> None:
    view = View(np.array([[0.3, -0.1]]), np.array([0.5]))
    points = np.array([[[0.0, 0, 0], [1, -1, 0], [1, -1, 3]]])
    placed = view.project(points)[0]
    np.testing.assert_allclose(placed[:2], [[0.3, -0.1], [0.8, -0.6]])
    np.testing.assert_allclose(placed[2], [0.3 + 1.0, -0.1 - 1.0])  # half the distance of 6: twice as large
