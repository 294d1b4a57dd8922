"""From a decoded picture to the one that is shown: square pixels, upright, not mirrored."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from av.sidedata.sidedata import Type
from numpy.typing import NDArray

_LONGEST_PIXEL = 4
"""How many times as wide as high a pixel may be, or as high as wide. The longest in use are those of half D1 at 16:9
(352x576, 32/11); what lies beyond is a number that somebody mistook for something else, and counts as not stated."""

Matrix = tuple[int, int, int, int]
"""a, b, c, d of a display matrix (ISO/IEC 14496-12, 6.2.2): a point (x, y) is shown at (a x + c y, b x + d y)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Display:
    """How the pictures of a stream are shown.

    Pixels that are not square are made so by the width of the stored picture, which is rounded to whole pixels; its
    height stays. Then it is turned and mirrored, by the nearest of the eight ways that keep it upright on a grid.
    """

    stored: tuple[int, int]
    """Width and height of the decoded picture."""
    square: tuple[int, int]
    """The same with square pixels."""
    transposed: bool
    """Rows become columns, before either flip."""
    flipped_rows: bool
    """Upside down."""
    flipped_columns: bool
    """Left and right are exchanged."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture that is shown."""
        width, height = self.square
        return (height, width) if self.transposed else (width, height)

    def upright(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture [h, w, 3] of size `square` as it is shown, [H, W, 3]."""
        if self.transposed:
            picture = picture.transpose(1, 0, 2)
        rows, columns = (
            slice(None, None, -1 if flipped else 1) for flipped in (self.flipped_rows, self.flipped_columns)
        )
        return np.ascontiguousarray(picture[rows, columns])


def display_of(frame: Any, pixel_shape: Fraction | None) -> Display:
    """How a stream is shown whose first frame this is (av.VideoFrame).

    `pixel_shape`: width of a pixel over its height, the container's before the stream's; None or 0 where none says.
    """
    a, b, c, d = _matrix(frame)
    transposed = abs(b) + abs(c) > abs(a) + abs(d)
    shape = pixel_shape if pixel_shape and 1 / _LONGEST_PIXEL <= pixel_shape <= _LONGEST_PIXEL else Fraction(1)
    return Display(
        stored=(frame.width, frame.height),
        square=(max(1, round(frame.width * shape)), frame.height),
        transposed=transposed,
        flipped_rows=(b if transposed else d) < 0,
        flipped_columns=(c if transposed else a) < 0,
    )


def _matrix(frame: Any) -> Matrix:
    """The display matrix of the container or the stream, as FFmpeg hands it on with each frame."""
    try:
        data = frame.side_data.get(Type.DISPLAYMATRIX)
    except ValueError:  # PyAV knows no name for something else that comes with the frame: then for the turn alone
        turns = round(frame.rotation / 90) % 4  # anticlockwise
        return ((1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))[turns]
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(data, np.int32)[:5].tolist()
    return a, b, c, d
