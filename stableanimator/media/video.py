"""Video files to RGB frames as players show them, with their times, and back.

Frames and times are those that FFmpeg's own tools show: edit lists are followed, display matrices applied, pixels made
square (`stableanimator.media.display`), colours converted as the stream says. High dynamic range (PQ, HLG) becomes
BT.709, transparency is dropped, and interlaced pictures stay woven; `VideoReader.interlaced` marks them.
"""

from __future__ import annotations

import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlparse

import av
import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from numpy.typing import NDArray

from stableanimator.errors import DecodeError
from stableanimator.media.prefetch import Prefetch
from stableanimator.media.video_decoder import Decoder, Image
from stableanimator.media.video_index import FrameIndex, index_frames

LOSSLESS_SHARE = (0.04, 0.4)
"""What `write_lossless` makes of three bytes a pixel: least and most of 17 clips of people, 0.17 in the middle."""

_SAME_BYTES = "mbtree=0"
"""With x264's tree of macroblocks up to one file in four of equal frames was another, where a processor has AVX-512 and
a row is no multiple of eight macroblocks; it seems to read memory that nobody wrote. Without the tree, and without
AVX-512, all were equal."""

_AHEAD = 2  # decoded frames that wait for whoever reads them


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoInfo:
    """What is known of a video before its frames are decoded (F frames)."""

    frame_count: int
    fps: float
    """Mean frames per second, from the times; as the container states it for a single frame."""
    width: int
    """Pixels of the picture that is shown: square ones, upright."""
    height: int
    times: NDArray[np.float64]
    """[F] seconds from the first frame, increasing: uneven where the frame rate varies."""
    truncated: bool
    """The container speaks of more frames than the file holds; `frame_count` counts those that are there."""


