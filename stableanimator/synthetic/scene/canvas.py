"""The picture that is being drawn: colours, shading and which surface is where.

Drawn larger than asked for and shrunk at the end, with antialiased edges on places given to a sixteenth of a pixel.
Shading is drawn beside the colours as flat light and dark areas, blurred, and multiplied in: soft forms at the price
of two flat fills.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from stableanimator.synthetic.figure.palette import Colour

Image = NDArray[np.uint8]
Points = NDArray[np.int32]

_SHIFT = 4
_NEUTRAL = 128
GROUND = 255
"""Surface number of shadows on the ground."""


class Canvas:
    """A picture of `height` x `width`, `supersample` times as large while it is drawn."""

    def __init__(self, height: int, width: int, supersample: int) -> None:
        self.supersample = supersample
        self._size = (width, height)
        self._colour = np.zeros((height * supersample, width * supersample, 3), np.uint8)
        self._light = np.full(self._colour.shape[:2], _NEUTRAL, np.uint8)
        self._surfaces = np.zeros(self._colour.shape[:2], np.uint8)
        self._touched = (width * supersample, height * supersample, 0, 0)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height while it is drawn."""
        return self._colour.shape[1], self._colour.shape[0]

    @property
    def surfaces(self) -> Image:
        """[h, w] which surface is at each place of the enlarged picture; 0 is the background."""
        return self._surfaces

    def begin(self, background: Image) -> None:
        """Start a picture on a background of the enlarged size."""
        np.copyto(self._colour, background)
        self._light[:] = _NEUTRAL
        self._surfaces[:] = 0
        self._touched = (*self.size, 0, 0)

    def grid(self, points: NDArray[np.floating]) -> Points:
        """Places [..., 2] in pixels of the finished picture, as the drawing functions take them."""
        scaled = np.clip(points * self.supersample, -4e4, 4e4) - 0.5  # OpenCV counts from a pixel's centre
        return np.rint(scaled * (1 << _SHIFT)).astype(np.int32)

    def fill(self, outline: Points, colour: Colour, opacity: float = 1.0) -> None:
        """Fill an outline [N, 2] with a colour."""
        if opacity >= 1:
            cv2.fillPoly(self._colour, [outline], colour, cv2.LINE_AA, _SHIFT)
            return
        x0, y0, x1, y1 = self._bounds(outline)
        if x0 < x1 and y0 < y1:
            area = self._colour[y0:y1, x0:x1]
            over = area.copy()
            cv2.fillPoly(over, [outline - np.array([x0, y0], np.int32) * (1 << _SHIFT)], colour, cv2.LINE_AA, _SHIFT)
            cv2.addWeighted(over, opacity, area, 1 - opacity, 0, dst=area)

    def shade(self, outline: Points, light: int) -> None:
        """Give an outline [N, 2] a light, 0 to 255 with 128 neutral. It shows where there is a surface."""
        cv2.fillPoly(self._light, [outline], (light,), cv2.LINE_8, _SHIFT)

    def cover(self, outline: Points, surface: int) -> None:
        """Say which surface is inside an outline [N, 2]."""
        cv2.fillPoly(self._surfaces, [outline], (surface,), cv2.LINE_8, _SHIFT)
        x0, y0, x1, y1 = self._bounds(outline)
        left, top, right, bottom = self._touched
        self._touched = (min(left, x0), min(top, y0), max(right, x1), max(bottom, y1))

    def finish(self, softness: float, flash: float = 0.0) -> Image:
        """The picture, uint8 RGB [height, width, 3]. `softness` is the blur of the shading in finished pixels."""
        self._apply_light(*self._touched, softness)
        picture = cv2.resize(self._colour, self._size, interpolation=cv2.INTER_AREA)
        if flash > 0:
            picture = cv2.addWeighted(picture, 1 - flash, np.full_like(picture, 255), flash, 0)
        return np.asarray(picture, np.uint8)

    def _apply_light(self, x0: int, y0: int, x1: int, y1: int, softness: float) -> None:
        if x0 >= x1 or y0 >= y1:
            return
        light = self._light[y0:y1, x0:x1]
        drawn = self._surfaces[y0:y1, x0:x1] > 0
        # blurred at a reduced size: a box twice is nearly a Gaussian
        reduce = max(1, round(softness * self.supersample / 3))
        small = cv2.resize(
            light, (max(1, (x1 - x0) // reduce), max(1, (y1 - y0) // reduce)), None, 0, 0, cv2.INTER_AREA
        )
        reach = 2 * max(1, round(softness * self.supersample / reduce)) + 1
        for _ in range(2):
            small = cv2.blur(small, (reach, reach), borderType=cv2.BORDER_REPLICATE)
        light = np.asarray(cv2.resize(small, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR), np.uint8)
        light[~drawn] = _NEUTRAL
        area = self._colour[y0:y1, x0:x1]
        cv2.multiply(area, cv2.merge([light, light, light]), dst=area, scale=1 / _NEUTRAL)

    def _bounds(self, outline: Points) -> tuple[int, int, int, int]:
        """Pixels that an outline touches, cut to the picture: left, top, right, bottom."""
        x, y, w, h = cv2.boundingRect(outline)
        width, height = self.size
        left, top = (x >> _SHIFT) - 1, (y >> _SHIFT) - 1
        right, bottom = ((x + w) >> _SHIFT) + 3, ((y + h) >> _SHIFT) + 3
        return (
            min(max(left, 0), width),
            min(max(top, 0), height),
            max(min(right, width), 0),
            max(min(bottom, height), 0),
        )
