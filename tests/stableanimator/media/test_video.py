"""Every frame at its own index and time, whatever the container; bad files as named errors; pictures and mp4s out."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from stableanimator.errors import DecodeError, DecodeTimeout
from stableanimator.media.video import VideoReader, write_lossless, write_mp4

FRAMES = 60


def numbered(index: int, height: int = 96, width: int = 128) -> np.ndarray:
    """A frame that shows its own number in binary, as bright and dark blocks."""
    frame = np.full((height, width, 3), 30, np.uint8)
    for bit in range(7):
        if index >> bit & 1:
            frame[10:40, 4 + bit * 15 : 16 + bit * 15] = 230
    return frame


def number_of(frame: np.ndarray) -> int:
    blocks = [frame[15:35, 6 + bit * 15 : 14 + bit * 15].mean() > 128 for bit in range(7)]
    return sum(1 << bit for bit, bright in enumerate(blocks) if bright)


def encode(
    path: Path,
    *,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    rotation: float | None = None,
    milliseconds: Callable[[int], int] = lambda index: index * 40,
) -> Path:
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: Any = container.add_stream("libx264", rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for index in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(numbered(index), format="rgb24")
            frame.pts, frame.time_base = milliseconds(index), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


OPEN_GROUPS = {"x264-params": "open-gop=1:bframes=3:keyint=12:min-keyint=12:scenecut=0"}
CONTAINERS: dict[str, dict[str, Any]] = {
    "closed.mp4": {"options": {"x264-params": "bframes=3:keyint=12:scenecut=0"}},
    "open.mp4": {"options": OPEN_GROUPS},
    "open.mkv": {"options": OPEN_GROUPS},
    "reordered.avi": {},
    "stream.ts": {"options": OPEN_GROUPS},
    "fragmented.mp4": {"options": {"g": "12"}, "container_options": {"movflags": "frag_keyframe+empty_moov"}},
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_frame_has_its_index_and_time(tmp_path: Path, name: str) -> None:
    path = encode(tmp_path / name, **CONTAINERS[name])
    with VideoReader(path) as video:
        assert video.info.frame_count == FRAMES
        assert (video.info.width, video.info.height, video.info.truncated) == (128, 96, False)
        assert video.info.fps == pytest.approx(25)
        np.testing.assert_allclose(video.info.times, np.arange(FRAMES) / 25, atol=1e-6)
        assert [number_of(frame) for frame in video.read(range(FRAMES))] == list(range(FRAMES))
    with VideoReader(path) as video:
        assert [number_of(frame) for frame in video.read(range(0, FRAMES, 7))] == list(range(0, FRAMES, 7))
    jumps = random.Random(0).choices(range(FRAMES), k=25)
    with VideoReader(path) as video:
        assert [number_of(video.read([index])[0]) for index in jumps] == jumps
        assert [number_of(frame) for frame in video.read(jumps)] == jumps


def test_windows_cover_the_indices_and_no_more(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4")
    with VideoReader(path) as video:
        windows = list(video.windows(range(0, FRAMES, 2), 8))
        assert [len(frames) for _, frames in windows] == [8, 8, 8, 6]
        for indices, frames in windows:
            assert [number_of(frame) for frame in frames] == indices.tolist()
        with pytest.raises(ValueError, match="windows of 0 frames"):
            list(video.windows([0], 0))


def test_frames_come_one_by_one_and_a_new_reading_ends_the_one_before(tmp_path: Path) -> None:
    with VideoReader(encode(tmp_path / "a.mp4")) as video:
        first = video.frames(range(FRAMES))
        assert [(index, number_of(frame)) for index, frame in itertools.islice(first, 3)] == [(0, 0), (1, 1), (2, 2)]
        backwards = [40, 7, 7, 0]
        assert [(index, number_of(frame)) for index, frame in video.frames(backwards)] == [(i, i) for i in backwards]
        assert list(first) == []
        last = video.frames(range(FRAMES))
        next(last)
    assert list(last) == []  # closed in the middle of a reading


@pytest.mark.parametrize("fields", ["interlaced=1:tff=1", "fake-interlaced=1", "keyint=12"])
def test_frames_that_are_two_fields_are_marked_when_they_are_read(tmp_path: Path, fields: str) -> None:
    path = encode(tmp_path / "a.mp4", options={"x264-params": fields})
    with VideoReader(path) as video:
        assert not video.interlaced.any()
        video.read([3, 17])
        assert np.flatnonzero(video.interlaced).tolist() == ([3, 17] if fields.startswith("interlaced") else [])


@pytest.mark.usefixtures("hanging_files")
def test_a_reader_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4")
    with pytest.raises(DecodeTimeout, match=r"a\.mp4: nothing came within 0\.1 s"):
        VideoReader(path, timeout_s=0.1)


def test_indices_outside_the_video_are_refused(tmp_path: Path) -> None:
    with VideoReader(encode(tmp_path / "a.mp4")) as video:
        assert video.read([]).shape == (0, 96, 128, 3)
        for index in (-1, FRAMES):
            with pytest.raises(IndexError, match="60 frames"):
                video.read([index])


@pytest.mark.parametrize("name", ["a.mp4", "open.mp4"])
@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotated_videos_come_upright(tmp_path: Path, name: str, rotation: int) -> None:
    path = encode(tmp_path / name, rotation=rotation, options=OPEN_GROUPS if name == "open.mp4" else None)
    capture = cv2.VideoCapture(str(path))  # turns frames upright by itself
    expected = capture.read()[1][..., ::-1]
    with VideoReader(path) as video:
        frame = video.read([0])[0]
        assert frame.shape == expected.shape == (video.info.height, video.info.width, 3)
    assert np.abs(frame.astype(int) - expected).mean() < 2


def test_variable_frame_rates_keep_their_times(tmp_path: Path) -> None:
    def stamps(index: int) -> int:
        return index * 40 if index < 30 else 1200 + (index - 30) * 100

    path = encode(tmp_path / "variable.mp4", milliseconds=stamps)
    with VideoReader(path) as video:
        expected = np.array([stamps(index) for index in range(FRAMES)]) / 1000
        np.testing.assert_allclose(video.info.times, expected, atol=1e-3)
        assert video.info.fps == pytest.approx((FRAMES - 1) / expected[-1])


def test_a_missing_tail_is_noticed_and_the_rest_kept(tmp_path: Path) -> None:
    whole = encode(tmp_path / "whole.mp4", container_options={"movflags": "faststart"})
    short = tmp_path / "short.mp4"
    short.write_bytes(whole.read_bytes()[: whole.stat().st_size * 7 // 10])
    with VideoReader(short) as video:
        assert video.info.truncated
        assert 10 < video.info.frame_count < FRAMES
        # The last frames may lack those between them; each kept one is shown at its true time.
        frames = video.read(range(video.info.frame_count))
        assert [number_of(frame) for frame in frames] == np.round(video.info.times * 25).astype(int).tolist()


def test_a_missing_tail_shows_in_matroska_and_avi(tmp_path: Path) -> None:
    for name in ("a.mkv", "a.avi"):
        whole = encode(tmp_path / name)
        whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        with VideoReader(whole) as video:
            assert video.info.truncated
            assert number_of(video.read([5])[0]) == 5


def test_holes_of_an_unfinished_download_are_noticed(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", container_options={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        last = [packet for packet in container.demux(video=0) if packet.size][-15:]
        for packet in last:
            data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    with VideoReader(path) as video:
        assert video.info.truncated
        assert video.info.frame_count == FRAMES - 15
        assert len(video.read(range(FRAMES - 15))) == FRAMES - 15


def test_a_damaged_frame_is_named_not_replaced(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", container_options={"movflags": "faststart"}, options={"bf": "0", "g": "10"})
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        damaged = packets[25]
        data[damaged.pos + 4 : damaged.pos + damaged.size] = b"\xff" * (damaged.size - 4)
    path.write_bytes(data)
    with VideoReader(path) as video, pytest.raises(DecodeError, match="undecodable_frame: frame 25"):
        video.read(range(FRAMES))


def audio_only(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 44100
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))


def cut_before_index(path: Path) -> None:
    path.write_bytes(encode(path).read_bytes()[:2000])


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "not_found"),
    "empty": (lambda path: path.touch(), "empty_file"),
    "html": (lambda path: path.write_text("<!DOCTYPE html><html><body>404</body></html>" * 99), "unreadable"),
    "noise": (lambda path: path.write_bytes(np.random.default_rng(0).bytes(9999)), "unreadable"),
    "playlist": (lambda path: path.write_text("#EXTM3U\n#EXTINF:1,\n/etc/hosts\n"), "unreadable"),
    "audio": (audio_only, "no_video"),
    "cut": (cut_before_index, "truncated"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_files_are_named_errors(tmp_path: Path, kind: str) -> None:
    make, reason = BAD_FILES[kind]
    path = tmp_path / "video.mp4"
    make(path)
    with pytest.raises(DecodeError) as caught:
        VideoReader(path)
    assert caught.value.reason == reason
    assert str(path) in caught.value.detail


COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [200, 120, 40]], np.uint8)


def test_written_colours_come_back(tmp_path: Path) -> None:
    path = tmp_path / "colours.mp4"
    write_mp4(path, (np.broadcast_to(colour, (64, 64, 3)) for colour in COLOURS), 30000 / 1001, crf=10)
    with VideoReader(path) as video:
        frames = video.read(range(len(COLOURS)))
        assert video.info.fps == pytest.approx(30000 / 1001)
    # 8-bit limited-range YUV holds a colour to within about two levels.
    assert np.abs(frames.reshape(len(COLOURS), -1, 3).mean(1) - COLOURS).max() < 3
    captured = cv2.VideoCapture(str(path)).read()[1][32, 32, ::-1]
    assert np.abs(captured.astype(int) - COLOURS[0]).max() < 3


def test_odd_sizes_repeat_their_last_row_and_column(tmp_path: Path) -> None:
    frame = np.zeros((33, 47, 3), np.uint8)
    frame[:, 24:] = 200
    write_mp4(tmp_path / "odd.mp4", [frame], 25, crf=4)
    with VideoReader(tmp_path / "odd.mp4") as video:
        decoded = video.read([0])[0].astype(int)
    assert decoded.shape == (34, 48, 3)
    assert np.abs(decoded[:33, :47] - frame).mean() < 3
    assert np.abs(decoded[33] - decoded[32]).mean() < 3
    assert np.abs(decoded[:, 47] - 200).mean() < 3


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"older")

    def failing() -> Iterator[np.ndarray]:
        yield np.zeros((16, 16, 3), np.uint8)
        raise RuntimeError("no more frames")

    with pytest.raises(RuntimeError, match="no more frames"):
        write_mp4(path, failing(), 25)
    with pytest.raises(ValueError, match="at least one frame"):
        write_mp4(path, [], 25)
    with pytest.raises(ValueError, match="the first"):
        write_mp4(path, [np.zeros((16, 16, 3), np.uint8), np.zeros((16, 18, 3), np.uint8)], 25)
    assert path.read_bytes() == b"older"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["moore_th3.mp4", "mma_ntu.avi", "lp_d18.mp4"])
def test_real_clips_agree_with_opencv(real_data: Path, name: str) -> None:
    path = real_data / "media/videos" / name
    capture = cv2.VideoCapture(str(path))
    expected = []
    while len(expected) < 30 and (read := capture.read())[0]:
        expected.append(read[1][..., ::-1])
    with VideoReader(path) as video:
        picked = [29, 3, 17, 4]
        frames = video.read(picked)
        assert not video.info.truncated
        assert video.info.frame_count == {"moore_th3.mp4": 141, "mma_ntu.avi": 103, "lp_d18.mp4": 216}[name]
    for index, frame in zip(picked, frames, strict=True):
        assert np.abs(frame.astype(int) - expected[index]).mean() < 2


@pytest.mark.parametrize(("height", "width"), [(48, 64), (31, 45)])
def test_lossless_videos_hold_the_frames_bit_by_bit_and_equal_frames_make_equal_files(
    tmp_path: Path, height: int, width: int
) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, height, width, 3), np.uint8)
    for name in ("one.mp4", "two.mp4"):
        write_lossless(tmp_path / name, iter(frames), 24000 / 1001)
    with VideoReader(tmp_path / "one.mp4") as video:
        assert video.info.fps == pytest.approx(24000 / 1001, rel=1e-9)
        np.testing.assert_array_equal(video.read(range(5)), frames)
    captured = cv2.VideoCapture(str(tmp_path / "one.mp4")).read()[1][..., ::-1]  # another decoder
    np.testing.assert_array_equal(captured, frames[0])
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.mp4", "two.mp4"]
    with pytest.raises(ValueError, match="at least one frame"):
        write_lossless(tmp_path / "none.mp4", [], 30)
    assert not (tmp_path / "none.mp4").exists()


def test_equal_frames_make_equal_files_whatever_memory_held_before(tmp_path: Path) -> None:
    chance = np.random.default_rng(96)  # a row of six macroblocks
    joints = chance.uniform(0, 96, (18, 2))
    frames = [np.zeros((96, 96, 3), np.uint8) for _ in range(8)]
    for number, picture in enumerate(frames):
        for one, other in itertools.pairwise((joints + 0.7 * number).astype(int).tolist()):
            cv2.line(picture, one, other, chance.integers(64, 256, 3).tolist(), 2)
    made, litter = set(), []
    for _ in range(25):
        write_mp4(tmp_path / "skeleton.mp4", frames, 8.0)
        made.add((tmp_path / "skeleton.mp4").read_bytes())
        litter = [*litter[-20:], chance.integers(0, 256, chance.integers(1, 200_000), np.uint8)]
    assert len(made) == 1
    # Files differ on some processors alone; x264 writes into each what it was told.
    assert b" mbtree=0 " in made.pop()
