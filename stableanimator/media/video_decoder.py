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
from av.filter import Graph
from av.video.reformatter import ColorTrc
from numpy.typing import NDArray

from stableanimator.errors import DecodeError
from stableanimator.media.container import open_container, video_stream
from stableanimator.media.decoding import Decoded, decode
from stableanimator.media.video_index import FrameIndex, recounted

Image = NDArray[np.uint8]
"""uint8 RGB [H, W, 3]."""

_HDR = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)  # PQ and HLG
_MATRICES = (0, 1, 2, 4, 5, 6, 7, 9)
"""Of ITU-T H.273, table 4: those from which FFmpeg makes RGB; others are taken for what is not stated."""


class Decoder:
    """PyAV frames by index, forwards; back and far jumps go to the nearest keyframe, or to the start."""

    def __init__(self, path: str, index: FrameIndex, threads: int) -> None:
        self._path, self._index, self._threads = path, index, threads
        self._filters: Any = None  # kept: a table for HDR takes two seconds to make
        self._kind: tuple[str, bool, bool] | None = None  # of the frames that they take
        self._container: Any = None
        self._was_counted = False
        self._restart()

    def close(self) -> None:
        """Give the decoder back."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def frames(self, indices: Iterable[int]) -> Iterator[tuple[int, Image, bool]]:
        """(index, picture as it is shown, whether it is stored as two fields) in the order asked for; ascending
        indices are decoded in one go.

        Raises:
            DecodeError: undecodable_frame, size_changes.
        """
        for index in indices:
            frame = self._find(index)
            yield index, self._shown(frame, index), frame.interlaced_frame

    def _restart(self) -> None:
        self.close()
        self._container = open_container(self._path)
        self._stream = video_stream(self._container)
        self._stream.codec_context.thread_count = self._threads
        self._decoded = decode(self._container, self._stream)
        self._next = 0

    def _find(self, wanted: int) -> Any:
        keyframes = self._index.keyframes
        keyframe = int(keyframes[np.searchsorted(keyframes, wanted, side="right") - 1])
        jumped = wanted < self._next or keyframe > self._next
        if jumped:
            self._jump(keyframe)
        decoded = self._forward_to(wanted)
        if jumped and keyframe > 0 and (decoded is None or not decoded.whole):
            self._restart()  # the jump landed behind the frame, or behind what it is made from
            decoded = self._forward_to(wanted)
        if decoded is None and self._count_frames():
            decoded = self._forward_to(wanted)
        if decoded is None or not decoded.whole:
            raise DecodeError("undecodable_frame", f"frame {wanted} of {self._path}")
        return decoded.frame

    def _count_frames(self) -> bool:
        """Whether frames that were known by their stamps can be counted instead; then nothing is decoded yet."""
        if self._index.stamps is None or self._was_counted:
            return False
        self._was_counted = True  # a damaged video must not be decoded whole for each frame that it lacks
        counted = recounted(self._path, self._index, self._threads)
        if counted is None:
            return False
        self._index = counted
        self._restart()
        return True

    def _jump(self, keyframe: int) -> None:
        if keyframe == 0 or self._index.stamps is None:
            self._restart()
            return
        self._container.seek(int(self._index.stamps[keyframe]), stream=self._stream, backward=True)
        self._decoded = decode(self._container, self._stream)
        self._next = keyframe

    def _forward_to(self, wanted: int) -> Decoded | None:
        """The frame, or None where it does not come."""
        for decoded in self._decoded:
            position = self._position(decoded)
            if position is None:
                continue
            self._next = position + 1
            if position >= wanted:
                return decoded if position == wanted else None
        return None

    def _position(self, decoded: Decoded) -> int | None:
        """The index of what comes next out of the decoder."""
        stamps = self._index.stamps
        if stamps is None:
            return self._next
        if decoded.stamp is None:
            return None
        position = int(np.searchsorted(stamps, decoded.stamp))
        return position if position < len(stamps) and stamps[position] == decoded.stamp else None

    def _shown(self, frame: Any, index: int) -> Image:
        display = self._index.display
        if (frame.width, frame.height) != display.stored:
            width, height = display.stored
            change = f"{frame.width}x{frame.height}, the first {width}x{height}"
            raise DecodeError("size_changes", f"frame {index} of {self._path} is {change}")
        kind = frame.format.name, frame.color_trc in _HDR, frame.colorspace in _MATRICES
        if kind != self._kind:
            self._kind, self._filters = kind, _filters(frame, display.square, hdr=kind[1], known_matrix=kind[2])
        try:
            self._filters.vpush(frame)
            picture = self._filters.vpull().to_ndarray()
        except av.FFmpegError as error:
            raise DecodeError("undecodable_frame", f"frame {index} of {self._path} cannot become RGB") from error
        return display.upright(np.asarray(picture, np.uint8))


def _filters(frame: Any, size: tuple[int, int], *, hdr: bool, known_matrix: bool) -> Graph:
    """RGB with square pixels, by the filters that FFmpeg's own tools put there, so that the pictures are the same."""
    # What is brighter than a white page (203 candelas per square metre, ITU-R BT.2408) becomes white. Else nobody
    # looks at the curve and the primaries, and files hold nonsense there.
    said = {} if hdr else {"color_primaries": "unknown", "color_trc": "unknown"}
    become = {"out_transfer": "bt709", "out_primaries": "bt709"} if hdr else {}
    if not known_matrix:
        said["colorspace"] = "unknown"
    graph = Graph()
    graph.threads = 1
    graph.link_nodes(
        graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base),
        graph.add("setparams", **said),
        graph.add("scale", width=str(size[0]), height=str(size[1]), flags="bicubic", **become),
        graph.add("format", "rgb24"),
        graph.add("buffersink"),
    ).configure()
    return graph
