from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.measures.frames import Frame
from pipelines.measures.picture import Picture, PictureSettings
from stableanimator.media.video import VideoReader, write_mp4


def _bars(frames: list[np.ndarray]) -> float:
    measure = Picture(PictureSettings())
    for number, image in enumerate(frames):
        measure.add(Frame(index=number, time=number / 8, image=image))
    return measure.columns()["black_bars"]


def _boxed(picture: np.ndarray, top: int = 0, bottom: int = 0, left: int = 0, right: int = 0) -> np.ndarray:
    return np.pad(picture, ((top, bottom), (left, right), (0, 0)))


def test_bars_on_all_sides_count(new_texture: Callable[..., np.ndarray]):
    picture = new_texture(1, 60, 80)
    assert _bars([picture]) == 0
    assert _bars([_boxed(picture, top=10, bottom=30)]) == pytest.approx(40 / 100)
    assert _bars([_boxed(picture, left=20)]) == pytest.approx(20 / 100)
    # what is left is 60 x 80 of 100 x 100
    assert _bars([_boxed(picture, top=10, bottom=30, left=15, right=5)]) == pytest.approx(1 - 0.6 * 0.8)


def test_a_bar_is_black_in_every_frame(new_texture: Callable[..., np.ndarray]):
    boxed = _boxed(new_texture(1, 60, 80), top=40)
    titled = boxed.copy()
    titled[10:14, 30:50] = 200
    assert _bars([boxed] * 3) == pytest.approx(0.4)
    assert _bars([boxed, titled, boxed]) == pytest.approx(0.1)
    assert _bars([np.zeros((10, 10, 3), np.uint8)] * 2) == 1
    assert _bars([np.zeros((10, 10, 3), np.uint8), new_texture(1, 10, 10)]) == 0


def test_dark_places_inside_the_picture_are_no_bars(new_texture: Callable[..., np.ndarray]):
    picture = new_texture(1, 60, 80)
    picture[20:40] = 0
    assert _bars([picture]) == 0


@pytest.mark.parametrize("crf", [18, 35])
def test_bars_are_still_black_behind_a_codec(tmp_path: Path, new_texture: Callable[..., np.ndarray], crf: int):
    frames = [_boxed(np.roll(new_texture(1, 120, 160), 5 * number, 1), left=80, right=80) for number in range(12)]
    write_mp4(tmp_path / "a.mp4", frames, 24, crf=crf)
    with VideoReader(tmp_path / "a.mp4") as video:
        assert _bars(list(video.read(range(12)))) == pytest.approx(0.5, abs=0.02)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="black"):
        PictureSettings(black=255)
