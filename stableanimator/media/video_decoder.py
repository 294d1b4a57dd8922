"""Decoded pictures of a video by index, with PyAV: each at its own index or not at all.

decord is not used: it decodes ahead without a bound (dmlc/decord issues 157 and 208), so that a one-minute clip of
1080p took 4 GB where this takes 0.2, it is slower, and it gives other frames than asked for, without an error, in AVI
with B-frames, MPEG-TS, fragmented MP4, open groups of pictures and files with two video streams.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorTrc, VideoReformatter
from numpy.typing import NDArray

from stableanimator.errors import DecodeError
from stableanimator.media.video_index import FrameIndex, is_damaged, open_container, video_stream

Image = NDArray[np.uint8]
"""uint8 RGB [H, W, 3]."""

_HDR = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)  # PQ and HLG


class Decoder:
    """PyAV frames by index, forwards; back and far jumps go to the nearest keyframe, or to the start."""

    def __init__(self, path: str, index: FrameIndex, threads: int) -> None:
        self._path, self._index, self._threads = path, index, threads
        self._to_rgb = VideoReformatter()  # kept: a table for HDR takes two seconds to make
        self._container: Any = None
        self._restart()

    def close(self) -> None:
        """Give the decoder back."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def frames(self, indices: Iterable[int]) -> Iterator[tuple[int, Image]]:
        """(index, upright picture) in the order asked for; ascending indices are decoded in one go.

        Raises:
            DecodeError: undecodable_frame, size_changes.
        """
        for index in indices:
            yield index, self._upright(self._find(index), index)

    def _restart(self) -> None:
        self.close()
        self._container = open_container(self._path)
        self._stream = video_stream(self._container)
        self._stream.codec_context.thread_count = self._threads
        self._decoded = self._decode()
        self._next = 0

    def _find(self, wanted: int) -> Any:
        keyframes = self._index.keyframes
        keyframe = int(keyframes[np.searchsorted(keyframes, wanted, side="right") - 1])
        jumped = wanted < self._next or keyframe > self._next
        if jumped:
            self._jump(keyframe)
        frame = self._forward_to(wanted)
        if frame is None and jumped and keyframe > 0:
            self._restart()  # the jump landed behind the frame
            frame = self._forward_to(wanted)
        if frame is None:
            raise DecodeError("undecodable_frame", f"frame {wanted} of {self._path}")
        return frame

    def _jump(self, keyframe: int) -> None:
        if keyframe == 0 or self._index.stamps is None:
            self._restart()
            return
        self._container.seek(int(self._index.stamps[keyframe]), stream=self._stream, backward=True)
        self._decoded = self._decode()
        self._next = keyframe

    def _forward_to(self, wanted: int) -> Any:
        """The frame, or None where it is missing or made up of what a lost one left behind."""
        for position, frame, whole in self._decoded:
            self._next = position + 1
            if position >= wanted:
                return frame if position == wanted and whole else None
        return None

    def _decode(self) -> Iterator[tuple[int, Any, bool]]:
        """(index, frame, whether it is whole); decoders fill in what they lack, and few say so."""
        count = 0
        gap = False  # a packet was lost
        lost = False  # so was what the frames up to the next keyframe are made from
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                if packet.size and is_damaged(packet):
                    gap = True
                    continue
                if packet.size:  # the last one is empty: it asks for what the decoder still holds
                    lost, gap = lost or gap, False
                frames = packet.decode()
            except av.FFmpegError as error:
                if self._index.stamps is None:  # frames are counted, so all that follow would have a wrong number
                    raise DecodeError("undecodable_frame", f"frame {count} of {self._path}") from error
                gap = True
                continue
            for frame in frames:
                position = count if self._index.stamps is None else self._position(frame.pts)
                count += 1
                lost = (lost and not frame.key_frame) or frame.is_corrupt
                if position is not None:
                    yield position, frame, not lost

    def _position(self, stamp: int | None) -> int | None:
        stamps = self._index.stamps
        if stamp is None or stamps is None:
            return None
        position = int(np.searchsorted(stamps, stamp))
        return position if position < len(stamps) and stamps[position] == stamp else None

    def _upright(self, frame: Any, index: int) -> Image:
        if (frame.width, frame.height) != self._index.stored_size:
            width, height = self._index.stored_size
            change = f"{frame.width}x{frame.height}, the first {width}x{height}"
            raise DecodeError("size_changes", f"frame {index} of {self._path} is {change}")
        hdr = frame.color_trc in _HDR
        # What is brighter than a white page (203 candelas per square metre, ITU-R BT.2408) becomes white.
        target = {"dst_color_trc": ColorTrc.BT709, "dst_color_primaries": ColorPrimaries.BT709} if hdr else {}
        picture = self._to_rgb.reformat(frame, format="rgb24", threads=1, **target).to_ndarray()
        return np.ascontiguousarray(np.rot90(picture, self._index.quarter_turns))
