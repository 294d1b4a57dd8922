"""Pictures as they are shown: the eight ways up, pixels that are not square, colours."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from stableanimator.media.video import VideoReader

Picture = np.ndarray
Shows = Callable[..., tuple[Picture, np.ndarray]]

COLOURS = np.array([[250, 30, 20], [20, 200, 40], [30, 40, 220], [240, 240, 240]], np.uint8)
"""Of the picture's quarters: upper left and right, lower left and right."""


def quarters(_: int, width: int, height: int) -> Picture:
    return COLOURS.reshape(2, 2, 3).repeat(height // 2, 0).repeat(width // 2, 1)


def seen(picture: Picture) -> Picture:
    """Colours [2, 2, 3] in the middle of the quarters."""
    height, width = picture.shape[:2]
    return picture[height // 4 :: height // 2, width // 4 :: width // 2][:2, :2].astype(int)


def first(path: Path) -> Picture:
    with VideoReader(path) as video:
        frame = video.read([0])[0]
        assert (video.info.height, video.info.width) == frame.shape[:2]
        return frame


TURNS = list(itertools.product((0, 90, 180, 270), (False, True), (False, True)))


@pytest.mark.parametrize(
    ("turn", "form"), [*((turn, "mp4") for turn in TURNS), *((turn, "mkv") for turn in TURNS[::5])]
)
def test_every_way_up(tmp_path: Path, films: Any, turn: tuple[int, bool, bool], form: str) -> None:
    degrees, leftright, upsidedown = turn
    path = films.encode(tmp_path / f"a.{form}", range(2), picture=quarters, size=(64, 32), turn=turn)
    expected = np.rot90(COLOURS.reshape(2, 2, 3).astype(int), degrees // 90)
    expected = expected[:, ::-1] if leftright else expected
    expected = expected[::-1] if upsidedown else expected
    frame = first(path)
    assert frame.shape == ((64, 32, 3) if degrees % 180 else (32, 64, 3))
    assert np.abs(seen(frame) - expected).max() < 12


@pytest.mark.parametrize("turn", TURNS)
def test_ffmpeg_turns_the_same(tmp_path: Path, films: Any, ffmpeg_shows: Shows, turn: tuple[int, bool, bool]) -> None:
    path = films.encode(tmp_path / "a.mp4", range(2), picture=quarters, size=(64, 32), turn=turn)
    pictures, _ = ffmpeg_shows(path)
    assert np.abs(first(path).astype(int) - pictures[0]).max() <= 1


def test_a_matrix_of_zeros_is_none(tmp_path: Path, films: Any) -> None:
    path = films.encode(tmp_path / "a.mp4", range(2), picture=quarters, turn=(90, False, False))
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40  # behind version, times, ids and volume (ISO/IEC 14496-12, 8.3.2)
    data[place : place + 36] = bytes(36)
    path.write_bytes(data)
    assert np.abs(seen(first(path)) - COLOURS.reshape(2, 2, 3)).max() < 12


SHAPES = {
    "4/3": 85,
    "8/9": 57,
    "16/15": 68,
    "64/45": 91,
    "3/4": 48,
    "32/11": 186,
    "1/1": 64,
    # nobody's pixels
    "100/1": 64,
    "1/100": 64,
}
"""Shape of a pixel, and how wide a picture of 64 is with square ones: to the nearest."""


@pytest.mark.parametrize("form", ["mp4", "mkv", "ts", "avi", "flv"])
@pytest.mark.parametrize("shape", SHAPES)
def test_pixels_become_square(tmp_path: Path, films: Any, shape: str, form: str) -> None:
    pixel = Fraction(shape)
    path = films.encode(tmp_path / f"a.{form}", range(24), picture=quarters, groups="forward", pixel_shape=pixel)
    frame = first(path)
    assert frame.shape == (48, SHAPES[shape], 3)
    assert np.abs(seen(frame) - COLOURS.reshape(2, 2, 3)).max() < 12


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_pixels_are_made_square_before_the_picture_is_turned(
    tmp_path: Path, films: Any, request: pytest.FixtureRequest, degrees: int
) -> None:
    options = {"picture": quarters, "turn": (degrees, True, False), "pixel_shape": Fraction(4, 3)}
    frame = first(films.encode(tmp_path / "a.mp4", range(2), **options))
    assert frame.shape == ((85, 48, 3) if degrees % 180 else (48, 85, 3))
    expected = np.rot90(COLOURS.reshape(2, 2, 3).astype(int), degrees // 90)[:, ::-1]
    assert np.abs(seen(frame) - expected).max() < 12


@pytest.mark.parametrize("form", ["mp4", "mkv", "ts"])
def test_ffmpeg_stretches_the_same(tmp_path: Path, films: Any, ffmpeg_shows: Shows, form: str) -> None:
    path = films.encode(tmp_path / f"a.{form}", range(24), pixel_shape=Fraction(4, 3))
    pictures, _ = ffmpeg_shows(path, "round(iw*sar):ih")
    assert np.abs(first(path).astype(int) - pictures[0]).max() <= 1


def test_what_the_container_says_of_pixels_comes_before_what_the_stream_says(tmp_path: Path, films: Any) -> None:
    path = films.encode(tmp_path / "a.mp4", range(2), pixel_shape=Fraction(4, 3))
    data = bytearray(path.read_bytes())
    place = data.index(b"pasp") + 4
    data[place : place + 8] = (16).to_bytes(4, "big") + (15).to_bytes(4, "big")
    path.write_bytes(data)
    assert first(path).shape == (48, 68, 3)
    data[place - 4 : place] = b"free"  # now only the stream speaks
    path.write_bytes(data)
    assert first(path).shape == (48, 85, 3)


SAID = {
    "BT.709": (Colorspace.ITU709, 1),
    "BT.601": (Colorspace.ITU601, 6),
    "BT.2020": (Colorspace.BT2020, 9),
    "nothing": (Colorspace.ITU601, 2),
}
"""Matrix with which a picture was made, and its number of ITU-T H.273."""


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv420p10le", "yuv444p"])
@pytest.mark.parametrize("limits", [ColorRange.MPEG, ColorRange.JPEG])
@pytest.mark.parametrize("said", SAID)
def test_colours_come_back(tmp_path: Path, said: str, limits: ColorRange, pixels: str) -> None:
    path, (matrix, number) = tmp_path / "a.mp4", SAID[said]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        stream.codec_context.colorspace, stream.codec_context.color_range = number, limits
        frame = av.VideoFrame.from_ndarray(quarters(0, 64, 48), format="rgb24")
        frame = frame.reformat(format=pixels, dst_colorspace=matrix, dst_color_range=limits)
        frame.colorspace, frame.color_range = number, limits
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert np.abs(seen(first(path)) - COLOURS.reshape(2, 2, 3)).max() <= 4


SEE_THROUGH = {
    "a.mov": ("qtrle", "argb"),
    "b.mov": ("prores_ks", "yuva444p10le"),
    "a.webm": ("libvpx-vp9", "yuva420p"),
    "a.gif": ("gif", "bgr8"),
}


@pytest.mark.parametrize("name", SEE_THROUGH)
def test_what_is_transparent_shows_its_colour(tmp_path: Path, ffmpeg_shows: Shows, name: str) -> None:
    path, (codec, pixels) = tmp_path / name, SEE_THROUGH[name]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for index in range(3):
            picture = np.dstack([quarters(0, 64, 48), np.full((48, 64), 100 * index, np.uint8)])
            frame = av.VideoFrame.from_ndarray(picture, format="rgba").reformat(format=pixels)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    pictures, _ = ffmpeg_shows(path)
    with VideoReader(path) as video:
        frames = video.read(range(video.info.frame_count)).astype(int)
    assert frames.shape == pictures.shape
    assert np.abs(frames - pictures).max() <= 1
