"""What the picture itself is like in the sampled frames of a shot: how much of it is black bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.measures.frames import Frame

NAME = "picture"
VERSION = 1
"""Raise when a column's meaning changes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureSettings:
    """What counts as a black bar."""

    black: int = 12
    """Grey levels, 0 to 255, of the brightest colour of a black row or column. Bars are written as 0; two levels of
    error of a codec in brightness and two in colour come back as 2 * 1.16 + 2 * 2.1 = 7 (BT.709). The black of a
    camera, with its noise, is brighter."""

    def __post_init__(self) -> None:
        if not 0 <= self.black < 255:
            raise ValueError(f"black must lie in [0, 255), got {self.black}")


class Picture:
    """The measure of one shot: `add` its sampled frames in order, then read `columns`.

    A row or a column of pixels is part of a bar when it is black in every frame, and so are all between it and the
    picture's edge: what moves into the bar once, or a logo in it, ends the bar there.
    """

    def __init__(self, settings: PictureSettings) -> None:
        self._settings = settings
        self._rows: NDArray[np.uint8] | None = None  # [H] the brightest that was ever seen in each row
        self._columns: NDArray[np.uint8] | None = None  # [W]

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        rows, columns = frame.image.max((1, 2)), frame.image.max(0).max(1)
        self._rows = rows if self._rows is None else np.maximum(self._rows, rows)
        self._columns = columns if self._columns is None else np.maximum(self._columns, columns)

    def columns(self) -> dict[str, Any]:
        """The columns of PICTURE behind the samples' head. A shot that is black all over has bars of 1."""
        rows, columns = (_seen(line, self._settings.black) for line in (self._rows, self._columns))
        return {"black_bars": 1.0 - rows * columns}


def _seen(line: NDArray[np.uint8] | None, black: int) -> float:
    """Share of a line between its first and its last value above `black`."""
    assert line is not None  # a shot has a first frame, and that is sampled
    bright = np.flatnonzero(line > black)
    return float(bright[-1] - bright[0] + 1) / len(line) if len(bright) else 0.0
