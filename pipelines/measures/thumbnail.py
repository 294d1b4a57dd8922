"""A small picture from the middle of a shot, for the report."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.measures.frames import Frame

VERSION = 3
"""Raise when another picture is made: all are then made again."""

_SIDE = 192  # pixels
_QUALITY = 80
_KEPT = 4  # pictures that are held while a shot's end is unknown


def middle_sample(count: int) -> int:
    """Which of a shot's samples is shown: one between its first quarter and its middle.

    It is a multiple of the least power of two that leaves no more than four of them in the shot, so that a shot whose
    end is not known yet needs no more than that many pictures.
    """
    spacing = 1
    while spacing * _KEPT < count:
        spacing *= 2
    return count // 2 // spacing * spacing


class Thumbnail:
    """The picture of one shot: `add` all its samples in order, or `middle_sample` alone, then read `columns`."""

    def __init__(self) -> None:
        self._count = 0
        self._spacing = 1
        self._pictures: list[NDArray[np.uint8]] = []  # of every `_spacing`-th sample

    def add(self, frame: Frame) -> None:
        """Take the next sample."""
        if self._count % self._spacing == 0:
            if len(self._pictures) == _KEPT:
                self._pictures = self._pictures[::2]
                self._spacing *= 2
            self._pictures.append(shrink(frame.image))
        self._count += 1

    def columns(self) -> dict[str, Any]:
        """The column of THUMBNAILS behind the shot's id."""
        bgr = cv2.cvtColor(self._pictures[middle_sample(self._count) // self._spacing], cv2.COLOR_RGB2BGR)
        return {"jpeg": cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()}


def shrink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A copy of a picture [H, W, 3] whose longer side is 192 pixels at most."""
    height, width = image.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
