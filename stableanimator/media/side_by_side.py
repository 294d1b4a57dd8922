"""Pictures for people: frames side by side under their names, and strips below one another on one sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

SMALLEST_HEIGHT = 192
"""Pixels. Smaller pictures are enlarged by whole factors, so that a title is readable and a pixel stays a pixel."""
_TITLE = 24
_GAP = 4
_BACKGROUND = 32
_FONT_SCALE = 0.45
_MARGIN = 6
_INDENT = "    "
_INK = (230, 230, 230)


def strip(panels: Mapping[str, Image]) -> Image:
    """Pictures uint8 RGB [H, W, 3] of any sizes -> one: side by side at the first one's height, titles above."""
    first = next(iter(panels.values()))
    height = first.shape[0] * max(1, -(-SMALLEST_HEIGHT // first.shape[0]))
    columns: list[Image] = []
    for title, picture in panels.items():
        column = np.full((_TITLE + height, _width(picture, height) + _GAP, 3), _BACKGROUND, np.uint8)
        column[_TITLE:, :-_GAP] = _resized(picture, height)
        place = (2, _TITLE - 8)
        cv2.putText(column, title, place, cv2.FONT_HERSHEY_SIMPLEX, _FONT_SCALE, _INK, 1, cv2.LINE_AA)
        columns.append(column)
    return np.concatenate(columns, axis=1)


def sheet(strips: Sequence[Image], note: str = "") -> Image:
    """Strips below one another, the narrower ones filled up on the right, and a note at the foot."""
    width = max(each.shape[1] for each in strips)
    rows = [
        np.pad(each, ((0, _GAP), (0, width - each.shape[1]), (0, 0)), constant_values=_BACKGROUND) for each in strips
    ]
    if note:
        foot = np.full((_TITLE, width, 3), _BACKGROUND, np.uint8)
        cv2.putText(foot, note, (2, _TITLE - 8), cv2.FONT_HERSHEY_SIMPLEX, _FONT_SCALE, _INK, 1, cv2.LINE_AA)
        rows.append(foot)
    return np.concatenate(rows)


def words(lines: Sequence[str], width: int) -> Image:
    """Lines of ASCII text as a picture so many pixels wide; what has no room goes on below, indented."""
    fitting = [piece for line in lines for piece in _wrapped(line, width)]
    page = np.full((_TITLE * len(fitting) + _GAP, width, 3), _BACKGROUND, np.uint8)
    for number, line in enumerate(fitting, 1):
        place = (_MARGIN, _TITLE * number - 8)
        cv2.putText(page, line, place, cv2.FONT_HERSHEY_SIMPLEX, _FONT_SCALE, _INK, 1, cv2.LINE_AA)
    return page


def _wrapped(line: str, width: int) -> list[str]:
    lines: list[str] = []
    for word in line.split():
        longer = f"{lines[-1]} {word}" if lines else word
        (needed, _), _ = cv2.getTextSize(longer, cv2.FONT_HERSHEY_SIMPLEX, _FONT_SCALE, 1)
        if lines and needed <= width - 2 * _MARGIN:
            lines[-1] = longer
        else:
            lines.append(f"{_INDENT}{word}" if lines else word)
    return lines


def _width(picture: Image, height: int) -> int:
    return max(1, round(picture.shape[1] * height / picture.shape[0]))


def _resized(picture: Image, height: int) -> Image:
    if picture.shape[0] == height:
        return picture
    whole = height % picture.shape[0] == 0
    larger = cv2.INTER_NEAREST if whole else cv2.INTER_CUBIC
    interpolation = larger if height > picture.shape[0] else cv2.INTER_AREA
    resized = cv2.resize(picture, (_width(picture, height), height), interpolation=interpolation)
    return np.asarray(resized, dtype=np.uint8)
