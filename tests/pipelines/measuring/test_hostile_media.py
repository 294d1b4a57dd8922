"""Files as strangers make them: each becomes one bad row with a named reason, or shots of the right frames.

Every frame shows its own number, so that a wrong frame cannot pass for the right one.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

from pipelines.curation import CurateSettings
from pipelines.measuring.measure_cache import measure_keys, read_cached
from pipelines.measuring.video_measures import Video, VideoMeasurer
from pipelines.storage.store import Store
from stableanimator.media.video import VideoReader

FRAMES, CUT = 48, 24
BITS = 6
SETTINGS = CurateSettings(measures=("picture",))
KEYS = measure_keys(SETTINGS, None)
SHOTS = [(0, CUT), (CUT, FRAMES)]
Build = Callable[[Path], object]


def numbered(index: int, width: int = 128, height: int = 96, dark: int = 40) -> np.ndarray:
    """A frame with its number in Gray code, as bright blocks: from one to the next a single block changes.

    From CUT on the ground is brighter and the blocks lie lower: a cut.
    """
    late = index >= CUT
    frame = np.full((96, 128, 3), dark + 60 * late, np.uint8)
    for bit in range(BITS):
        if (index ^ index >> 1) >> bit & 1:
            frame[60 * late + 8 : 60 * late + 28, 6 + bit * 20 : 18 + bit * 20] = 240
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_NEAREST)


def number_of(frame: np.ndarray) -> int:
    """The number that a frame shows."""
    small = cv2.resize(frame, (128, 96), interpolation=cv2.INTER_AREA)
    top = 60 if small[45:55].mean() > 70 else 0
    bits = [small[top + 12 : top + 24, 9 + bit * 20 : 15 + bit * 20].mean() > 170 for bit in range(BITS)]
    number = 0
    for bit in reversed(bits):
        number = number << 1 | (bit ^ number & 1)
    return number


def encode(
    path: Path,
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    size: tuple[int, int] = (128, 96),
    frames: range = range(FRAMES),
    milliseconds: Callable[[int], int] = lambda index: index * 40,
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
    rotation: int = 0,
    form: str | None = None,
    change: Callable[[int, Any], Any] = lambda number, packet: packet,
) -> Path:
    """A clip of numbered frames; `change(number, packet)` may alter a packet on its way, or drop it with None."""
    with av.open(str(path), "w", format=form, options=muxing or {}) as container:
        stream: Any = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.thread_count = 1
        if rotation:
            stream.set_display_rotation(rotation)

        def pictures() -> Iterator[Any]:
            for index in frames:
                frame = av.VideoFrame.from_ndarray(numbered(index, *size), format="rgb24")
                frame.pts, frame.time_base = milliseconds(index), Fraction(1, 1000)
                yield frame.reformat(format=pixels)
            yield None

        packets = (packet for frame in pictures() for packet in stream.encode(frame))
        for number, packet in enumerate(packets):
            changed = change(number, packet)
            if changed is not None:
                container.mux(changed)
    return path


FAST = {"movflags": "faststart"}
CLOSED = {"x264-params": "keyint=12:min-keyint=12:scenecut=0:bframes=2"}
SIMPLE = {"x264-params": "keyint=12:min-keyint=12:scenecut=0:bframes=0"}


def cut_to(share: float) -> Build:
    def build(path: Path) -> None:
        data = encode(path, muxing=FAST, options=CLOSED).read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return build


def garbage(seed: int) -> Build:
    """A tenth of the file is noise, somewhere in its pictures."""

    def build(path: Path) -> None:
        data = bytearray(encode(path, muxing=FAST, options=CLOSED).read_bytes())
        generator = np.random.default_rng(seed)
        pictures = data.index(b"mdat") + 600
        start = int(generator.integers(pictures, len(data) * 9 // 10))
        data[start : start + len(data) // 10] = generator.bytes(len(data) // 10)
        path.write_bytes(data)

    return build


def renamed(name: str, **settings: Any) -> Build:
    """Written as `name` says, found under another name."""
    return lambda path: path.write_bytes(encode(path.with_name(name), **settings).read_bytes())


def picture(path: Path) -> None:
    path.write_bytes(cv2.imencode(".jpg", numbered(3))[1].tobytes())


def audio_only(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 44100
        container.mux([*stream.encode(silence), *stream.encode(None)])


def begins_in_a_group(path: Path) -> None:
    """MPEG-TS without its first third, as from a tuner."""
    data = encode(path, options=CLOSED).read_bytes()
    path.write_bytes(data[len(data) // 188 // 3 * 188 :])


def endless_header(path: Path) -> None:
    """The header of an MP4 says that it lasts for months."""
    data = bytearray(encode(path, muxing=FAST).read_bytes())
    for box, offset in ((b"mvhd", 20), (b"mdhd", 20), (b"tkhd", 24)):
        place = data.index(box) + offset
        data[place : place + 4] = struct.pack(">I", 0xFFFFFFF0)
    path.write_bytes(data)


def joined(first: dict[str, Any], second: dict[str, Any]) -> Build:
    """Two transport streams, one behind the other."""

    def build(path: Path) -> None:
        parts = [
            encode(path.with_name("a.ts"), frames=range(CUT), options=SIMPLE, **first),
            encode(path.with_name("b.ts"), frames=range(CUT, FRAMES), options=SIMPLE, **second),
        ]
        path.write_bytes(b"".join(part.read_bytes() for part in parts))

    return build


def same_stamps(number: int, packet: Any) -> Any:
    packet.pts = packet.dts = number // 2 * 80
    return packet


def with_other_stream(cover: bool) -> Build:
    """A second video stream, larger and white: a picture of the cover, or another film."""

    def build(path: Path) -> None:
        with av.open(str(path), "w") as container:
            streams: list[Any] = [container.add_stream("mjpeg" if cover else "libx264", rate=25) for _ in range(2)]
            sizes = [(128, 96), (256, 192)]
            for stream, size in zip(streams, sizes, strict=True):
                stream.width, stream.height, stream.pix_fmt = *size, "yuvj420p" if cover else "yuv420p"
            if cover:
                streams[1].disposition = Disposition.attached_pic
            for index in range(FRAMES):
                pictures = [numbered(index), np.full((192, 256, 3), 255, np.uint8)]
                for stream, image in zip(streams[: 1 if cover and index else 2], pictures, strict=False):
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            for stream in streams:
                container.mux(stream.encode(None))

    return build


BAD: dict[str, tuple[str, Build, set[str]]] = {
    "zero bytes": ("a.mp4", lambda path: path.touch(), {"empty_file"}),
    "a page": ("a.mp4", lambda path: path.write_text("<!DOCTYPE html><body>404" * 99), {"unreadable"}),
    "a picture": ("a.mp4", picture, {"unreadable"}),
    "sound": ("a.mp4", audio_only, {"no_video"}),
    "its first tenth": ("a.mp4", cut_to(0.1), {"truncated"}),
    "no keyframe": (
        "a.ts",
        lambda path: encode(
            path, options={"x264-params": "keyint=250:bframes=0"}, change=lambda n, p: p if n else None
        ),
        {"no_frames", "truncated", "undecodable_frame"},
    ),
    "a size that changes": (
        "a.ts",
        joined({}, {"size": (160, 120)}),
        {"size_changes"},
    ),
}
EVEN = [*range(FRAMES)]
GOOD: dict[str, tuple[str, Build, list[int]]] = {
    "webm named mp4": ("a.mp4", renamed("a.webm", codec="libvpx", options={"b": "800k"}), EVEN),
    "one frame": ("a.mp4", lambda path: encode(path, frames=range(1)), [0]),
    "odd size": ("a.webm", lambda path: encode(path, codec="libvpx", size=(321, 243), options={"b": "2M"}), EVEN),
    "10,000 x 16": ("a.mp4", lambda path: encode(path, size=(10_000, 16), options={"preset": "ultrafast"}), EVEN),
    "alpha in qtrle": ("a.mov", lambda path: encode(path, codec="qtrle", pixels="argb"), EVEN),
    "alpha in png": ("a.mov", lambda path: encode(path, codec="png", pixels="rgba"), EVEN),
    "alpha in vp9": (
        "a.webm",
        lambda path: encode(path, codec="libvpx-vp9", pixels="yuva420p", options={"b": "800k", "cpu-used": "8"}),
        EVEN,
    ),
    "10 bits": ("a.mp4", lambda path: encode(path, pixels="yuv420p10le"), EVEN),
    "4:4:4": ("a.mp4", lambda path: encode(path, pixels="yuv444p"), EVEN),
    "mid-group": ("a.ts", begins_in_a_group, EVEN[CUT:]),
    "endless header": ("a.mp4", endless_header, EVEN),
    "interlaced": ("a.mp4", lambda path: encode(path, options={"x264-params": "interlaced=1:tff=1"}), EVEN),
    "stamps again from 0": ("a.ts", joined({}, {"milliseconds": lambda index: (index - CUT) * 40}), EVEN),
    "negative stamps": (
        "a.mkv",
        lambda path: encode(path, milliseconds=lambda index: index * 40 - 400, muxing={"avoid_negative_ts": "0"}),
        EVEN,
    ),
    "pairs of one stamp": ("a.mkv", lambda path: encode(path, options=SIMPLE, change=same_stamps), EVEN),
    "two videos": ("a.mp4", with_other_stream(cover=False), EVEN),
    "a cover": ("a.mp4", with_other_stream(cover=True), EVEN),
}


def hole(path: Path) -> None:
    """Two frames are zeros, as an unfinished download leaves them."""
    data = bytearray(encode(path, muxing=FAST, options=CLOSED).read_bytes())
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for start, size in packets[15:17]:
        data[start : start + size] = bytes(size)
    path.write_bytes(data)


DAMAGED: dict[str, Build] = {
    "a hole": hole,
    **{f"cut at {tenth}/10": cut_to(tenth / 10) for tenth in range(2, 10)},
    "without its last byte": lambda path: path.write_bytes(encode(path, muxing=FAST).read_bytes()[:-1]),
    **{f"garbage {seed}": garbage(seed) for seed in range(6)},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(str(tmp_path_factory.mktemp("root")))


@pytest.fixture(scope="module")
def measurer(store: Store) -> VideoMeasurer:
    return VideoMeasurer(store, SETTINGS, None, KEYS, SETTINGS.measures)


Shots = Callable[[Path], list[dict[str, Any]]]


@pytest.fixture
def shots_of(store: Store, measurer: VideoMeasurer) -> Shots:
    """Curation's rows of a file; all shots of a readable one must be measured."""

    def measure(path: Path) -> list[dict[str, Any]]:
        video_id, _ = store.put_media(path, path.suffix)
        result = measurer.measure(Video(video_id, path.suffix, path.stat().st_size), {"shots", "picture", "thumbnails"})
        assert result.failures == []
        cached = read_cached(store, KEYS, [video_id])
        rows = sorted(cached.shots.to_pylist(), key=lambda row: row["start"])
        good = [row["shot_id"] for row in rows if row["error"] is None]
        assert sorted(cached.measures["picture"]["shot_id"].to_pylist()) == sorted(good)
        assert cached.measures["picture"]["error"].null_count == len(good)
        return rows

    return measure


