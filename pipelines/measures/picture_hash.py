"""Perceptual hashes of the sampled frames of a shot: what copies of a video are found by, however they were encoded.

A hash says of the 64 lowest frequencies of the grey picture which are above their median (ImageHash's `phash`). Another
encoding changes few of its bits, a cut margin more of them, so each frame is hashed in several cuts as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import cv2
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.measures.frames import Frame
from stableanimator.limits.checks import Range, checked

NAME = "picture_hash"
VERSION = 1
"""Raise when a column's meaning changes."""

_BITS = 8  # a side of the block of frequencies: 64 bits
_HASHED = 4 * _BITS  # pixels a side, of which the lowest quarter of frequencies is kept
_SHRUNK = 4 * _HASHED  # pixels a side, once for all cuts of a frame: a cut of them is exact to a hundredth of a side


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class PictureHashSettings:
    """What is hashed beside the whole picture."""

    margin: Annotated[float, Range(0, 0.3)] = 0.05
    """Share of each side, 0 to 0.3, that a cut leaves out: copies that lost as much at any edge are like one of the
    cuts. 0.05 is a subtitle, a watermark or a thin bar."""


class PictureHash:
    """The measure of one shot: `add` its sampled frames in order, then read `columns`."""

    def __init__(self, settings: PictureHashSettings) -> None:
        self._margin = settings.margin
        self._plain: list[int] = []
        self._mirrored: list[int] = []
        self._cuts: list[list[int]] = []

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        small = _shrunk(frame.image, _SHRUNK)
        self._plain.append(picture_hash(small))
        self._mirrored.append(picture_hash(small[:, ::-1]))
        self._cuts.append([picture_hash(cut) for cut in _cuts(small, self._margin)])

    def columns(self) -> dict[str, Any]:
        """The columns of PICTURE_HASH behind the samples' head."""
        return {"plain_hash": self._plain, "mirrored_hash": self._mirrored, "cut_hashes": self._cuts}


def picture_hash(image: NDArray[np.uint8]) -> int:
    """The 64 bits of a picture [H, W, 3], the lowest frequency first, as one unsigned number."""
    bits = imagehash.phash(Image.fromarray(_shrunk(image, _HASHED)), hash_size=_BITS).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _shrunk(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """[side, side, 3]"""
    return np.asarray(cv2.resize(np.ascontiguousarray(image), (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _cuts(image: NDArray[np.uint8], margin: float) -> list[NDArray[np.uint8]]:
    """The picture without a margin: at its four corners, and in the middle."""
    lost = round(margin * _SHRUNK)
    kept = _SHRUNK - lost
    corners = ((0, 0), (0, lost), (lost, 0), (lost, lost), (lost // 2, lost // 2))
    return [image[top : top + kept, left : left + kept] for top, left in corners]
