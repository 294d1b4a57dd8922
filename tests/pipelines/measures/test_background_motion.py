from __future__ import annotations

import numpy as np
import pytest

from pipelines.measures.background_motion import ConsensusSettings, Step, step_motion, summarise

SIZE = (300, 400)  # height, width: a diagonal of 500
SETTINGS = ConsensusSettings()


def _grid(count: int = 10) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(20, 380, count), np.linspace(20, 280, count))
    return np.stack([x.ravel(), y.ravel()], -1)


def _moved(points: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    """About the picture's centre, with complex numbers."""
    centre = 200 + 150j
    turned = ((points[:, 0] + 1j * points[:, 1]) - centre) * scale * np.exp(1j * np.radians(degrees))
    result = turned + centre + complex(*shift)
    return np.stack([result.real, result.imag], -1)


def _step(before: np.ndarray, after: np.ndarray, **options: object) -> Step:
    return step_motion(before, after, SIZE, 0.125, SETTINGS, **options)


@pytest.mark.parametrize(
    ("degrees", "scale", "shift"),
    [(0, 1, (0, 0)), (0, 1, (5, -3)), (2, 1, (0, 0)), (0, 1.05, (0, 0)), (-3, 0.97, (8, 2))],
)
def test_the_common_motion_is_found_among_a_third_of_outliers(degrees: float, scale: float, shift: tuple[float, float]):
    before = _grid()
    after = _moved(before, degrees, scale, shift)
    wrong = np.random.default_rng(0).permutation(100)[:33]
    after[wrong] += np.random.default_rng(1).uniform(10, 40, (33, 2))
    step = _step(before, after)
    assert step.dx * 500 == pytest.approx(shift[0], abs=0.05)
    assert step.dy * 500 == pytest.approx(shift[1], abs=0.05)
    assert step.rotation == pytest.approx(degrees, abs=0.02)
    assert step.scale == pytest.approx(scale, abs=5e-4)
    assert step.inliers == pytest.approx(0.67, abs=0.02)


def test_too_few_points_or_points_in_one_corner_tell_nothing():
    assert np.isnan(_step(_grid()[:11], _grid()[:11]).inliers)
    corner = 20 + np.random.default_rng(0).uniform(0, 60, (40, 2))
    assert np.isnan(_step(corner, corner).inliers)


def test_points_without_a_common_motion_are_a_changing_background():
    before = _grid()
    step = _step(before, np.random.default_rng(0).permutation(before))
    assert not step.known
    assert step.inliers < 0.2


def test_lost_points_count_as_not_agreeing():
    before = _grid()
    after = np.full_like(before, np.nan)
    after[::5] = before[::5]
    step = _step(before, after)
    assert not step.known
    assert step.inliers == pytest.approx(0.2)


def test_disagreement_of_points_that_may_lie_on_people_says_nothing():
    before = _grid()
    after = np.random.default_rng(0).permutation(before)
    assert np.isnan(_step(before, after, doubtful=np.ones(100, bool)).inliers)
    assert _step(before, before, doubtful=np.ones(100, bool)).inliers == 1


def test_points_that_may_lie_on_people_are_asked_only_where_there_are_too_few_others():
    """Hair that flies outnumbers a wall with a few marks: the wall is still. With too few marks nothing is known."""
    before, hair = _grid(), np.ones(100, bool)
    hair[::5] = False
    after = np.random.default_rng(0).permutation(before)
    after[~hair] = before[~hair]
    step = _step(before, after, doubtful=hair)
    assert (step.dx, step.dy, step.inliers) == (pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-6), 1)
    hair[25:] = True
    assert np.isnan(_step(before, after, doubtful=hair).inliers)


def _steps(count: int, **values: float) -> list[Step]:
    return [Step(**{"seconds": 0.125, "dx": 0, "dy": 0, "rotation": 0, "scale": 1, "inliers": 0.9, **values})] * count


def test_a_still_camera_has_no_motion():
    columns = summarise(_steps(16), SIZE)
    moving = ("camera_translation", "camera_rotation", "camera_zoom", "camera_drift")
    assert [columns[name] for name in moving] == [0, 0, 0, 0]
    assert columns["background_change"] == pytest.approx(0.1)
    assert columns["background_seen"] == 1


def test_a_pan_moves_and_drifts():
    columns = summarise(_steps(16, dx=0.003, dy=0.004), SIZE)
    assert columns["camera_translation"] == pytest.approx(0.005 * 8)
    assert columns["camera_drift"] == pytest.approx(0.005 * 16)
    assert columns["camera_zoom"] == 0


def test_a_shaking_hand_moves_but_does_not_drift():
    columns = summarise([*_steps(1, dx=0.005), *_steps(1, dx=-0.005)] * 8, SIZE)
    assert columns["camera_translation"] == pytest.approx(0.04)
    assert columns["camera_drift"] == pytest.approx(0.005)


def test_a_zoom_and_a_roll_are_net_rates_over_a_second():
    columns = summarise(_steps(16, scale=1.01, rotation=0.5), SIZE)
    assert columns["camera_zoom"] == pytest.approx(8 * np.log(1.01))
    assert columns["camera_rotation"] == pytest.approx(4)
    wobble = [*_steps(1, scale=1.01, rotation=1), *_steps(1, scale=1 / 1.01, rotation=-1)] * 8
    columns = summarise(wobble, SIZE)
    assert columns["camera_zoom"] == pytest.approx(0, abs=1e-12)
    assert columns["camera_rotation"] == 0


def test_a_zoom_drifts_by_what_the_corners_move():
    columns = summarise(_steps(1, scale=1.1), SIZE)
    assert columns["camera_drift"] == pytest.approx(0.8 * 0.05)  # four corners at half a diagonal, and the centre


def test_a_short_jolt_does_not_make_a_moving_camera():
    assert summarise([*_steps(14), *_steps(2, dx=0.1)], SIZE)["camera_translation"] == 0


def test_an_unseen_background_is_null_and_said_so():
    columns = summarise([*_steps(4), *[Step(0.125)] * 12], SIZE)
    assert columns["background_seen"] == 0.25
    assert columns["camera_translation"] is None
    assert columns["background_change"] is None


def test_a_background_in_turmoil_is_seen_but_has_no_camera():
    columns = summarise([Step(0.125, inliers=0.2)] * 16, SIZE)
    assert columns["background_change"] == pytest.approx(0.8)
    assert columns["camera_translation"] is None


def test_a_shot_of_one_frame_has_no_steps():
    assert summarise([], SIZE)["background_seen"] is None


@pytest.mark.parametrize("settings", [{"min_points": 2}, {"min_spread": 0}, {"min_agreement": 1}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]):
    with pytest.raises(ValueError, match=next(iter(settings))):
        ConsensusSettings(**settings)
