"""What the picture itself is like in the sampled frames of a shot: black bars, and fields that were woven."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.measures.frames import Frame
from stableanimator.limits.checks import Range, checked

NAME = "picture"
VERSION = 2
"""Raise when a column's meaning changes."""

_TEETH = 4  # steps in a row that go up and down by turns
_EVERY = 4  # columns of pixels: combs are wide, and a fourth of them takes a fourth of the time


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class PictureSettings:
    """What counts as a black bar, and what as a comb."""

    black: Annotated[int, Range(0, below=255)] = 12
    """Grey levels, 0 to 255, of the brightest colour of a black row or column. Bars are written as 0; two levels of
    error of a codec in brightness and two in colour come back as 2 * 1.16 + 2 * 2.1 = 7 (BT.709). The black of a
    camera, with its noise, is brighter."""

    comb_step: Annotated[int, Range(0, below=255)] = 10
    """Grey levels from line to line of a comb's teeth: far above the noise of a camera, far below an edge."""

    comb_share: Annotated[float, Range(above=0, below=1)] = 0.005
    """Share of the picture in combs from which on a frame counts as combed. Of eighteen real clips with progressive
    frames the worst, with fur and grass, had 0.004 in its worst frame; woven, moving people had 0.01 to 0.3."""


class Picture:
    """The measure of one shot: `add` its sampled frames in order, then read `columns`.

    A row or a column of pixels is part of a bar when it is black in every frame, and so are all between it and the
    picture's edge: what moves into the bar once, or a logo in it, ends the bar there.

    A frame may hold two fields, half a step apart. Where something moves, its edges are combs then: lines that go up
    and down by turns. Many videos say so of each frame; what was encoded again may not, and one that says so may hold
    both fields of one moment. So what is said and what is seen are columns of their own.
    """

    def __init__(self, settings: PictureSettings) -> None:
        self._settings = settings
        self._rows: NDArray[np.uint8] | None = None  # [H] the brightest that was ever seen in each row
        self._columns: NDArray[np.uint8] | None = None  # [W]
        self._frames = self._interlaced = self._combed = 0

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        rows, columns = frame.image.max((1, 2)), frame.image.max(0).max(1)
        self._rows = rows if self._rows is None else np.maximum(self._rows, rows)
        self._columns = columns if self._columns is None else np.maximum(self._columns, columns)
        self._frames += 1
        self._interlaced += frame.interlaced
        self._combed += combs(frame.image, self._settings.comb_step) > self._settings.comb_share

    def columns(self) -> dict[str, Any]:
        """The columns of PICTURE behind the samples' head. A shot that is black all over has bars of 1."""
        rows, columns = (_seen(line, self._settings.black) for line in (self._rows, self._columns))
        return {
            "black_bars": 1.0 - rows * columns,
            "interlaced": self._interlaced / self._frames,
            "combing": self._combed / self._frames,
        }


def combs(image: NDArray[np.uint8], step: int) -> float:
    """Share of a picture [H, W, 3] where `_TEETH` steps from line to line go up and down by turns, each by more than
    `step` grey levels (of green, which is most of the brightness)."""
    green = image[:, ::_EVERY, 1].astype(np.int16)
    steps = np.diff(green, axis=0)
    count = len(steps) - _TEETH + 1
    if count < 1:
        return 0.0
    steps[1::2] *= -1  # now the steps of a comb have one sign
    runs = [steps[first : first + count] for first in range(_TEETH)]
    up, down = np.minimum.reduce(runs) > step, np.maximum.reduce(runs) < -step
    return float((up | down).mean())


def _seen(line: NDArray[np.uint8] | None, black: int) -> float:
    """Share of a line between its first and its last value above `black`."""
    assert line is not None  # a shot has a first frame, and that is sampled
    bright = np.flatnonzero(line > black)
    return float(bright[-1] - bright[0] + 1) / len(line) if len(bright) else 0.0
