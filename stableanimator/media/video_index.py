"""Which frames of a video are shown, and when: from its packets where these are to be believed, else by decoding it.

Packets are believed in MP4 and Matroska, whose stamps and edit lists say what is shown, for codecs with a frame in
each packet, and if the first frames that come out of the decoder are the first that the packets promise. Two fields
in two packets, several edits, stamps that are missing or shared: such videos, and those of other containers, where
FFmpeg makes stamps up and packets may hold nothing that is shown, are decoded once to be listed.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from stableanimator.errors import DecodeError
from stableanimator.media.container import container_name, cut_short, open_container, video_stream
from stableanimator.media.decoding import decode, is_damaged
from stableanimator.media.display import Display, display_of

_MISSING_TAIL_S = 0.5
"""Seconds by which frames may end before the stated duration; muxers round, and audio may run on a little."""

_PROOF = 4
"""Frames that are decoded to see whether packets tell the truth: fields show with the second, hidden frames and
unfit stamps with the first that are out of order."""

_ONE_EACH = (
    *("h264", "hevc", "vvc", "vp8", "vp9", "av1", "mpeg1video", "mpeg2video"),
    *("mjpeg", "prores", "dnxhd", "ffv1", "huffyuv", "png", "qtrle", "rawvideo"),
)
"""Codecs of which every packet gives one frame, in FFmpeg's names. MPEG-4 and its like leave frames out that repeat the
last one."""

_STEP = 64
"""Packets or frames between two signs of life."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameIndex:
    """The frames of a video stream in the order in which they are shown (F of them)."""

    times: NDArray[np.float64]
    """[F] seconds from the first frame."""
    rate: float
    """Frames per second as the container or the stream states it."""
    stamps: NDArray[np.int64] | None
    """[F] presentation stamps, by which a decoded frame is known; None where frames are counted from the start."""
    keyframes: NDArray[np.int64]
    """Frames at which decoding can start; only frame 0 where seeking cannot be trusted."""
    display: Display
    """How its pictures are shown."""
    truncated: bool
    """Whether the container speaks of more frames than the file holds."""


@dataclass(slots=True)
class _Packets:
    """Counts and stamps of one pass over the packets."""

    stamps: list[tuple[int, int, bool]] = field(default_factory=list)
    """Stamp, duration and whether it is a keyframe, of each packet that is to be shown."""
    discarded: list[tuple[int, bool]] = field(default_factory=list)
    """Stamp and keyframe of packets that an edit list leaves out; others may be made from them."""
    stamped: bool = True
    """Every packet has a presentation stamp."""
    damaged: int = 0
    """Packets that are holes or were cut short."""
    unsure: list[int] = field(default_factory=list)
    """Stamps of those at the end that the container calls damaged."""
    first: Any = None
    """The first decoded frame."""
    shown: list[int | None] = field(default_factory=list)
    """Stamps of the first decoded frames, until there are _PROOF of them."""


def index_frames(path: str, threads: int) -> Iterator[FrameIndex | None]:
    """Read every packet once and decode the first few frames, or all: None now and then, and the index last.

    Raises:
        DecodeError: as `open_container` and `video_stream`; no_frames when nothing can be decoded.
    """
    with open_container(path) as container:
        stream = video_stream(container)
        packets = yield from _read_packets(container, stream)
        if packets.first is None:
            reason = "truncated" if packets.damaged or cut_short(Path(path)) else "no_frames"
            raise DecodeError(reason, f"no frame of {path} can be decoded")
        display = display_of(packets.first, stream.sample_aspect_ratio)
        truncated = _tail_missing(stream, packets) or cut_short(Path(path))
        index = _from_packets(container, stream, packets, display, truncated)
    if index is None:
        index = yield from _from_frames(path, threads, packets, display, truncated)
    yield index


