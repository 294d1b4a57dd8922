"""What one pass over a video's packets says about its frames, before any but the first is decoded."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

from stableanimator.errors import DecodeError

OPEN_OPTIONS = {
    # Files come from strangers: no playlists, image sequences or devices, and nothing but the file itself.
    "format_whitelist": "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,h264,hevc,rm,mxf,wtv,dv",
    "protocol_whitelist": "file",
}

_MISSING_TAIL_S = 0.5
"""Seconds by which frames may end before the stated duration; muxers round, and audio may run on a little."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameIndex:
    """The frames of a video stream in the order in which they are shown (F of them)."""

    times: NDArray[np.float64]
    """[F] seconds from the first frame."""
    rate: float
    """Frames per second as the container states it."""
    stamps: NDArray[np.int64] | None
    """[F] presentation stamps, by which a decoded frame is known; None where decoded frames carry wrong ones."""
    keyframes: NDArray[np.int64]
    """Frames at which decoding can start; only frame 0 where seeking cannot be trusted."""
    quarter_turns: int
    """Anticlockwise turns by 90 degrees that make the decoded picture upright."""
    width: int
    """Pixels of the upright picture."""
    height: int
    stored_size: tuple[int, int]
    """Width and height of the decoded picture before it is turned."""
    truncated: bool
    """Whether the container speaks of more frames than the file holds."""


@dataclass(slots=True)
class _Packets:
    """Counts and stamps of one pass."""

    stamps: list[tuple[int, int, bool]]  # stamp, duration, keyframe
    stamped: bool = True  # every packet has a stamp
    # AVI has no presentation stamps: FFmpeg makes them up in decoding order, and frames then carry wrong ones.
    trusted: bool = True
    damaged: int = 0
    discarded: int = 0
    first: Any = None  # the first decoded frame


def open_container(path: str) -> Any:
    """The PyAV container of a local file.

    Raises:
        DecodeError: not_found, empty_file, truncated (the index at the end of an MP4 is missing), unreadable.
    """
    file = Path(path)
    if not file.is_file():
        raise DecodeError("not_found", f"{path} is not a file")
    if file.stat().st_size == 0:
        raise DecodeError("empty_file", f"{path} has no bytes")
    try:
        return av.open(path, options=OPEN_OPTIONS, metadata_errors="ignore")
    except (av.FFmpegError, ValueError) as error:
        if _cut_short(file):
            raise DecodeError("truncated", f"{path} ends before its index; nothing of it can be decoded") from error
        raise DecodeError("unreadable", f"{path} is no video that FFmpeg knows") from error


def video_stream(container: Any) -> Any:
    """The first video stream that is no cover picture.

    Raises:
        DecodeError: no_video.
    """
    for stream in container.streams.video:
        if Disposition.attached_pic not in stream.disposition:
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise DecodeError("no_video", f"{container.name} holds {kinds}")


def index_frames(path: str) -> FrameIndex:
    """Read every packet once and decode the first frame.

    Raises:
        DecodeError: as `open_container` and `video_stream`; no_frames when nothing can be decoded.
    """
    with open_container(path) as container:
        stream = video_stream(container)
        packets = _read_packets(container, stream)
        if packets.first is None:
            reason = "truncated" if packets.damaged or _cut_short(Path(path)) else "no_frames"
            raise DecodeError(reason, f"no frame of {path} can be decoded")
        truncated = _tail_missing(stream, packets) or _cut_short(Path(path))
        return _build(container, stream, packets, truncated)


def _read_packets(container: Any, stream: Any) -> _Packets:
    found = _Packets(stamps=[])
    unsure = 0  # packets at the end that the container calls damaged
    try:
        for packet in container.demux(stream):
            last = packet.size == 0 and packet.dts is None  # PyAV's flush packet
            if not last and is_damaged(packet):
                found.damaged += 1
                continue
            found.first = found.first or _first_frame(packet)
            if packet.is_discard:
                found.discarded += 1
            elif not last:
                shown = packet.pts is not None and "avi" not in container.format.name
                found.trusted &= shown
                stamp = packet.pts if shown else packet.dts
                found.stamped &= stamp is not None
                found.stamps.append((stamp or 0, packet.duration or 0, packet.is_keyframe))
                unsure = unsure + 1 if packet.is_corrupt else 0
    except av.FFmpegError:
        found.damaged += 1
    if unsure:
        del found.stamps[-unsure:]
        found.damaged += unsure
    return _from_first_keyframe(found)


