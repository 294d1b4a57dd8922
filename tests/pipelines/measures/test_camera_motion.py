from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.measures.camera_motion import CameraMotion, CameraMotionSettings, identity, tracker_maker
from pipelines.measures.frames import Frame
from stableanimator.errors import WeightsError
from stableanimator.perception.point_tracks import KltTracker
from stableanimator.perception.settings import CoTrackerMode, CoTrackerSettings, KltSettings, SeedSettings
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import draw_clip

from ...half_outside import half_outside, with_outside

Texture = Callable[..., np.ndarray]
DIAGONAL = float(np.hypot(320, 200))
PERSON = (120, 40, 200, 200)  # x0, y0, x1, y1


def _columns(
    pictures: Iterable[np.ndarray],
    people: list[tuple[int, ...]] | None,
    settings: CameraMotionSettings | None = None,
    new_tracker: Callable[[], KltTracker] | None = None,
) -> dict[str, object]:
    settings = settings or CameraMotionSettings()
    measure = CameraMotion(settings, new_tracker or tracker_maker(settings, "cpu"))
    for number, picture in enumerate(pictures):
        boxes = None if people is None else np.array(people, np.float32).reshape(-1, 4)
        measure.add(Frame(number, number / 8, np.ascontiguousarray(picture), people=boxes))
    return measure.columns()


def _with_person(background: np.ndarray, person: np.ndarray, number: int, speed: float) -> np.ndarray:
    """A textured rectangle in the person's box; the texture of its upper third moves."""
    x0, y0, x1, y1 = PERSON
    picture = background.copy()
    picture[y0:y1, x0:x1] = person[y0:y1, x0:x1]
    arms = y0 + (y1 - y0) // 3
    picture[y0:arms, x0:x1] = np.roll(person, round(speed * number), axis=1)[y0:arms, x0:x1]
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


@pytest.mark.parametrize("kind", ["dance", "pan", "zoom", "roll", "shake"])
def test_the_steps_of_a_drawn_camera_are_those_it_was_drawn_by(kind: str):
    clip = write_clip(kind, 7)
    pictures, truth = draw_clip(clip, np.arange(0, 36, 3))
    settings = CameraMotionSettings()
    measure = CameraMotion(settings, tracker_maker(settings, "cpu"))
    for number, (picture, boxes) in enumerate(zip(pictures, truth.person_boxes, strict=True)):
        keypoints = truth.scored_keypoints(number)
        measure.add(Frame(number, number * 0.12, picture, people=boxes[:1], keypoints=keypoints[:1]))
    columns = measure.columns()
    dx, dy, rotation, scale = truth.camera_steps().T
    shift = np.hypot(columns["step_dx"] - dx, columns["step_dy"] - dy) / np.hypot(256, 256)
    assert np.median(shift) < 0.002
    assert np.median(np.abs(columns["step_rotation"] - rotation)) < 0.1
    assert np.median(np.abs(columns["step_scale"] / scale - 1)) < 0.002


@pytest.mark.parametrize("kind", ["gesture", "talk"])
def test_joints_outside_the_picture_cover_none_of_it(kind: str):
    """What is below the picture leaves the person's outline, and so the background, as it is without."""
    pictures, truth = half_outside(kind, 12)
    settings, columns = CameraMotionSettings(), []
    for keypoints_of in (truth.scored_keypoints, partial(with_outside, truth)):
        measure = CameraMotion(settings, tracker_maker(settings, "cpu"))
        for number, (picture, boxes) in enumerate(zip(pictures, truth.person_boxes, strict=True)):
            keypoints = keypoints_of(number)[:1]
            measure.add(Frame(number, number * 0.12, picture, people=boxes[:1], keypoints=keypoints))
        columns.append(repr(measure.columns()))
    assert columns[0] == columns[1]


class _Slow(KltTracker):
    """Wants five frames at a time."""

    wanted = 5


@pytest.mark.parametrize("count", [1, 4, 5, 6, 12])
def test_samples_that_wait_for_the_tracker_change_nothing(new_texture: Texture, count: int):
    world, person = new_texture(1, width=400), new_texture(2)
    pictures = [_with_person(world[:, 2 * n : 2 * n + 320], person, n, 4) for n in range(count)]
    assert repr(_columns(pictures, [PERSON])) == repr(_columns(pictures, [PERSON], new_tracker=_Slow))


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="motion_fps"):
        CameraMotionSettings(motion_fps=0)
    with pytest.raises(ValueError, match=r"cotracker\.checkpoint"):
        CameraMotionSettings(tracker="cotracker")


def test_the_tracker_is_the_one_named(tmp_path: Path):
    cotracker = CoTrackerSettings(checkpoint=str(tmp_path / "scaled_online.pth"))
    assert isinstance(tracker_maker(CameraMotionSettings(cotracker=cotracker), "cpu")(), KltTracker)
    with pytest.raises(WeightsError, match=r"scaled_online\.pth is missing"):
        tracker_maker(CameraMotionSettings(cotracker=cotracker, tracker="cotracker"), "cpu")


def test_columns_depend_on_the_tracker_that_is_used_and_not_on_where_its_weights_lie():
    here = CameraMotionSettings(tracker="cotracker", cotracker=CoTrackerSettings(checkpoint="/here.pth"))
    there = replace(here, cotracker=CoTrackerSettings(checkpoint="/there.pth"), klt=KltSettings(levels=2))
    assert identity(here) == identity(there)
    more = replace(here, cotracker=CoTrackerSettings(checkpoint="/here.pth", iterations=4))
    klt = CameraMotionSettings()
    assert len({repr(identity(one)) for one in (here, more, klt, replace(klt, klt=KltSettings(levels=2)))}) == 4
    assert identity(klt) == identity(replace(here, tracker="klt"))


@pytest.mark.parametrize(("mode", "trained"), [("online", 16), ("offline", 60)])
def test_cotracker_gives_the_same_columns(tmp_path: Path, new_texture: Texture, mode: CoTrackerMode, trained: int):
    """The package's own network with random weights: what it says is nothing, but it says it everywhere."""
    pytest.importorskip("cotracker", reason="needs the package cotracker: pip install '.[cotracker]'")
    from cotracker.models.build_cotracker import build_cotracker

    network = build_cotracker(checkpoint=None, offline=mode == "offline", window_len=trained)
    torch.save(network.state_dict(), tmp_path / "random.pth")
    cotracker = CoTrackerSettings(
        checkpoint=str(tmp_path / "random.pth"),
        mode=mode,
        resolution=(64, 96),
        iterations=1,
        min_visibility=0.0,
        seeds=SeedSettings(max_points=60, min_distance=5),
    )
    pictures = [new_texture(1)] * 18
    columns = _columns(pictures, [PERSON], CameraMotionSettings(tracker="cotracker", cotracker=cotracker))
    like_klt = _columns(pictures, [PERSON])
    assert {name: type(value) for name, value in columns.items()} == {
        name: type(value) for name, value in like_klt.items()
    }
    assert len(columns["step_dx"]) == 17
    assert columns["background_seen"] == 1
