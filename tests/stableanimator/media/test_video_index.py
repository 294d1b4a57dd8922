"""Which frames are shown, and when: trims, edit lists, offsets, rates and containers, by construction and by FFmpeg."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from stableanimator.errors import DecodeError
from stableanimator.media.video import VideoReader

FRAMES, RATE = 48, 25
ALL = range(FRAMES)


def number_of(frame: np.ndarray) -> int:
    """The number that the fixture `films` writes into a frame, in binary, as bright and dark columns."""
    columns = np.array_split(frame.mean((0, 2)), 8)
    return sum(
        1 << bit for bit, column in enumerate(columns) if column[len(column) // 3 : -len(column) // 3].mean() > 128
    )


@dataclass(frozen=True)
class Case:
    """A file, and what of it is to be seen."""

    name: str
    make: Callable[[Any, Path], object]
    """From the fixture `films` and the path of the file."""
    numbers: Sequence[int] = ALL
    """Of the frames that are shown."""
    times: Sequence[float] | None = None
    """Seconds; else those of the numbers at 25 frames a second."""

    def seconds(self) -> np.ndarray:
        times = np.array([number / RATE for number in self.numbers] if self.times is None else self.times)
        return times - times[0]


def whole(name: str, numbers: Sequence[int] = ALL, times: Sequence[float] | None = None, **options: Any) -> Case:
    return Case(name, lambda films, path: films.encode(path, **options), numbers, times)


def copied(name: str, numbers: Sequence[int], groups: str = "both ways", **options: Any) -> Case:
    def make(films: Any, path: Path) -> None:
        films.copy(films.encode(path.with_name("whole.mp4"), groups=groups), path, **options)

    return Case(name, make, numbers)


def edited(name: str, edits: Sequence[tuple[int, int | None]], groups: str, gap: int = 0) -> Case:
    """Edits as (frames, from which frame on). libx264 shows its first frame a little later than it begins to decode."""
    delay = 0 if groups == "forward" else 2

    def make(films: Any, path: Path) -> None:
        source = films.encode(path.with_name("whole.mp4"), groups=groups)
        in_seconds = [(n / RATE, None if begin is None else (begin + delay) / RATE) for n, begin in edits]
        films.edit(source, path, in_seconds)

    numbers, times, now = [], [], 0
    for length, begin in edits:
        if begin is not None:
            numbers += range(begin, begin + length)
            times += [place / RATE for place in range(now, now + length)]
        now += length
    return Case(name, make, numbers, times)


def at(frame: int) -> Fraction:
    return Fraction(frame, RATE)


def varying(index: int) -> float:
    return index * 0.04 if index < 20 else 0.8 + (index - 20) * 0.1


def gif(index: int) -> float:
    return index * 0.1


TRIMS = [
    copied(f"{groups}, from {start}.{form}", range(start, FRAMES), groups, start=at(start))
    for groups in ("forward", "both ways", "open")
    for start, form in ((5, "mp4"), (12, "mp4"), (30, "mp4"), (17, "mov"), (47, "mp4"))
]
COPIES = [
    # these cannot leave out what is before the start of the copy, and begin with the keyframe
    copied("from a keyframe.mkv", range(24, FRAMES), start=at(30)),
    copied("from a keyframe.ts", range(24, FRAMES), start=at(30)),
    copied("from a keyframe.flv", range(24, FRAMES), start=at(30)),
    copied("from an open group.mkv", range(24, FRAMES), "open", start=at(30)),
    copied("without an edit list.mp4", range(24, FRAMES), start=at(30), muxing={"use_editlist": "0"}),
    copied("in fragments.mp4", range(24, FRAMES), start=at(30), muxing={"movflags": "frag_keyframe"}),
    copied("signed offsets.mp4", range(30, FRAMES), start=at(30), muxing={"movflags": "negative_cts_offsets"}),
    copied("begins late.mp4", ALL, shift=at(33)),
    copied("begins late.mkv", ALL, shift=at(33)),
    copied("begins late.ts", ALL, shift=at(33)),
    copied("begins late.flv", ALL, shift=at(33)),
]
EDITS = [
    # of several edits only those with forward groups: behind others FFmpeg's own times go back
    edited("one edit.mp4", [(20, 15)], "forward"),
    edited("one edit, both ways.mp4", [(20, 15)], "both ways"),
    edited("one edit, open.mp4", [(20, 15)], "open"),
    edited("only the start.mp4", [(30, 0)], "both ways"),
    edited("two edits.mp4", [(10, 5), (10, 30)], "forward"),
    edited("backwards.mp4", [(10, 30), (10, 5)], "forward"),
    edited("twice the same.mp4", [(10, 14), (10, 14)], "forward"),
    edited("nothing first.mp4", [(10, None), (20, 15)], "both ways"),
]
RATES = [
    *(
        whole(f"{float(rate):.4g} a second.{form}", times=[float(n / rate) for n in ALL], rate=rate)
        for rate, form in (
            (Fraction(1), "mp4"),
            (Fraction(25, 2), "mp4"),
            (Fraction(24000, 1001), "mp4"),
            (Fraction(30000, 1001), "mkv"),
            (Fraction(60), "mov"),
            (Fraction(240), "mp4"),
            (Fraction(50), "ts"),
        )
    ),
    *(whole(f"varying.{form}", times=[varying(n) for n in ALL], seconds=varying) for form in ("mp4", "mkv", "ts")),
]
SOUND = [
    whole("sound first.mp4", seconds=lambda index: 0.7 + index / RATE, sound=0.0),
    whole("sound later.mp4", sound=0.7),
    whole("sound first.mkv", seconds=lambda index: 0.7 + index / RATE, sound=0.0),
    whole("sound first.ts", seconds=lambda index: 0.7 + index / RATE, sound=0.0),
]
CONTAINERS = [
    whole("a.mts", form="mpegts"),
    whole("a.VOB", codec="mpeg2video", form="vob", options={"bf": "2", "g": "12", "q:v": "3"}),
    whole("a.mpg", codec="mpeg1video", options={"bf": "2", "g": "12"}),
    whole("a.3g2", codec="libx264"),
    whole("a.h264"),
    whole("a.avi", groups="forward"),
    whole("both ways.avi", codec="mpeg4", options={"bf": "2"}),
    whole("mpeg4.mp4", codec="mpeg4", options={"bf": "2"}),
    whole("a.wmv", codec="wmv2", options={"b": "2M"}),
    whole("a.flv", codec="flv1", options={"b": "2M"}),
    whole("a.ogv", codec="libvpx", options={"b": "2M"}),
    whole("a.mxf", codec="mpeg2video", options={"b": "4M"}),
    whole("a.gif", codec="gif", pixels="rgb8", rate=10, times=[gif(n) for n in ALL]),
    whole("vp9.webm", codec="libvpx-vp9", options={"b": "1M", "cpu-used": "8"}),
    whole("fields.mp4", options={"x264-params": "interlaced=1:keyint=12"}),
    whole("fields.ts", codec="mpeg2video", options={"flags": "+ildct+ilme", "b": "4M"}),
]
CASES = [*TRIMS, *COPIES, *EDITS, *RATES, *SOUND, *CONTAINERS]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture
def path(case: Case, films: Any, tmp_path: Path) -> Path:
    made = tmp_path / case.name.replace(" ", "_")
    case.make(films, made)
    return made


def test_frames_and_times_are_those_that_were_made(case: Case, path: Path) -> None:
    with VideoReader(path) as video:
        assert [number_of(frame) for frame in video.read(range(video.info.frame_count))] == list(case.numbers)
        np.testing.assert_allclose(video.info.times, case.seconds(), atol=1.1e-3)  # Matroska and FLV have milliseconds
        assert not video.info.truncated
    jumps = random.Random(0).choices(range(len(case.numbers)), k=6)
    with VideoReader(path) as video:
        assert [number_of(video.read([index])[0]) for index in jumps] == [case.numbers[index] for index in jumps]


def test_ffmpeg_shows_the_same(case: Case, path: Path, ffmpeg_shows: Callable[[Path], tuple[np.ndarray, np.ndarray]]):
    pictures, times = ffmpeg_shows(path)
    with VideoReader(path) as video:
        frames = video.read(range(video.info.frame_count))
        assert frames.shape == pictures.shape
        np.testing.assert_allclose(video.info.times, times - times[0], atol=1.1e-3)
    # one level for another version's rounding; that of Debian 12 gives the same bytes
    assert np.abs(frames.astype(int) - pictures).max() <= 1


def test_frames_of_vp8_that_are_only_there_to_make_others_from_are_not_shown(tmp_path: Path, films: Any):
    """Before each keyframe stands the same one without the bit that shows it (RFC 6386, 9.1), as encoders do it."""
    source = films.encode(tmp_path / "plain.webm", codec="libvpx", options={"b": "1M", "g": "12"})
    path, hidden = tmp_path / "hidden.webm", 0
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        target = new.add_stream_from_template(stream)
        for packet in [packet for packet in old.demux(stream) if packet.size]:
            if packet.is_keyframe and packet.pts:
                data = bytes(packet)
                secret = av.Packet(bytes([data[0] & ~16]) + data[1:])
                secret.pts = secret.dts = packet.pts - 20
                secret.time_base, secret.stream = packet.time_base, target
                new.mux(secret)
                hidden += 1
            packet.stream = target
            new.mux(packet)
    assert hidden >= 3
    with VideoReader(path) as video:
        assert [number_of(frame) for frame in video.read(ALL)] == list(ALL)
        np.testing.assert_allclose(video.info.times, np.arange(FRAMES) / RATE, atol=1e-3)
        assert number_of(video.read([30])[0]) == 30


def test_frames_whose_stamps_are_in_another_order_are_counted(tmp_path: Path, films: Any):
    """Frames 37 and 38 have each other's stamps."""
    source, path = films.encode(tmp_path / "good.mp4"), tmp_path / "exchanged.mkv"
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        target = new.add_stream_from_template(stream)
        packets = [packet for packet in old.demux(stream) if packet.size]
        order = sorted(range(FRAMES), key=lambda place: packets[place].pts)
        first, second = packets[order[37]], packets[order[38]]
        first.pts, second.pts = second.pts, first.pts
        for packet in packets:
            packet.stream = target
            new.mux(packet)
    with VideoReader(path) as video:
        assert [number_of(frame) for frame in video.read(ALL)] == list(ALL)
    with VideoReader(path) as video:
        assert [number_of(frame) for frame in video.read([40, 3, 37, 38])] == [40, 3, 37, 38]
        np.testing.assert_allclose(video.info.times, np.arange(FRAMES) / RATE, atol=1.1e-3)


def test_what_cannot_be_decoded_at_the_start_is_not_listed(tmp_path: Path, films: Any):
    whole_ts = films.encode(tmp_path / "whole.ts").read_bytes()
    path = tmp_path / "from_the_middle.ts"
    path.write_bytes(whole_ts[len(whole_ts) // 188 // 3 * 188 :])
    with VideoReader(path) as video:
        numbers = [number_of(frame) for frame in video.read(range(video.info.frame_count))]
    assert numbers == list(range(24, FRAMES))
    assert FRAMES - len(numbers) == 24


def test_a_video_none_of_which_is_shown_has_no_frames(tmp_path: Path, films: Any):
    source = films.encode(tmp_path / "whole.mp4", groups="forward")
    films.edit(source, tmp_path / "past.mp4", [(1.0, 7.0)])
    with pytest.raises(DecodeError, match="no_frames"):
        VideoReader(tmp_path / "past.mp4")
