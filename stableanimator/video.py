"""Video files to upright RGB frames with their times and back, and single pictures.

decord decodes what it is known to decode rightly, PyAV everything else: what decord cannot open, and what it would
silently give the wrong frames of (`video_index._decord_safe`). Both give the same pixels. Pixels that are not square
stay as stored.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlparse

import av
import cv2
import decord
import numpy as np
import pyarrow.fs as pafs
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from numpy.typing import NDArray

from stableanimator.errors import DecodeError
from stableanimator.video_index import FrameIndex, index_frames, is_damaged, open_container, video_stream

Image = NDArray[np.uint8]
"""uint8 RGB [H, W, 3]."""

decord.logging.set_level(decord.logging.QUIET)


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoInfo:
    """What is known of a video before its frames are decoded (F frames)."""

    frame_count: int
    fps: float
    """Mean frames per second, from the times; as the container states it for a single frame."""
    width: int
    """Pixels of the upright picture."""
    height: int
    times: NDArray[np.float64]
    """[F] seconds from the first frame, as stored: uneven where the frame rate varies."""
    truncated: bool
    """The container speaks of more frames than the file holds; `frame_count` counts those that are there."""


class VideoReader:
    """Frames of a video by index, upright.

    `path` is a local path or a URI of `pyarrow.fs`; a remote file is copied to a temporary one that lives as long as
    the reader. `threads` are decoder threads.

        with VideoReader("/data/dance.mp4") as video:
            first = video.read([0])[0]          # uint8 [H, W, 3]

    Raises:
        DecodeError: not_found, empty_file, unreadable, truncated (nothing is left to decode), no_video, no_frames.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        self._path, self._copy = _local_file(str(path))
        self._threads = threads
        self._index = index_frames(self._path)
        self._sequential: _Sequential | None = None
        self._decord = self._open_decord() if self._index.decord_safe else None
        times = self._index.times
        self.info = VideoInfo(
            frame_count=len(times),
            fps=(len(times) - 1) / float(times[-1]) if len(times) > 1 else self._index.rate,
            width=self._index.width,
            height=self._index.height,
            times=times,
            truncated=self._index.truncated,
        )

    def _open_decord(self) -> Any:
        try:
            # The smallest tolerance above zero: an error, not a neighbouring frame, in place of a damaged one.
            reader = decord.VideoReader(self._path, num_threads=self._threads, fault_tol=1e-9)
            shape = reader.next().shape  # opening alone does not tell
            reader.seek(0)
        except (decord.DECORDError, StopIteration, RuntimeError, AssertionError):
            return None
        same = len(reader) == len(self._index.times) and shape == (self._index.height, self._index.width, 3)
        return reader if same else None

    def read(self, indices: Sequence[int] | NDArray[np.integer]) -> NDArray[np.uint8]:
        """Frames at `indices` (any order, repeats allowed) as uint8 RGB [n, H, W, 3].

        Raises:
            IndexError: an index is not in 0..frame_count-1.
            DecodeError: undecodable_frame.
        """
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        if wanted.size == 0:
            return np.zeros((0, self.info.height, self.info.width, 3), np.uint8)
        if wanted.min() < 0 or wanted.max() >= self.info.frame_count:
            raise IndexError(f"frames {wanted.min()}..{wanted.max()} of a video with {self.info.frame_count} frames")
        unique, places = np.unique(wanted, return_inverse=True)
        frames = self._read_decord(unique)
        if frames is None:
            if self._sequential is None:
                self._sequential = _Sequential(self._path, self._index, self._threads)
            frames = self._sequential.read(unique)
        return frames if np.array_equal(unique, wanted) else frames[places]

    def _read_decord(self, unique: NDArray[np.int64]) -> NDArray[np.uint8] | None:
        if self._decord is None:
            return None
        try:
            return self._decord.get_batch(unique.tolist()).asnumpy()
        except (decord.DECORDError, decord.DECORDLimitReachedError):
            self._decord = None  # PyAV tells which frame is damaged
            return None

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

    def close(self) -> None:
        """Give back the decoders and the copy of a remote file."""
        if self._sequential is not None:
            self._sequential.close()
        self._sequential = self._decord = None
        if self._copy is not None:
            self._copy.cleanup()
            self._copy = None

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Sequential:
    """PyAV frames by index, forwards; back and far jumps go to the nearest keyframe, or to the start."""

    def __init__(self, path: str, index: FrameIndex, threads: int) -> None:
        self._path, self._index, self._threads = path, index, threads
        self._container: Any = None
        self._restart()

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None

    def _restart(self) -> None:
        self.close()
        self._container = open_container(self._path)
        self._stream = video_stream(self._container)
        self._stream.codec_context.thread_count = self._threads
        self._frames = self._decode()
        self._next = 0

    def read(self, wanted: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Frames at increasing, distinct indices."""
        return np.stack([self._one(int(index)) for index in wanted])

    def _one(self, wanted: int) -> Image:
        keyframe = int(self._index.keyframes[self._index.keyframes <= wanted][-1])
        jumped = wanted < self._next or keyframe > self._next
        if jumped:
            self._jump(keyframe)
        frame = self._forward_to(wanted)
        if frame is None and jumped and keyframe > 0:
            self._restart()  # the jump landed behind the frame
            frame = self._forward_to(wanted)
        if frame is None:
            raise DecodeError("undecodable_frame", f"frame {wanted} of {self._path}")
        return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), self._index.quarter_turns))

    def _jump(self, keyframe: int) -> None:
        if keyframe == 0 or self._index.stamps is None:
            self._restart()
            return
        self._container.seek(int(self._index.stamps[keyframe]), stream=self._stream, backward=True)
        self._frames = self._decode()
        self._next = keyframe

    def _forward_to(self, wanted: int) -> Any:
        for position, frame in self._frames:
            self._next = position + 1
            if position >= wanted:
                return frame if position == wanted else None
        return None

    def _decode(self) -> Iterator[tuple[int, Any]]:
        count = 0
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = [] if packet.size and is_damaged(packet) else packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                position = count if self._index.stamps is None else self._position(frame.pts)
                count += 1
                if position is not None:
                    yield position, frame

    def _position(self, stamp: int | None) -> int | None:
        stamps = self._index.stamps
        if stamp is None or stamps is None:
            return None
        position = int(np.searchsorted(stamps, stamp))
        return position if position < len(stamps) and stamps[position] == stamp else None


def write_mp4(path: str | Path, frames: Iterable[Image], fps: float, *, crf: int = 18) -> None:
    """Encode frames, uint8 RGB [H, W, 3] of one size, as H.264 yuv420p with BT.709 colours.

    `crf` is x264's quality: 0 lossless, 18 visually lossless, 51 worst. An odd height or width gets its last row or
    column repeated, since yuv420p has even sizes only. The file appears whole or not at all.

    Raises:
        ValueError: no frames, or frames of different sizes.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}-", suffix=".mp4")
    os.close(handle)
    try:
        with av.open(temporary, "w", format="mp4", options={"movflags": "+faststart"}) as container:
            _encode(container, iter(frames), Fraction(fps).limit_denominator(1001), crf)
        os.chmod(temporary, 0o644)  # mkstemp gives 0600
        os.replace(temporary, target)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _encode(container: Any, frames: Iterator[Image], rate: Fraction, crf: int) -> None:
    first = next(frames, None)
    if first is None:
        raise ValueError("a video needs at least one frame")
    height, width = first.shape[:2]
    stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf)})
    stream.height, stream.width, stream.pix_fmt = height + height % 2, width + width % 2, "yuv420p"
    codec = stream.codec_context
    # Stated, because players guess from the picture's size where it is not.
    codec.colorspace, codec.color_range = Colorspace.ITU709, ColorRange.MPEG
    codec.color_primaries, codec.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    for image in _chain(first, frames):
        if image.shape != first.shape or image.dtype != np.uint8:
            raise ValueError(f"a frame is {image.dtype}{list(image.shape)}, the first {list(first.shape)}")
        padded = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _chain(first: Image, rest: Iterator[Image]) -> Iterator[Image]:
    yield first
    yield from rest