def _read_packets(container: Any, stream: Any) -> Generator[None, None, _Packets]:
    found = _Packets()
    try:
        for count, packet in enumerate(container.demux(stream)):
            if count % _STEP == 0:
                yield None
            last = packet.size == 0 and packet.dts is None  # PyAV's flush packet
            if not last and is_damaged(packet):
                found.damaged += 1
                continue
            if len(found.shown) < _PROOF:
                _prove(found, packet)
            if packet.is_discard:
                found.discarded.append((packet.pts or 0, packet.is_keyframe))
            elif not last and not _is_hidden(packet):
                found.stamped &= packet.pts is not None
                stamp = packet.dts if packet.pts is None else packet.pts
                found.stamps.append((stamp or 0, packet.duration or 0, packet.is_keyframe))
                found.unsure = [*found.unsure, stamp or 0] if packet.is_corrupt else []
    except av.FFmpegError:
        found.damaged += 1
    if found.unsure:
        del found.stamps[-len(found.unsure) :]
        found.damaged += len(found.unsure)
    return found


def _prove(found: _Packets, packet: Any) -> None:
    try:
        frames = packet.decode()
    except av.FFmpegError:
        return
    found.first = found.first or next(iter(frames), None)
    found.shown.extend(frame.pts for frame in frames)


def _is_hidden(packet: Any) -> bool:
    """Whether it holds a frame of VP8 that is only there to make others from (RFC 6386, 9.1: show_frame)."""
    return _codec(packet.stream) == "vp8" and packet.size > 0 and not memoryview(packet)[0] & 16


def _codec(stream: Any) -> str:
    """FFmpeg's name of the codec, whichever decoder reads it."""
    return str(stream.codec_context.codec.canonical_name)


def _from_packets(
    container: Any, stream: Any, packets: _Packets, display: Display, truncated: bool
) -> FrameIndex | None:
    """The index that packets promise, or None where they are not to be believed."""
    first = packets.first.pts
    one_each = _codec(stream) in _ONE_EACH and not packets.first.interlaced_frame
    if not (_is_seekable(container) and one_each and packets.stamped and first is not None):
        return None
    # What was stored before the first frame that comes out cannot be decoded: the video begins in the middle of a
    # group of pictures, or with frames that are made from ones before it.
    order = np.array([stamp for stamp, *_ in packets.stamps if stamp >= first], np.int64)
    stamps = np.sort(order)
    if not (np.diff(stamps) > 0).all() or stamps[: len(packets.shown)].tolist() != packets.shown:
        return None
    if any(first < stamp < stamps[-1] for stamp, _ in packets.discarded):
        return None
    keys = [stamp for stamp, *_, key in packets.stamps if key] + [stamp for stamp, key in packets.discarded if key]
    return FrameIndex(
        times=_seconds(stamps, stream),
        rate=_rate(stream),
        stamps=stamps,
        keyframes=_key_places(stamps, keys),
        display=display,
        truncated=truncated,
    )


def _from_frames(
    path: str, threads: int, packets: _Packets, display: Display, truncated: bool
) -> Generator[None, None, FrameIndex]:
    """The index of the frames that come out of the decoder."""
    with open_container(path) as container:
        stream = video_stream(container)
        shown: list[int | None] = []
        for stamp in _shown_stamps(container, stream, threads):
            if stamp is not None and stamp in packets.unsure:
                break
            shown.append(stamp)
            if len(shown) % _STEP == 0:
                yield None
        # AVI has no presentation stamps: FFmpeg makes them up in decoding order, and frames then carry wrong ones.
        numbered = container_name(container) == "avi"
        rate, stamps = _rate(stream), None if numbered else _increasing(shown)
        keys = [stamp for stamp, *_, key in packets.stamps if key]
        seekable = stamps is not None and _is_seekable(container)
        return FrameIndex(
            times=_mended_times(
                sorted(stamp for stamp, *_ in packets.stamps) if numbered else shown, len(shown), stream, rate
            )
            if stamps is None
            else _seconds(stamps, stream),
            rate=rate,
            stamps=stamps if seekable else None,
            keyframes=_key_places(stamps, keys) if seekable and stamps is not None else np.zeros(1, np.int64),
            display=display,
            truncated=truncated,
        )


