"""Backgrounds that change by themselves before a camera that stays: what a curator should not take for a still set.

sea       what is painted heaves and ripples
crowd     people of all sizes pass by, to both sides
screens   pictures on the wall that change several times a second
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from stableanimator.synthetic.scene.canvas import Image

Picture = NDArray[np.uint8]

_RIPPLES = 4
_PASSERS = 26
_SCREENS = (3, 4)
_GRAIN = 14.0
"""Grey levels, before the picture is shrunk and compressed."""
_CHANGES = 5.0
"""Pictures a second on a screen."""


def sea(picture: Picture, seconds: float, seed: int) -> Image:
    """Every part of the picture [h, w, 3] moves on waves of its own."""
    generator = np.random.default_rng([seed, 20])
    height, width = picture.shape[:2]
    y, x = np.indices((height, width), np.float32)
    for _ in range(_RIPPLES):
        direction, phase = generator.uniform(0, 2 * np.pi, 2)
        length, rate = generator.uniform(0.06, 0.16) * height, generator.uniform(0.7, 1.6)
        wave = np.sin(2 * np.pi * ((x * np.cos(direction) + y * np.sin(direction)) / length + rate * seconds) + phase)
        x = x + 0.012 * height * wave * np.float32(np.sin(direction))
        y = y + 0.012 * height * wave * np.float32(np.cos(direction))
    x, y = x.astype(np.float32), y.astype(np.float32)
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101), np.uint8)


def crowd(picture: Picture, seconds: float, seed: int) -> Image:
    """Passers-by cross the picture [h, w, 3], each at a pace of their own, in clothes with a pattern."""
    generator = np.random.default_rng([seed, 21])
    shown = picture.copy()
    height, width = picture.shape[:2]
    for _ in range(_PASSERS):
        size = height * float(generator.uniform(0.25, 0.5))
        start, pace = generator.uniform(0, 1), generator.choice([-1, 1]) * generator.uniform(0.15, 0.5)
        place = (start + pace * seconds / 2) % 1.0 * (width + size) - size / 2
        ground = height * generator.uniform(0.45, 0.95)
        colours = generator.integers(20, 235, (6, 3)).tolist()
        body = 0.16 * size
        cv2.ellipse(shown, _at(place, ground - 0.35 * size), _axes(body, 0.36 * size), 0, 0, 360, colours[0], -1)
        for stripe, colour in enumerate(colours[1:4]):
            middle = ground - (0.15 + 0.16 * stripe) * size
            cv2.rectangle(
                shown, _at(place - 0.7 * body, middle), _at(place + 0.7 * body, middle + 0.06 * size), colour, -1
            )
        cv2.circle(shown, _at(place, ground - 0.8 * size), int(0.11 * size), colours[4], -1)
        cv2.circle(shown, _at(place + 0.03 * size, ground - 0.82 * size), int(0.025 * size), colours[5], -1)
    return shown


def screens(picture: Picture, seconds: float, seed: int) -> Image:
    """A wall of screens over the picture [h, w, 3]; each shows another pattern every fifth of a second."""
    rows, columns = _SCREENS
    shown = picture.copy()
    height, width = picture.shape[:2]
    for number in range(rows * columns):
        row, column = divmod(number, columns)
        change = int(seconds * _CHANGES + number / (rows * columns))
        pattern = np.random.default_rng([seed, 22, number, change]).integers(0, 255, (5, 7, 3), np.uint8)
        top, left = int(height * (row + 0.08) / rows), int(width * (column + 0.08) / columns)
        area = shown[top : int(height * (row + 0.92) / rows), left : int(width * (column + 0.92) / columns)]
        area[:] = cv2.resize(pattern, (area.shape[1], area.shape[0]), interpolation=cv2.INTER_CUBIC)
    return shown


def grain(picture: Picture, seconds: float, seed: int) -> Image:
    """The picture [h, w, 3] with a camera's noise, which is no change of what is there."""
    noise = np.random.default_rng([seed, 24, round(seconds * 1000)]).normal(0, _GRAIN, picture.shape)
    return np.asarray(np.clip(picture + noise, 0, 255), np.uint8)


def _at(x: float, y: float) -> tuple[int, int]:
    return int(x), int(y)


def _axes(x: float, y: float) -> tuple[int, int]:
    return max(1, int(x)), max(1, int(y))


LIVING: dict[str, Callable[[Picture, float, int], Image]] = {
    "sea": sea,
    "crowd": crowd,
    "screens": screens,
}
"""Every way in which a background changes, by name: (picture, seconds, seed) -> picture."""
