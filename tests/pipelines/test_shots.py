from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenedetect import AdaptiveDetector
from scenedetect.common import FrameTimecode

from pipelines.shots import ShotSettings, bad_video_row, find_cuts, shot_rows
from stableanimator.video import VideoReader

Texture = Callable[..., np.ndarray]
FPS = 25.0


def _ball(world: np.ndarray, x: float, radius: int = 40) -> np.ndarray:
    return cv2.circle(world.copy(), (int(x), 100), radius, (230, 60, 60), -1)


def _moving(world: np.ndarray, count: int, speed: float = 0.25) -> list[np.ndarray]:
    return [_ball(world, 160 + 100 * np.sin(speed * number)) for number in range(count)]


def _cuts(frames: list[np.ndarray], **settings: float) -> list[int]:
    cuts, count = find_cuts(iter(frames), FPS, ShotSettings(**settings))
    assert count == len(frames)
    return cuts


def test_a_cut_is_the_first_frame_of_the_new_shot(new_texture: Texture):
    frames = _moving(new_texture(1), 30) + _moving(new_texture(2), 30)
    assert _cuts(frames) == [30]
    detector = AdaptiveDetector(min_scene_len=1)
    found = [cut for n, frame in enumerate(frames) for cut in detector.process_frame(FrameTimecode(n, FPS), frame)]
    assert [cut.frame_num for cut in found] == [30]


def test_a_cut_between_views_of_one_set_with_one_histogram_is_found(new_texture: Texture):
    world = new_texture(3)
    other_side = world[:, ::-1]
    assert _cuts(_moving(world, 30) + _moving(other_side, 30)) == [30]


def test_two_cuts_next_to_each_other_are_both_found(new_texture: Texture):
    frames = _moving(new_texture(1), 30) + _moving(new_texture(2), 4) + _moving(new_texture(4), 30)
    assert _cuts(frames) == [30, 34]


def test_cuts_at_the_first_and_last_frame_are_found(new_texture: Texture):
    frames = [new_texture(5), *_moving(new_texture(1), 30), new_texture(6)]
    assert _cuts(frames) == [1, 31]


@pytest.mark.parametrize("length", [1, 3, 6])
def test_a_flash_is_no_cut(new_texture: Texture, length: int):
    frames = _moving(new_texture(1), 60)
    for number in range(30, 30 + length):
        frames[number] = np.full_like(frames[0], 250)
    assert _cuts(frames) == []


def test_a_strobe_is_no_cut(new_texture: Texture):
    frames = _moving(new_texture(1), 60)
    for number in range(60):
        if number // 2 % 2:
            frames[number] = np.full_like(frames[0], 240)
    assert _cuts(frames) == []


def test_fast_dancing_is_no_cut(new_texture: Texture):
    assert _cuts([_ball(new_texture(1), 160 + 90 * np.sin(1.3 * n), 70) for n in range(60)]) == []


def test_pictures_held_for_three_frames_are_no_cuts(new_texture: Texture):
    assert _cuts([_ball(new_texture(1), 160 + 90 * np.sin(1.3 * (n // 3)), 70) for n in range(60)]) == []


def test_a_fast_movement_that_begins_in_the_last_frame_is_no_cut(new_texture: Texture):
    world = new_texture(1)
    shifts = [0] * 20 + [10, 25]
    assert _cuts([np.roll(world, shift, axis=1) for shift in shifts]) == []


@pytest.mark.parametrize("count", [0, 1, 2])
def test_very_short_videos_have_no_cut(new_texture: Texture, count: int):
    assert _cuts([new_texture(1)] * count) == []


@given(st.lists(st.integers(1, 99), max_size=5, unique=True))
def test_shots_cover_the_video_without_gap_or_overlap(cuts: list[int]):
    times = np.cumsum(np.linspace(0.01, 0.1, 100))
    rows = shot_rows("v", sorted(cuts), 100, 24.0, 64, 36, times)
    assert rows[0]["start"] == 0
    assert rows[-1]["end"] == 100
    assert all(one["end"] == two["start"] for one, two in itertools.pairwise(rows))
    assert sum(row["seconds"] for row in rows) == pytest.approx(times[-1] - times[0] + 1 / 24)
    assert [row["shot_id"] for row in rows] == [f"v:{row['start']}-{row['end']}" for row in rows]


def test_a_bad_video_is_one_row_with_its_reason():
    row = bad_video_row("v", "truncated", "nothing left")
    assert (row["shot_id"], row["start"], row["end"], row["error"]) == ("v:0-0", 0, 0, "truncated")


@pytest.mark.parametrize(
    "settings", [{"min_difference": 0}, {"ratio": 1}, {"window_s": 0}, {"flash_return": 1}, {"frames_per_read": 0}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, float]):
    with pytest.raises(ValueError, match=next(iter(settings))):
        ShotSettings(**settings)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "cuts"), [("moore_th1.mp4", [269]), ("dj_video1.mp4", [144, 237]), ("animatex_dance_1.mp4", [])]
)
def test_real_cuts(real_data: Path, name: str, cuts: list[int]):
    with VideoReader(real_data / "media" / "videos" / name) as video:
        frames = (frame for _, window in video.windows(range(video.info.frame_count), 32) for frame in window)
        assert find_cuts(frames, video.info.fps, ShotSettings())[0] == cuts