def is_damaged(packet: Any) -> bool:
    """Whether a packet was cut short, or is a hole that an unfinished download left in a file of the full size."""
    if packet.is_corrupt:
        # A transport stream calls a packet so wherever two streams were joined; the decoder knows better.
        return "mpegts" not in packet.stream.container.format.name
    # None of these codecs begins a packet with four zero bytes.
    holes_show = packet.stream.codec_context.name in ("h264", "hevc", "mpeg4", "vp9", "libdav1d", "av1")
    return holes_show and packet.size >= 4 and not any(memoryview(packet)[:4])


def _first_frame(packet: Any) -> Any:
    try:
        frames = packet.decode()
    except av.FFmpegError:
        return None
    return frames[0] if frames else None


def _from_first_keyframe(packets: _Packets) -> _Packets:
    """Without the frames that cannot be decoded because the stream begins in the middle of a group of pictures."""
    start = next((place for place, entry in enumerate(packets.stamps) if entry[2]), 0)
    if packets.stamps:
        shown_from = packets.stamps[start][0]
        kept = [entry for entry in packets.stamps[start:] if entry[0] >= shown_from]
        packets.discarded += len(packets.stamps) - len(kept)
        packets.stamps = kept
    return packets


def _build(container: Any, stream: Any, packets: _Packets, truncated: bool) -> FrameIndex:
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    order = np.array([entry[0] for entry in packets.stamps], dtype=np.int64)
    stamps = np.sort(order)
    distinct = packets.stamped and bool((np.diff(stamps) > 0).all())
    trusted = distinct and packets.trusted
    times = (stamps - stamps[0]) * float(stream.time_base) if distinct else np.arange(len(stamps)) / rate
    seekable = trusted and any(name in container.format.name for name in ("mov", "matroska"))
    keys = order[[entry[2] for entry in packets.stamps]] if seekable else stamps[:1]
    # A rounded turn: nobody holds a camera at 45 degrees and stores that.
    turns = round(packets.first.rotation / 90) % 4
    size = (packets.first.width, packets.first.height)
    width, height = size[::-1] if turns % 2 else size
    return FrameIndex(
        times=times.astype(np.float64),
        rate=rate,
        stamps=stamps if trusted else None,
        keyframes=np.union1d([0], np.searchsorted(stamps, keys)) if seekable else np.zeros(1, np.int64),
        quarter_turns=turns,
        width=width,
        height=height,
        stored_size=size,
        truncated=truncated,
    )


def _tail_missing(stream: Any, packets: _Packets) -> bool:
    """Whether the container states more frames, or a longer video, than its packets give."""
    present = len(packets.stamps) + packets.discarded
    if packets.damaged:
        return True
    if "mov" in stream.container.format.name and stream.frames:
        return present < stream.frames
    stated = _stated_seconds(stream)
    if stated is None or not packets.stamped:
        return False
    end = max(stamp + duration for stamp, duration, _ in packets.stamps)
    begin = min(stamp for stamp, *_ in packets.stamps)
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


def _cut_short(file: Path) -> bool:
    """Whether the outermost boxes of an MP4, or the RIFF chunk of an AVI, reach beyond the end of the file."""
    size = file.stat().st_size
    with file.open("rb") as handle:
        head = handle.read(12)
        if head[:4] == b"RIFF" and len(head) == 12:
            return 8 + struct.unpack("<I", head[4:8])[0] > size
        if head[4:8] != b"ftyp":
            return False
        offset = 0
        while offset + 8 <= size:
            handle.seek(offset)
            header = handle.read(16)
            length = struct.unpack(">I", header[:4])[0]
            if length == 1 and len(header) == 16:
                length = struct.unpack(">Q", header[8:])[0]
            if length == 0:  # to the end of the file
                return False
            if length < 8:  # no box: something was appended
                return False
            offset += length
    return offset > size