def read_image(uri: str | Path) -> Image:
    """A picture as uint8 RGB [H, W, 3]: a picture file (EXIF orientation applied), or `video.mp4#frame=12`.

    `uri` is a local path or a URI of `pyarrow.fs`. Transparency is dropped.

    Raises:
        DecodeError: not_found, unreadable, no_such_frame, or as `VideoReader`.
    """
    text = str(uri)
    name, mark, number = text.rpartition("#frame=")
    if mark:
        with VideoReader(name) as video:
            if not number.isdigit() or int(number) >= video.info.frame_count:
                raise DecodeError("no_such_frame", f"{text}: the video has {video.info.frame_count} frames")
            return video.read([int(number)])[0]
    path, copy = _local_file(text)
    try:
        if not Path(path).is_file():
            raise DecodeError("not_found", f"{text} is not a file")
        data = np.fromfile(path, np.uint8)
    finally:
        if copy is not None:
            copy.cleanup()
    image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if data.size else None
    if image is None:
        raise DecodeError("unreadable", f"{text} is no picture that OpenCV knows")
    return np.asarray(image, np.uint8)


def _local_file(uri: str) -> tuple[str, tempfile.TemporaryDirectory[str] | None]:
    """A path that decoders can open, and the folder of the temporary copy where one had to be made."""
    if "://" not in uri:
        return uri, None
    if uri.startswith("file://"):
        return unquote(urlparse(uri).path), None
    folder = tempfile.TemporaryDirectory(prefix="stableanimator-")
    target = os.path.join(folder.name, Path(urlparse(uri).path).name or "file")
    try:
        pafs.copy_files(uri, target)
    except (OSError, ValueError) as error:
        folder.cleanup()
        raise DecodeError("not_found", f"{uri} cannot be fetched ({error})") from error
    return target, folder
