from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenedetect import AdaptiveDetector
from scenedetect.common import FrameTimecode

from pipelines.measures.shots import CutFinder, ShotSettings, bad_video_row, find_cuts, shot_rows
from stableanimator.media.video import VideoReader

Texture = Callable[..., np.ndarray]
FPS = 25.0


def _ball(world: np.ndarray, x: float, radius: int = 40) -> np.ndarray:
    return cv2.circle(world.copy(), (int(x), 100), radius, (230, 60, 60), -1)


def _moving(world: np.ndarray, count: int, speed: float = 0.25) -> list[np.ndarray]:
    return [_ball(world, 160 + 100 * np.sin(speed * number)) for number in range(count)]


def _cuts(frames: list[np.ndarray]) -> list[int]:
    cuts, count = find_cuts(iter(frames), FPS, ShotSettings())
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


def _cuts_of_all_frames(frames: list[np.ndarray], reach: int, rule: ShotSettings) -> list[int]:
    """The rule of pipelines.measures.shots, word by word, on the differences between all frames."""
    small = [cv2.resize(frame, (64, 36), interpolation=cv2.INTER_AREA) for frame in frames]
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(float) for frame in small])
    apart = np.abs(grey[:, None] - grey[None]).mean((2, 3))
    cuts = []
    for now in range(1, len(frames)):
        step = apart[now, now - 1]
        before = [apart[t, t - 1] for t in range(max(1, now - reach), now)]
        after = [apart[t, t - 1] for t in range(now + 1, min(len(frames), now + reach + 1))]
        around = sorted([0.0, *before, *after])
        ordinary = around[-2] if len(before) == len(after) == reach else around[-1]
        starts = [apart[now - 1, b] for b in range(now + 1, min(len(frames), now + reach + 1))]
        ends = [apart[a, now] for a in range(max(0, now - 1 - reach), now - 1)]
        back = min([np.inf, *starts, *ends])
        if step >= rule.min_difference and step >= rule.ratio * ordinary and back >= step / 2:
            cuts.append(now)
    return cuts


@settings(max_examples=60)
@given(
    levels=st.lists(st.sampled_from([20, 24, 60, 64, 120, 200, 204]), min_size=1, max_size=40),
    fps=st.sampled_from([5.0, 12.0, 25.0]),
)
def test_cuts_are_certain_as_soon_as_they_can_be(levels: list[int], fps: float):
    frames = [np.full((8, 8, 3), level, np.uint8) for level in levels]
    reach = max(2, round(0.25 * fps))
    expected = _cuts_of_all_frames(frames, reach, ShotSettings())
    finder = CutFinder(fps, ShotSettings())
    for number, frame in enumerate(frames):
        cuts = finder.add(frame)
        certain = number + 1 - reach
        assert finder.certain == max(0, certain)
        assert cuts == [cut for cut in expected if cut == certain - 1]
        recent = range(max(1, certain), number + 1)
        assert finder.in_doubt == any(abs(levels[t] - levels[t - 1]) >= 8 for t in recent)
    assert finder.finish() == [cut for cut in expected if cut >= len(frames) - reach]
    assert finder.count == len(frames)


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


@pytest.mark.parametrize("values", [{"min_difference": 0}, {"ratio": 1}, {"window_s": 0}, {"flash_return": 1}])
def test_settings_out_of_range_are_refused(values: dict[str, float]):
    with pytest.raises(ValueError, match=next(iter(values))):
        ShotSettings(**values)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "cuts"), [("moore_th1.mp4", [269]), ("dj_video1.mp4", [144, 237]), ("animatex_dance_1.mp4", [])]
)
def test_real_cuts(real_data: Path, name: str, cuts: list[int]):
    with VideoReader(real_data / "media" / "videos" / name) as video:
        frames = (frame for _, frame in video.frames(range(video.info.frame_count)))
        assert find_cuts(frames, video.info.fps, ShotSettings())[0] == cuts