def recounted(path: str, index: FrameIndex, threads: int) -> FrameIndex | None:
    """The same frames, counted and no longer known by their stamps; None where the decoder gives more or fewer.

    For a file whose stamps are in another order than its frames: two that were joined without being encoded again.
    """
    with open_container(path) as container:
        count = sum(1 for _ in _shown_stamps(container, video_stream(container), threads))
    if count != len(index.times):
        return None
    return replace(index, stamps=None, keyframes=np.zeros(1, np.int64))


def _shown_stamps(container: Any, stream: Any, threads: int) -> Iterator[int | None]:
    """The stamps of all frames in the order in which they come out of the decoder, and of those lost between them."""
    stream.codec_context.thread_count = threads
    lost: list[int | None] = []  # where no picture follows, they are a missing tail
    for decoded in decode(container, stream):
        if decoded.frame is None:
            lost.append(decoded.stamp)
        else:
            yield from lost
            lost.clear()
            yield decoded.stamp


def _is_seekable(container: Any) -> bool:
    return container_name(container) in ("mov", "matroska")


def _increasing(shown: Sequence[int | None]) -> NDArray[np.int64] | None:
    """The stamps of frames where every frame has one and they increase."""
    if any(stamp is None for stamp in shown):
        return None
    stamps = np.array(shown, np.int64)
    return stamps if (np.diff(stamps) > 0).all() else None


def _seconds(stamps: NDArray[np.int64], stream: Any) -> NDArray[np.float64]:
    return np.asarray((stamps - stamps[0]) * float(stream.time_base), np.float64)


def _mended_times(stamps: Sequence[int | None], frames: int, stream: Any, rate: float) -> NDArray[np.float64]:
    """Seconds [F] of frames whose stamps do not increase: no sooner than stamped, and a frame's step from the last.
    Even steps where stamps are missing."""
    even = np.arange(frames) / rate
    known = np.array([stamp for stamp in stamps if stamp is not None], np.int64)
    if len(known) != frames:
        return even
    mended = np.maximum.accumulate(_seconds(known, stream) - even) + even
    return mended - mended[0]


def _key_places(stamps: NDArray[np.int64], keys: Sequence[int]) -> NDArray[np.int64]:
    """Frame 0, and the frames that keyframes with these stamps are or come before."""
    places = np.union1d([0], np.searchsorted(stamps, keys))
    return places[places < len(stamps)]


def _rate(stream: Any) -> float:
    # The guess knows what a stream says of itself; raw H.264 has an average of 25 whatever it says.
    return float(stream.guessed_rate or stream.average_rate or 25)


def _tail_missing(stream: Any, packets: _Packets) -> bool:
    """Whether the container states more frames, or a longer video, than its packets give."""
    if packets.damaged:
        return True
    if container_name(stream.container) == "mov":
        return len(packets.stamps) + len(packets.discarded) < len(stream.index_entries)
    stated = _stated_seconds(stream)
    if stated is None or not packets.stamps:
        return False
    end = max(stamp + duration for stamp, duration, _ in packets.stamps)
    begin = min(packets.stamps)[0]
    if stream.duration is None:
        begin = min(begin, 0)  # Matroska states when the video ends, wherever it begins
    return stated - (end - begin) * float(stream.time_base) > _MISSING_TAIL_S


def _stated_seconds(stream: Any) -> float | None:
    """The stream's duration as its header says, or None."""
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    # Matroska: "00:00:04.000000000", perhaps under a name with a language.
    tag = next((value for key, value in stream.metadata.items() if key.startswith("DURATION")), None)
    try:
        hours, minutes, seconds = tag.split(":") if tag else ("", "", "")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None