class FrameReader(ABC):
    """Frames of a clip by index: what videos and folders of pictures have in common."""

    info: VideoInfo

    @abstractmethod
    def frames(self, indices: Iterable[int] | NDArray[np.integer]) -> Iterator[tuple[int, Image]]:
        """(index, frame [H, W, 3]) in the order asked for, decoded on another thread while the caller works on the last
        one. A new call ends the one before.

        Raises:
            IndexError: an index is not in 0..frame_count-1.
            DecodeError: undecodable_frame, size_changes.
        """

    def _wanted(self, indices: Iterable[int] | NDArray[np.integer]) -> NDArray[np.int64]:
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= self.info.frame_count):
            raise IndexError(f"frames {wanted.min()}..{wanted.max()} of a clip with {self.info.frame_count} frames")
        return wanted

    @abstractmethod
    def close(self) -> None:
        """Give back what reading took."""

    def read(self, indices: Sequence[int] | NDArray[np.integer]) -> NDArray[np.uint8]:
        """Frames at `indices` (any order, repeats allowed) as uint8 RGB [n, H, W, 3].

        Raises:
            As `frames`.
        """
        unique, places = np.unique(np.asarray(indices, dtype=np.int64), return_inverse=True)
        frames = np.zeros((len(unique), self.info.height, self.info.width, 3), np.uint8)
        for place, (_, frame) in enumerate(self.frames(unique)):
            frames[place] = frame
        return frames if np.array_equal(unique, indices) else frames[places.reshape(-1)]

    def windows(
        self, indices: Sequence[int] | NDArray[np.integer], size: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        """Pairs of (indices [n], frames [n, H, W, 3]) with n <= `size`: one window is in memory at a time."""
        if size < 1:
            raise ValueError(f"windows of {size} frames")
        wanted = np.asarray(indices, dtype=np.int64)
        for start in range(0, len(wanted), size):
            window = wanted[start : start + size]
            yield window, self.read(window)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class VideoReader(FrameReader):
    """Frames of a video by index, as they are shown.

    `path` is a local path or a URI of `pyarrow.fs`; a remote file is copied to a temporary one that lives as long as
    the reader. `threads` are decoder threads. Memory holds one decoded frame and the few that follow it.

        with VideoReader("/data/dance.mp4") as video:
            first = video.read([0])[0]          # uint8 [H, W, 3]

    Raises:
        DecodeError: not_found, empty_file, unreadable, truncated (nothing is left to decode), no_video, no_frames.
        DecodeTimeout: a few packets of the list of the frames, or later a frame, took longer than `timeout_s` seconds.
            The file may make a decoder hang, and cannot be read any further.
    """

    def __init__(self, path: str | Path, threads: int = 1, timeout_s: float = 600.0) -> None:
        self._path, self._copy = local_file(str(path))
        self._threads, self._timeout_s = threads, timeout_s
        self._decoder: Decoder | None = None
        self._reading: Prefetch[tuple[int, Image]] | None = None
        try:
            self._index = self._list_frames()
        except BaseException:
            self.close()
            raise
        times, (width, height) = self._index.times, self._index.display.size
        self.interlaced: NDArray[np.bool_] = np.zeros(len(times), np.bool_)
        """[F] whether a frame is stored as two fields, half a step apart; False for those that were not read yet."""
        self.info = VideoInfo(
            frame_count=len(times),
            fps=(len(times) - 1) / float(times[-1]) if len(times) > 1 else self._index.rate,
            width=width,
            height=height,
            times=times,
            truncated=self._index.truncated,
        )

    def _list_frames(self) -> FrameIndex:
        steps = self._guarded(index_frames(self._path, self._threads))
        return next(index for index in steps if index is not None)

    def _guarded(self, items: Iterator[Any]) -> Prefetch[Any]:
        return Prefetch(items, depth=_AHEAD, timeout_s=self._timeout_s, what=self._path)

    def frames(self, indices: Iterable[int] | NDArray[np.integer]) -> Iterator[tuple[int, Image]]:
        wanted = self._wanted(indices)
        if self._reading is not None:
            self._reading.close()
        self._reading = self._guarded(self._decode(wanted))
        return self._reading

    def _decode(self, wanted: NDArray[np.int64]) -> Iterator[tuple[int, Image]]:
        if self._decoder is None:
            self._decoder = Decoder(self._path, self._index, self._threads)
        for index, image, interlaced in self._decoder.frames(map(int, wanted)):
            self.interlaced[index] = interlaced
            yield index, image

    def close(self) -> None:
        """Give back the decoder and the copy of a remote file."""
        # A decoder that hangs is left alone: to close it under its own thread would crash the process.
        if (self._reading is None or self._reading.close()) and self._decoder is not None:
            self._decoder.close()
        self._reading = self._decoder = None
        if self._copy is not None:
            self._copy.cleanup()
            self._copy = None


def write_mp4(path: str | Path, frames: Iterable[Image], fps: float, *, crf: int = 18) -> None:
    """Encode frames, uint8 RGB [H, W, 3] of one size, as H.264 yuv420p with BT.709 colours.

    `crf` is x264's quality: 0 lossless, 18 visually lossless, 51 worst. An odd height or width gets its last row or
    column repeated, since yuv420p has even sizes only. Equal frames make equal files, on any processor. The file
    appears whole or not at all.

    Raises:
        ValueError: no frames, or frames of different sizes.
    """
    with _container(path, "mp4", {"movflags": "+faststart"}) as container:
        first, all_of_them = _of_one_size(frames)
        height, width = first.shape[:2]
        stream = container.add_stream("libx264", rate=_rate(fps), options={"crf": str(crf), "x264-params": _SAME_BYTES})
        stream.height, stream.width, stream.pix_fmt = height + height % 2, width + width % 2, "yuv420p"
        codec = stream.codec_context
        codec.thread_count = 1  # the bytes depend on it
        # Stated, because players guess from the picture's size where it is not.
        codec.colorspace, codec.color_range = Colorspace.ITU709, ColorRange.MPEG
        codec.color_primaries, codec.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        for image in all_of_them:
            padded = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_lossless(path: str | Path, frames: Iterable[Image], fps: float) -> None:
    """Encode frames, uint8 RGB [H, W, 3] of one size, as H.264 of RGB in an mp4: `VideoReader` gives back the very
    values, and equal frames make equal files. Few players show such a file. Clips of cameras take `LOSSLESS_SHARE` of
    their raw size. (FFV1 would want Matroska, whose milliseconds do not keep the rate.) The file appears whole or not
    at all.

    Raises:
        ValueError: no frames, or frames of different sizes.
    """
    with _container(path, "mp4", {"movflags": "+faststart"}) as container:
        first, all_of_them = _of_one_size(frames)
        stream = container.add_stream("libx264rgb", rate=_rate(fps), options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = *first.shape[:2], "rgb24"
        stream.codec_context.thread_count = 1  # the bytes depend on it
        for image in all_of_them:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(stream.encode(None))


@contextmanager
def _container(path: str | Path, kind: str, options: dict[str, str]) -> Iterator[Any]:
    """A container of FFmpeg's `kind` to write into."""
    with written_whole(path) as temporary, av.open(temporary, "w", format=kind, options=options) as container:
        yield container


@contextmanager
def written_whole(path: str | Path) -> Iterator[str]:
    """A temporary file beside `path`, which it becomes when nothing went wrong inside."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}-", suffix=target.suffix)
    os.close(handle)
    try:
        yield temporary
        os.chmod(temporary, 0o644)  # mkstemp gives 0600
        os.replace(temporary, target)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _rate(fps: float) -> Fraction:
    return Fraction(fps).limit_denominator(1001)


def _of_one_size(frames: Iterable[Image]) -> tuple[Image, Iterator[Image]]:
    """The first frame, and all of them, each checked when it is reached."""
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        raise ValueError("a video needs at least one frame")
    return first, _checked(first, rest)


def _checked(first: Image, rest: Iterator[Image]) -> Iterator[Image]:
    yield first
    for image in rest:
        if image.shape != first.shape or image.dtype != np.uint8:
            raise ValueError(f"a frame is {image.dtype}{list(image.shape)}, the first {list(first.shape)}")
        yield image


def local_file(uri: str) -> tuple[str, tempfile.TemporaryDirectory[str] | None]:
    """A path that decoders can open, and the folder of the temporary copy where one had to be made.

    Raises:
        DecodeError: not_found, no file can be had from there.
    """
    if "://" not in uri:
        return uri, None
    if uri.startswith("file://"):
        if (host := urlparse(uri).netloc) not in ("", "localhost"):
            raise DecodeError("not_found", f"{uri} names a file on another host, {host}")
        return unquote(urlparse(uri).path), None
    folder = tempfile.TemporaryDirectory(prefix="stableanimator-")
    target = os.path.join(folder.name, Path(urlparse(uri).path).name or "file")
    try:
        filesystem, path = pafs.FileSystem.from_uri(uri)
        if filesystem.get_file_info(path).type == pafs.FileType.Directory:
            os.mkdir(target)
        pafs.copy_files(path, target, source_filesystem=filesystem)
    except (OSError, ValueError, pa.ArrowException) as error:
        folder.cleanup()
        raise DecodeError("not_found", f"{uri} cannot be fetched ({' '.join(str(error).split())})") from error
    return target, folder
