from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.measures.frames import Frame
from pipelines.measures.picture import Picture, PictureSettings, combs
from stableanimator.media.video import VideoReader, write_mp4


def _columns(frames: list[np.ndarray], fields: tuple[int, ...] = ()) -> dict[str, float]:
    """`fields`: which frames are said to be interlaced."""
    measure = Picture(PictureSettings())
    for number, image in enumerate(frames):
        measure.add(Frame(index=number, time=number / 8, image=image, interlaced=number in fields))
    return measure.columns()


def _bars(frames: list[np.ndarray]) -> float:
    return _columns(frames)["black_bars"]


def _woven(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Even lines of one picture, odd ones of the other."""
    woven = first.copy()
    woven[1::2] = second[1::2]
    return woven


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


def _passing(texture: np.ndarray, number: int) -> np.ndarray:
    """A checked curtain passes before a wall, 6 pixels a field."""
    picture = texture.copy()
    curtain = (np.arange(80) + 6 * number) // 10 % 2 * 160 + 40
    picture[20:100, 40:120] = curtain[None, :, None]
    return picture


def test_what_is_said_of_fields_is_told_by_the_frame(new_texture: Callable[..., np.ndarray]):
    frames = [new_texture(1, 60, 80)] * 4
    assert [_columns(frames, fields)["interlaced"] for fields in ((), (2,), (0, 1, 2, 3))] == [0, 0.25, 1]
    assert _columns(frames, (0, 1, 2, 3))["combing"] == 0  # both fields of one moment


@pytest.mark.parametrize("crf", [18, 30])
def test_woven_fields_show_where_something_moves(
    tmp_path: Path, new_texture: Callable[..., np.ndarray], crf: int
) -> None:
    fields = [_passing(new_texture(1, 120, 160), number) for number in range(25)]
    whole = fields[:12]
    woven = [_woven(*fields[2 * number : 2 * number + 2]) for number in range(12)]
    for frames, share in ((whole, 0.0), (woven, 1.0), (whole[:6] + woven[6:], 0.5)):
        assert _columns(frames)["combing"] == share
        write_mp4(tmp_path / "a.mp4", frames, 24, crf=crf)
        with VideoReader(tmp_path / "a.mp4") as video:
            assert _columns(list(video.read(range(12))))["combing"] == pytest.approx(share, abs=0.1)


def test_edges_stripes_and_noise_are_no_combs(new_texture: Callable[..., np.ndarray]):
    rows = np.arange(120)
    for picture in (
        np.broadcast_to((rows // 2 % 2 * 200).astype(np.uint8)[:, None, None], (120, 160, 3)),  # of two lines each
        np.broadcast_to((rows // 40 * 80).astype(np.uint8)[:, None, None], (120, 160, 3)),
        np.random.default_rng(0).normal(120, 6, (120, 160, 3)).clip(0, 255).astype(np.uint8),
        np.zeros((3, 8, 3), np.uint8),
    ):
        assert _columns([picture])["combing"] == 0
    assert combs(np.broadcast_to((rows % 2 * 200).astype(np.uint8)[:, None, None], (120, 160, 3)), 10) == 1


@pytest.mark.parametrize("wrong", [{"black": 255}, {"comb_step": 255}, {"comb_share": 0.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PictureSettings(**wrong)
