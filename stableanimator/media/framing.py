"""How a picture of any size becomes one of the model's: scaled until it covers it and cut out, or until it lies in it
and padded.

Nothing is stretched: both axes are scaled alike, up to the rounding of the scaled size to whole pixels. Points and
boxes go through the same transform, in pixels with the origin at the top-left corner of the top-left pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import cv2
import numpy as np
import numpy.typing as npt

from stableanimator.limits.checks import Range

Side = Annotated[int, Range(1, 1 << 16)]
Size = tuple[Side, Side]
"""Height and width in pixels."""

Fit = Literal["cover", "contain", "native"]
"""`cover`: cut to one of the sizes; `contain`: padded to one of them; `native`: cut no more than the network asks."""

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of a source."""


def nearest_size(height: int, width: int, sizes: Sequence[Size]) -> Size:
    """The size whose aspect ratio is nearest (in log) to that of `height` x `width`; of equals the first."""
    return similar_sizes(height, width, sizes)[0]


def similar_sizes(height: int, width: int, sizes: Sequence[Size]) -> list[Size]:
    """The sizes from the nearest aspect ratio (in log) to the farthest; of equals the first comes first.

    Beside the nearest only those that keep at least half of a picture of `height` x `width` when they are cut from it.
    """

    def distance(size: Size) -> float:
        return abs(math.log(size[0] / size[1]) - math.log(height / width))

    nearest, *others = sorted(sizes, key=distance)
    return [nearest, *(size for size in others if distance(size) <= math.log(2))]


