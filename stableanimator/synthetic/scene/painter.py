"""A brush for backgrounds: shapes given in the plane of a set, painted for any window of it at any size.

The plane's unit is a body height; x to the right, y down, people stand on y = 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from stableanimator.synthetic.figure.palette import Colour

WIDE = 5.0
"""Sets reach this far to both sides."""
FLOOR = -0.17
"""Where the floor meets the wall: the camera looks down a little."""

_SHIFT = 4
_TILE = 256  # side of the noise that textures are made of, in samples


class Painter:
    """Paints the window `left, top, right, bottom` at `density` pixels per unit."""

    def __init__(self, window: tuple[float, float, float, float], density: float, seed: int) -> None:
        self.left, self.top, self.right, self.bottom = window
        self.density = density
        width = max(2, round((self.right - self.left) * density))
        height = max(2, round((self.bottom - self.top) * density))
        self.picture: NDArray[np.uint8] = np.zeros((height, width, 3), np.uint8)
        self._noise = np.random.default_rng([seed, 9]).normal(0, 1, (_TILE, _TILE)).astype(np.float32)

    def matrix(self) -> NDArray[np.float64]:
        """[2, 3] from the plane to pixels of the picture."""
        return np.array([[self.density, 0, -self.left * self.density], [0, self.density, -self.top * self.density]])

    def poly(
        self, points: Sequence[tuple[float, float]] | NDArray[np.floating], colour: Colour, opacity: float = 1.0
    ) -> None:
        """Fill a polygon."""
        grid = self._grid(np.asarray(points, np.float64))
        low, high = grid.min(0) >> _SHIFT, grid.max(0) >> _SHIFT
        height, width = self.picture.shape[:2]
        x0, y0 = max(int(low[0]) - 1, 0), max(int(low[1]) - 1, 0)
        x1, y1 = min(int(high[0]) + 3, width), min(int(high[1]) + 3, height)
        if x0 >= x1 or y0 >= y1:
            return
        if opacity >= 1:
            cv2.fillPoly(self.picture, [grid], colour, cv2.LINE_AA, _SHIFT)
            return
        area = self.picture[y0:y1, x0:x1]
        over = area.copy()
        cv2.fillPoly(over, [grid - np.array([x0, y0], np.int32) * (1 << _SHIFT)], colour, cv2.LINE_AA, _SHIFT)
        cv2.addWeighted(over, opacity, area, 1 - opacity, 0, dst=area)

    def rect(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, opacity: float = 1.0) -> None:
        """Fill a rectangle."""
        self.poly([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour, opacity)

    def oval(
        self, x: float, y: float, rx: float, ry: float, colour: Colour, opacity: float = 1.0, count: int = 40
    ) -> None:
        """Fill an ellipse."""
        turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
        self.poly(np.stack([x + rx * np.cos(turn), y + ry * np.sin(turn)], -1), colour, opacity)

    def line(self, points: Sequence[tuple[float, float]], width: float, colour: Colour, opacity: float = 1.0) -> None:
        """Draw a line of some width as rectangles from point to point."""
        path = np.asarray(points, np.float64)
        for start, end in itertools.pairwise(path):
            along = (end - start) / max(float(np.hypot(*(end - start))), 1e-9)
            side = np.array([-along[1], along[0]]) * width / 2
            self.poly(np.array([start + side, end + side, end - side, start - side]), colour, opacity)

    def gradient(self, y0: float, y1: float, upper: Colour, lower: Colour) -> None:
        """Fill everything between two heights, from one colour to another."""
        height = self.picture.shape[0]
        rows = (np.arange(height) + 0.5) / self.density + self.top
        inside = (rows >= y0) & (rows < y1)
        share = np.clip((rows[inside] - y0) / (y1 - y0), 0, 1)[:, None]
        colours = np.array(upper) * (1 - share) + np.array(lower) * share
        self.picture[inside] = np.rint(colours).astype(np.uint8)[:, None]

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
        """Add soft light around a place."""
        height, width = self.picture.shape[:2]
        across = (np.arange(width) + 0.5) / self.density + self.left - x
        down = (np.arange(height) + 0.5) / self.density + self.top - y
        falloff = np.exp(-(across[None] ** 2) / radius**2) * np.exp(-(down[:, None] ** 2) / radius**2) * strength
        lit = self.picture + (np.array(colour, np.float32) - self.picture) * falloff[..., None].astype(np.float32)
        self.picture[:] = np.clip(np.rint(lit), 0, 255).astype(np.uint8)

    def texture(
        self, size: float, amount: float, y0: float = -np.inf, y1: float = np.inf, stretch: float = 1.0
    ) -> None:
        """Lighten and darken by noise with grains of `size` (`stretch` times as wide), between two heights."""
        height, width = self.picture.shape[:2]
        first = int(np.clip(np.floor((max(y0, self.top) - self.top) * self.density), 0, height))
        last = int(np.clip(np.ceil((min(y1, self.bottom) - self.top) * self.density), 0, height))
        if first >= last:
            return
        step = 1 / (self.density * size)
        matrix = np.array([[step / stretch, 0, self.left / size / stretch], [0, step, self.top / size + first * step]])
        matrix[:, 2] %= _TILE
        noise = cv2.warpAffine(
            self._noise,
            matrix,
            (width, last - first),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_WRAP,
        )
        area = self.picture[first:last]
        area[:] = np.clip(area * (1 + amount * noise[..., None]), 0, 255).astype(np.uint8)

    def soften(self, radius: float) -> None:
        """Blur everything so far, as a lens does with what is far behind its focus."""
        sigma = radius * self.density
        if sigma > 0.3:
            self.picture[:] = cv2.GaussianBlur(self.picture, (0, 0), sigma)

    def _grid(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        pixels = (points - (self.left, self.top)) * self.density - 0.5
        return np.rint(np.clip(pixels, -3e4, 3e4) * (1 << _SHIFT)).astype(np.int32)