def _read(path: Path) -> tuple[list[int], np.ndarray]:
    with VideoReader(path) as video:
        frames = [number_of(frame) for _, frame in video.frames(range(video.info.frame_count))]
        return frames, video.info.times


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_decoded_is_one_row_with_its_reason(tmp_path: Path, shots_of: Shots, kind: str):
    name, build, reasons = BAD[kind]
    build(tmp_path / name)
    (row,) = shots_of(tmp_path / name)
    assert (row["start"], row["end"]) == (0, 0)
    assert row["error"] in reasons
    assert "media/" in row["detail"]
    assert str(tmp_path) not in row["detail"]
    after = shots_of(encode(tmp_path / "neighbour.mp4"))
    assert [(row["start"], row["end"]) for row in after] == SHOTS


@pytest.mark.parametrize("kind", GOOD)
def test_what_is_odd_gives_its_shots(tmp_path: Path, shots_of: Shots, kind: str):
    name, build, numbers = GOOD[kind]
    build(tmp_path / name)
    rows = shots_of(tmp_path / name)
    first = numbers[0]
    cuts = [CUT - first] if first < CUT < numbers[-1] else []
    assert [(row["error"], row["start"], row["end"]) for row in rows] == [
        (None, *edges) for edges in itertools.pairwise([0, *cuts, len(numbers)])
    ]
    found, _ = _read(tmp_path / name)
    assert found == numbers


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_gives_no_wrong_frame(tmp_path: Path, shots_of: Shots, kind: str):
    DAMAGED[kind](tmp_path / "a.mp4")
    rows = shots_of(tmp_path / "a.mp4")
    if rows[0]["error"] is not None:
        assert [row["error"] in ("truncated", "undecodable_frame", "unreadable") for row in rows] == [True]
        return
    found, times = _read(tmp_path / "a.mp4")
    assert found == np.round(times * 25).astype(int).tolist()
    assert rows[-1]["end"] == len(found)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_video_is_measured_upright(tmp_path: Path, shots_of: Shots, turn: int):
    path = encode(tmp_path / "a.mp4", rotation=turn)
    rows = shots_of(path)
    size = (96, 128) if turn % 180 else (128, 96)
    assert [(row["start"], row["end"], row["width"], row["height"]) for row in rows] == [
        (*shot, *size) for shot in SHOTS
    ]
    with VideoReader(path) as video:
        # an angle turns anticlockwise
        found = [number_of(np.rot90(frame, -turn // 90)) for _, frame in video.frames(range(FRAMES))]
    assert found == EVEN


def test_fields_are_a_column_of_the_picture(tmp_path: Path, store: Store, shots_of: Shots):
    for name, options, share in (("a.mp4", {"x264-params": "interlaced=1:tff=1"}, 1.0), ("b.mp4", CLOSED, 0.0)):
        shots = shots_of(encode(tmp_path / name, options=options))
        rows = read_cached(store, KEYS, [shots[0]["video_id"]]).measures["picture"].to_pylist()
        assert [row["interlaced"] for row in rows] == [share] * len(SHOTS)
        assert all(row["combing"] is not None for row in rows)


def test_a_varying_rate_keeps_its_times(tmp_path: Path, shots_of: Shots):
    def stamps(index: int) -> int:
        return index * 40 if index < 12 else 480 + (index - 12) * 100

    path = encode(tmp_path / "a.mp4", milliseconds=stamps)
    rows = shots_of(path)
    assert [(row["start"], row["end"]) for row in rows] == SHOTS
    assert rows[0]["seconds"] == pytest.approx(stamps(CUT) / 1000)
    found, times = _read(path)
    assert found == EVEN
    np.testing.assert_allclose(times, [stamps(index) / 1000 for index in range(FRAMES)], atol=1e-3)


def test_high_dynamic_range_becomes_standard(tmp_path: Path, store: Store, shots_of: Shots):
    """PQ (SMPTE ST 2084) codes of 203 and 10 candelas per square metre: a white page (ITU-R BT.2408), and 5 % of it."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p10le"
        codec = stream.codec_context
        codec.colorspace, codec.color_range = 9, ColorRange.MPEG
        codec.color_primaries, codec.color_trc = ColorPrimaries.BT2020, ColorTrc.SMPTE2084
        for _ in range(3):
            frame = av.VideoFrame(128, 96, "yuv420p10le")
            for plane, (left, right) in zip(frame.planes, [(573, 328), (512, 512), (512, 512)], strict=True):
                values = np.frombuffer(plane, np.uint16).reshape(plane.height, plane.line_size // 2)
                values[:, : plane.width // 2], values[:, plane.width // 2 : plane.width] = left, right
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (row,) = shots_of(path)
    jpeg = read_cached(store, KEYS, [row["video_id"]]).thumbnails["jpeg"][0].as_py()
    shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert shown[:, :48].mean() > 248
    # BT.709 as it is displayed, a power of 2.4 (BT.1886)
    assert shown[:, 80:].mean() == pytest.approx(255 * (10 / 203) ** (1 / 2.4), abs=4)


@pytest.mark.usefixtures("hanging_files")
def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path, store: Store):
    path = encode(tmp_path / "a.mp4")
    hasty = replace(SETTINGS, decode_timeout_s=0.1)
    video_id, _ = store.put_media(path, ".mp4")
    video = Video(video_id, ".mp4", path.stat().st_size)
    keys = replace(KEYS, shots="hasty")
    result = VideoMeasurer(store, hasty, None, keys, hasty.measures).measure(video, {"shots", "picture", "thumbnails"})
    assert [(one["shot_id"], one["reason"]) for one in result.failures] == [(f"{video_id}:0-0", "decode_timeout")]
    assert read_cached(store, keys, [video_id]).shots.num_rows == 0  # a busy machine may be the cause: tried again
