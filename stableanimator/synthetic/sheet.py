"""A contact sheet: one frame of each clip with its name, for people who look rather than read."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from stableanimator.synthetic.scene.canvas import Image

_PAPER, _TEXT = (250, 247, 240), (52, 46, 64)
_ACCEPT, _REJECT, _MIXED = (76, 160, 100), (208, 82, 82), (224, 164, 66)
_CELL = 256  # pixels: widest picture on the sheet
_MARGIN, _CAPTION = 10, 38


def contact_sheet(pictures: list[Image], names: list[str], verdicts: list[str]) -> NDArray[np.uint8]:
    """Pictures of one size with their names and verdicts below, RGB [H, W, 3]; about square.

    A verdict of "accept" gets a green dot, "reject" a red one, anything else an amber one.

    Raises:
        ValueError: no pictures, or not as many names and verdicts.
    """
    if not pictures or not len(pictures) == len(names) == len(verdicts):
        raise ValueError("a sheet needs pictures, and a name and a verdict for each")
    height, width = pictures[0].shape[:2]
    scale = min(1.0, _CELL / width)
    cell_w, cell_h = round(width * scale), round(height * scale)
    columns = min(len(pictures), max(1, round(math.sqrt(len(pictures) * 1.6 * cell_h / cell_w))))
    rows = math.ceil(len(pictures) / columns)
    sheet = np.empty((_MARGIN + rows * (cell_h + _CAPTION), _MARGIN + columns * (cell_w + _MARGIN), 3), np.uint8)
    sheet[:] = _PAPER
    for number, picture in enumerate(pictures):
        y = _MARGIN + number // columns * (cell_h + _CAPTION)
        x = _MARGIN + number % columns * (cell_w + _MARGIN)
        sheet[y : y + cell_h, x : x + cell_w] = cv2.resize(picture, (cell_w, cell_h), interpolation=cv2.INTER_AREA)
        _caption(sheet, x, y + cell_h, cell_w, names[number], verdicts[number])
    return sheet


def _caption(sheet: Image, x: int, y: int, width: int, name: str, verdict: str) -> None:
    colour = {"accept": _ACCEPT, "reject": _REJECT}.get(verdict, _MIXED)
    cv2.circle(sheet, (x + 8, y + 15), 5, colour, -1, cv2.LINE_AA)
    size = 0.45
    while size > 0.2 and cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, size, 1)[0][0] > width - 20:
        size -= 0.02
    cv2.putText(sheet, name, (x + 19, y + 19), cv2.FONT_HERSHEY_SIMPLEX, size, _TEXT, 1, cv2.LINE_AA)
