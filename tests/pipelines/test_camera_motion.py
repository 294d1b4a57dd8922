from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest

from pipelines.camera_motion import CameraMotion, CameraMotionSettings
from pipelines.frames import Frame
from stableanimator.perception.point_tracks import KltTracker

Texture = Callable[..., np.ndarray]
DIAGONAL = float(np.hypot(320, 200))
PERSON = (120, 40, 200, 200)  # x0, y0, x1, y1


def _columns(pictures: Iterable[np.ndarray], people: list[tuple[int, ...]] | None) -> dict[str, object]:
    settings = CameraMotionSettings()
    measure = CameraMotion(settings, lambda: KltTracker(settings.klt))
    for number, picture in enumerate(pictures):
        boxes = None if people is None else np.array(people, np.float32).reshape(-1, 4)
        measure.add(Frame(number, number / 8, np.ascontiguousarray(picture), people=boxes))
    return measure.columns()


def _with_person(background: np.ndarray, person: np.ndarray, number: int, speed: float) -> np.ndarray:
    """A textured rectangle in the person's box whose own texture moves."""
    x0, y0, x1, y1 = PERSON
    picture = background.copy()
    picture[y0:y1, x0:x1] = np.roll(person, round(speed * number), axis=1)[y0:y1, x0:x1]
    return picture


def test_a_pan_is_measured_in_diagonals_per_second(new_texture: Texture):
    world = new_texture(1, width=400)
    columns = _columns((world[:, 3 * n : 3 * n + 320] for n in range(12)), None)
    # 3 pixels a sample, 8 samples a second
    assert columns["camera_translation"] == pytest.approx(24 / DIAGONAL, rel=0.02)
    assert columns["camera_drift"] == pytest.approx(33 / DIAGONAL, rel=0.02)
    assert np.median(columns["step_dx"]) == pytest.approx(-3, abs=0.05)
    assert columns["camera_zoom"] < 0.005
    assert columns["subject_motion"] is None


def test_a_moving_person_in_front_of_a_still_background_is_no_camera_motion(new_texture: Texture):
    world, person = new_texture(1), new_texture(2)
    columns = _columns((_with_person(world, person, n, 4) for n in range(12)), [PERSON])
    assert columns["camera_translation"] < 1e-3
    assert columns["background_change"] < 0.05
    # 4 pixels a sample, 8 samples a second, a person of 160 pixels; less where a track is lost within the second
    assert columns["subject_motion"] == pytest.approx(32 / 160, rel=0.15)


def test_a_still_person_before_a_panning_camera_stands_out_as_still(new_texture: Texture):
    world = new_texture(1, width=400)
    columns = _columns((world[:, 3 * n : 3 * n + 320] for n in range(12)), [PERSON])
    assert columns["camera_translation"] == pytest.approx(24 / DIAGONAL, rel=0.02)
    assert columns["subject_motion"] < 0.01


def test_a_frozen_picture_has_no_motion_of_its_own(new_texture: Texture):
    noise = np.random.default_rng(0)
    still = new_texture(1)[None].astype(int) + noise.integers(-1, 2, (12, 200, 320, 3))
    columns = _columns(still.clip(0, 255).astype(np.uint8), [PERSON])
    assert columns["subject_motion"] < 0.001


def test_before_a_plain_wall_nothing_is_said_about_the_camera(new_texture: Texture):
    wall = np.full((200, 320, 3), 230, np.uint8) + np.random.default_rng(0).integers(
        0, 2, (200, 320, 3), dtype=np.uint8
    )
    columns = _columns((_with_person(wall, new_texture(2), n, 4) for n in range(12)), [PERSON])
    assert columns["background_seen"] == 0
    assert columns["camera_translation"] is None
    assert columns["background_change"] is None


def test_a_background_that_is_another_one_each_time_changes(new_texture: Texture):
    columns = _columns((new_texture(seed) for seed in range(8)), [])
    assert columns["background_change"] > 0.5
    assert columns["camera_translation"] is None


def test_one_frame_has_no_steps(new_texture: Texture):
    columns = _columns([new_texture(1)], [PERSON])
    assert columns["step_dx"] == []
    assert columns["camera_translation"] is None


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="motion_fps"):
        CameraMotionSettings(motion_fps=0)
