from __future__ import annotations

import numpy as np
import pytest

from stableanimator.synthetic.scene.camera import CAMERAS, Course, Framing, course, step_similarities

HEIGHT, WIDTH = 120, 200
TIMES = np.arange(60) / 20.0


def steps(path: Course) -> np.ndarray:
    return step_similarities(path.matrices(HEIGHT, WIDTH), HEIGHT, WIDTH)


def test_the_centre_of_the_view_is_the_centre_of_the_picture() -> None:
    path = Course(np.array([[0.3, -0.5]]), np.array([2.0]), np.array([30.0]))
    matrix = path.matrices(HEIGHT, WIDTH)[0]
    np.testing.assert_allclose(matrix @ [0.3, -0.5, 1], [WIDTH / 2, HEIGHT / 2])
    up = matrix[:, :2] @ [0, -1]  # one unit up is 60 pixels, turned clockwise by 30 degrees
    np.testing.assert_allclose(up, [60 * np.sin(np.radians(30)), -60 * np.cos(np.radians(30))])


def test_a_pan_moves_the_picture_against_the_camera() -> None:
    path = Course(np.array([[0.0, 0], [0.1, -0.05]]), np.array([2.0, 2.0]), np.zeros(2))
    np.testing.assert_allclose(steps(path)[0], [-6, 3, 0, 1], atol=1e-12)


def test_a_zoom_and_a_roll_are_about_the_centre() -> None:
    path = Course(np.full((2, 2), 0.7), np.array([2.0, 1.6]), np.array([0.0, 4.0]))
    np.testing.assert_allclose(steps(path)[0], [0, 0, 4, 1.25], atol=1e-9)


def test_each_kind_moves_as_its_name_says() -> None:
    moved = {kind: steps(course(kind, Framing(0, -0.5, 1.3), TIMES, 1.0, 3.0, seed=5)) for kind in CAMERAS}
    assert np.ptp(moved["static"], axis=0).max() == 0
    pan, zoom, roll, shake = (moved[kind] for kind in ("pan", "zoom", "roll", "shake"))
    np.testing.assert_allclose(pan[:, 2:], np.broadcast_to([0, 1], (59, 2)), atol=1e-9)
    np.testing.assert_allclose(pan, np.broadcast_to(pan[0], pan.shape), atol=1e-9)  # at constant speed
    assert np.abs(pan[:, 0]).min() > 0.5
    np.testing.assert_allclose(zoom[:, :3], 0, atol=1e-9)
    assert abs(np.log(zoom[:, 3]).sum()) == pytest.approx(np.abs(np.log(zoom[:, 3])).sum())
    np.testing.assert_allclose(roll[:, [0, 1, 3]], np.broadcast_to([0, 0, 1], (59, 3)), atol=1e-9)
    assert 16 / 3 / 20 <= np.abs(roll[:, 2]).min() <= 26 / 3 / 20
    assert np.abs(shake[:, :2].sum(0)).max() < np.abs(shake[:, :2]).sum(0).min() / 3  # to and fro


def test_an_unknown_camera_is_refused() -> None:
    with pytest.raises(ValueError, match="drone is no camera"):
        course("drone", Framing(0, 0, 1), TIMES, 1.0, 3.0, seed=0)