def native_size(height: int, width: int, pixels: int, multiple: int) -> Size:
    """The size to which a picture of `height` x `width` is cut least: sides are multiples of `multiple`, and it has at
    most so many pixels, and three quarters of them where any such size has."""
    sides = range(multiple, max(pixels // multiple, multiple) + 1, multiple)
    sizes = [(rows, columns) for rows in sides for columns in sides if rows * columns <= pixels]
    large = [size for size in sizes if size[0] * size[1] >= _NATIVE * pixels]
    return nearest_size(height, width, sorted(large or sizes or [(multiple, multiple)], key=math.prod, reverse=True))


_NATIVE = 0.75


@dataclass(frozen=True, slots=True)
class Framing:
    """Source pixels -> target pixels: scale to `scaled`, then cut `size` out at offset `top`, `left`; where these are
    negative the rest repeats the picture's border (`inner` says what does not)."""

    source: Size
    scaled: Size
    size: Size
    top: int
    """First row of the scaled picture that is kept."""
    left: int
    """First column of the scaled picture that is kept."""

    @classmethod
    def cover(cls, source: Size, size: Size, middle: tuple[float, float] | None = None) -> Framing:
        """The smallest picture of the source's shape that covers `size`, cut around `middle` (x, y as shares of the
        source's width and height) as nearly as the picture allows; by default around its own.

        The `middle` of another framing cuts a picture of the same shape as that one does, whatever its size.
        """
        scaled = _scaled(source, size, _covering(source, size))
        if middle is None:
            return cls(source, scaled, size, (scaled[0] - size[0]) // 2, (scaled[1] - size[1]) // 2)
        return cls._at(source, scaled, size, middle[1] * scaled[0] - size[0] / 2, middle[0] * scaled[1] - size[1] / 2)

    @classmethod
    def contain(cls, source: Size, size: Size) -> Framing:
        """The largest picture of the source's shape that lies in `size`, in its middle. Its sides are even, as videos
        ask for."""
        factor = min(size[0] / source[0], size[1] / source[1])
        height, width = (max(2 * round(side * factor / 2), 2) for side in source)
        scaled = (min(height, size[0]), min(width, size[1]))
        return cls(source, scaled, size, -((size[0] - scaled[0]) // 2), -((size[1] - scaled[1]) // 2))

    def like(self, source: Size) -> Framing:
        """Another picture, brought to the same size in the same way: padded, or cut around the same middle."""
        if self.kept.size != self.size:
            return Framing.contain(source, self.size)
        return Framing.cover(source, self.size, self.middle)

    @classmethod
    def keeping(cls, source: Size, size: Size, boxes: Sequence[Box]) -> Framing:
        """The same, cut around the middle of the first box, then moved as little as holds each later one: the last
        counts most. A box that is larger than the cut lies in its middle."""
        scaled = _scaled(source, size, _covering(source, size))
        starts = []
        for axis, name in ((0, 1), (1, 0)):  # rows are y
            scale = scaled[axis] / source[axis]
            ends = [(box[name] * scale, box[name + 2] * scale) for box in boxes]
            start = sum(ends[0]) / 2 - size[axis] / 2
            for low, high in ends:
                least, most = high - size[axis], low  # where a cut begins that holds the box
                start = min(max(start, least), most) if least <= most else (least + most) / 2
            starts.append(start)
        return cls._at(source, scaled, size, *starts)

    @classmethod
    def around(cls, source: Size, size: Size, box: Box) -> Framing:
        """The closest cut of the shape of `size` that holds `box`, with the box in its middle as nearly as the picture
        allows. Where the picture is too small for that, as `keeping`."""
        x0, y0, x1, y1 = box
        closest = min(size[0] / (y1 - y0), size[1] / (x1 - x0))
        scaled = _scaled(source, size, max(closest, _covering(source, size)))
        top = (y0 + y1) / 2 * scaled[0] / source[0] - size[0] / 2
        return cls._at(source, scaled, size, top, (x0 + x1) / 2 * scaled[1] / source[1] - size[1] / 2)

    @classmethod
    def _at(cls, source: Size, scaled: Size, size: Size, top: float, left: float) -> Framing:
        """A cut that begins as near to a place of the scaled picture as the picture allows."""
        places = zip((top, left), scaled, size, strict=True)
        top, left = (min(max(round(place), 0), whole - side) for place, whole, side in places)
        return cls(source, scaled, size, top, left)

    @property
    def middle(self) -> tuple[float, float]:
        """Of the cut: x, y as shares of the source's width and height."""
        x, y = self.left + self.size[1] / 2, self.top + self.size[0] / 2
        return x / self.scaled[1], y / self.scaled[0]

    @property
    def inner(self) -> tuple[slice, slice]:
        """Rows and columns of the target that show the source; the others are padding."""
        places = zip((self.top, self.left), self.scaled, self.size, strict=True)
        rows, columns = (slice(max(-place, 0), min(whole - place, side)) for place, whole, side in places)
        return rows, columns

    @property
    def kept(self) -> Framing:
        """The same without the padding. `Framing.cover` with its size and middle makes it again."""
        rows, columns = self.inner
        size = (rows.stop - rows.start, columns.stop - columns.start)
        return Framing(self.source, self.scaled, size, max(self.top, 0), max(self.left, 0))

    @property
    def enlargement(self) -> float:
        """Pixels of the target for one of the source, along one side; below 1 where it shrinks."""
        return max(self.scaled[0] / self.source[0], self.scaled[1] / self.source[1])

    def pictures(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """uint8 [n, H, W, 3] of the source's size -> [n, *size, 3]; area averaging where it shrinks."""
        if frames.shape[1:3] != self.source:
            raise ValueError(f"frames are {frames.shape[1:3]}, this framing is for {self.source}")
        if self.kept.size != self.size:
            return self._padded(self.kept.pictures(frames))
        rows, columns = slice(self.top, self.top + self.size[0]), slice(self.left, self.left + self.size[1])
        if self.scaled == self.source:
            return np.ascontiguousarray(frames[:, rows, columns])
        interpolation = cv2.INTER_AREA if self.scaled[0] < self.source[0] else cv2.INTER_CUBIC
        width_height = (self.scaled[1], self.scaled[0])
        resized = [cv2.resize(frame, width_height, interpolation=interpolation)[rows, columns] for frame in frames]
        return np.stack(resized) if resized else np.empty((0, *self.size, 3), np.uint8)

    def _padded(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        rows, columns = self.inner
        around = ((rows.start, self.size[0] - rows.stop), (columns.start, self.size[1] - columns.stop))
        return np.pad(frames, ((0, 0), *around, (0, 0)), mode="edge")

    def keypoints(self, keypoints: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """[..., 3] of x, y, score: moved; missing points (NaN) stay missing, points outside keep their place there."""
        moved = keypoints.astype(np.float32, copy=True)
        moved[..., :2] = self._move(keypoints[..., :2])
        return moved

    def boxes(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """[..., 4] of x0, y0, x1, y1: moved, and not cut at the border."""
        return self._move(boxes.reshape(*boxes.shape[:-1], 2, 2)).reshape(boxes.shape)

    def _move(self, points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        scale = np.array([self.scaled[1] / self.source[1], self.scaled[0] / self.source[0]])
        return (points * scale - np.array([self.left, self.top])).astype(np.float32)


def _covering(source: Size, size: Size) -> float:
    """The least factor by which a picture covers `size`."""
    return max(size[0] / source[0], size[1] / source[1])


def _scaled(source: Size, size: Size, factor: float) -> Size:
    """Whole pixels, not less than `size`."""
    return max(round(source[0] * factor), size[0]), max(round(source[1] * factor), size[1])


def box_mask(boxes: npt.NDArray[np.floating], size: Size, factor: int) -> npt.NDArray[np.uint8]:
    """[h, w] at latent size: 1 in every cell that a box [N, 4] of a picture of `size` touches, 0 elsewhere.

    Args:
        factor: pixels of a cell, along one side.
    """
    mask = np.zeros((size[0] // factor, size[1] // factor), np.uint8)
    for x0, y0, x1, y1 in boxes / factor:
        rows = slice(max(int(np.floor(y0)), 0), max(int(np.ceil(y1)), 0))
        columns = slice(max(int(np.floor(x0)), 0), max(int(np.ceil(x1)), 0))
        mask[rows, columns] = 1
    return mask


def check_sizes(name: str, sizes: Sequence[Size], multiple: int = 8) -> None:
    """Raise ValueError unless there is a size and every side is a positive multiple of `multiple`."""
    if not sizes:
        raise ValueError(f"{name} must name at least one height and width")
    for size in sizes:
        if min(size) < multiple or any(side % multiple for side in size):
            raise ValueError(f"{name}: {size[0]}x{size[1]} must be multiples of {multiple} pixels, at least {multiple}")
