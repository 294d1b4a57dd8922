"""Folders of pictures as clips: what many systems leave of a result, and how some sets come."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
from numpy.typing import NDArray

from stableanimator.errors import DecodeError
from stableanimator.media.pictures import WHITE, Colour, read_image
from stableanimator.media.video import FrameReader, VideoInfo, VideoReader, local_file
from stableanimator.media.video_decoder import Image

PICTURES = frozenset([".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".heic", ".avif"])
"""Endings of the files that are frames; others lie in such folders too, and are passed over."""


def open_frames(uri: str, fps: float, background: Colour = WHITE) -> FrameReader:
    """A video, or a folder of pictures, by local path or URI of `pyarrow.fs`.

    Args:
        fps: frames a second of a folder, which has none; a video has its own.
        background: what shows through transparent parts of pictures.

    Raises:
        DecodeError: as `VideoReader` or `FolderReader`.
    """
    elsewhere = "://" in uri and not uri.startswith("file://")
    if elsewhere and os.path.splitext(urlparse(uri).path)[1]:
        return VideoReader(uri)  # named as a file is: it need not be fetched to be known
    path, copy = local_file(uri)
    if os.path.isdir(path):
        return FolderReader(path, fps, background, copy)
    if copy is not None:
        copy.cleanup()
    return VideoReader(uri)


class FolderReader(FrameReader):
    """The pictures of a folder as frames, in the order of the numbers in their names (`frame_2.png` before
    `frame_10.png`).

    Args:
        path: local.
        fps: frames a second that they are taken to have.
        background: what shows through transparent parts.
        copy: of a remote folder; it lives as long as the reader.

    Raises:
        DecodeError: not_found, no_frames (no picture in it), or as `read_image` of the first one.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float,
        background: Colour = WHITE,
        copy: tempfile.TemporaryDirectory[str] | None = None,
    ) -> None:
        self._copy, self._background = copy, background
        if not os.path.isdir(path):
            raise DecodeError("not_found", f"{path} is no folder")
        self.paths = sorted((each for each in Path(path).iterdir() if each.suffix.lower() in PICTURES), key=_number)
        if not self.paths:
            raise DecodeError("no_frames", f"{path} holds no picture")
        height, width = read_image(self.paths[0], background).shape[:2]
        times = np.arange(len(self.paths)) / fps
        self.info = VideoInfo(
            frame_count=len(self.paths), fps=fps, width=width, height=height, times=times, truncated=False
        )

    def frames(self, indices: Iterable[int] | NDArray[np.integer]) -> Iterator[tuple[int, Image]]:
        """As of videos, each read when it is asked for.

        Raises:
            IndexError: an index is not in 0..frame_count-1.
            DecodeError: size_changes, or as `read_image`.
        """
        for index in self._wanted(indices).tolist():
            picture = read_image(self.paths[index], self._background)
            if picture.shape != (self.info.height, self.info.width, 3):
                shown = "x".join(str(side) for side in picture.shape[:2])
                raise DecodeError(
                    "size_changes",
                    f"{self.paths[index]} is {shown}, the first picture {self.info.height}x{self.info.width}",
                )
            yield index, picture

    def close(self) -> None:
        """Remove the copy of a remote folder."""
        if self._copy is not None:
            self._copy.cleanup()
            self._copy = None


def _number(path: Path) -> list[tuple[int, str]]:
    """A key that sorts names by the numbers in them, and by what is between."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", path.name)]
