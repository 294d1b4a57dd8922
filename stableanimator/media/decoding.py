"""The one walk through a stream: its packets in order, and what the decoder makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av


@dataclass(frozen=True, slots=True)
class Decoded:
    """What comes out of a decoder: a frame, or the news that one was lost."""

    frame: Any
    """av.VideoFrame; None where the decoder refused a packet."""
    stamp: int | None
    """Presentation stamp of the frame, or of the packet that was refused, in the stream's time base."""
    whole: bool
    """Made from nothing that was lost; decoders fill in what they lack, and few say so."""


def decode(container: Any, stream: Any) -> Iterator[Decoded]:
    """Every frame from where the container stands, in the order in which they are shown.

    What comes before the first frame that can be decoded is left out, as players do; frames that an edit list leaves
    out are not shown.
    """
    begun = False
    gap = False  # a packet was lost
    lost = False  # so was what the frames up to the next keyframe are made from
    for packet in _packets(container, stream):
        if packet is not None and packet.size:  # else it asks for what the decoder still holds
            if is_damaged(packet):
                gap = True
                continue
            lost, gap = lost or gap, False
        try:
            frames = stream.decode(packet)
        except av.FFmpegError:
            gap = True
            if begun and packet is not None:
                yield Decoded(None, packet.pts, False)
            continue
        for frame in frames:
            begun = True
            lost = (lost and not frame.key_frame) or frame.is_corrupt
            yield Decoded(frame, frame.pts, not lost)


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """The packets of a stream, an empty one or None last."""
    try:
        yield from container.demux(stream)
    except av.FFmpegError:  # whatever follows, no demuxer comes to it
        yield None


def is_damaged(packet: Any) -> bool:
    """Whether a packet was cut short, or is a hole that an unfinished download left in a file of the full size."""
    if packet.is_corrupt:
        # A transport stream calls a packet so wherever two streams were joined; the decoder knows better.
        return "mpegts" not in packet.stream.container.format.name
    # None of these codecs begins a packet with four zero bytes.
    holes_show = packet.stream.codec_context.name in ("h264", "hevc", "mpeg4", "vp9", "libdav1d", "av1")
    return holes_show and packet.size >= 4 and not any(memoryview(packet)[:4])
