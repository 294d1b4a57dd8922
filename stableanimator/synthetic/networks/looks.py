"""How a camera may see the drawn world: light, colour, focus, movement, noise. Makes drawn training pictures vary."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray


def vary(picture: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Another look of an RGB picture [H, W, 3]; nothing in it moves."""
    if generator.random() < 0.3:
        picture = _out_of_focus(picture, generator)
    if generator.random() < 0.25:
        picture = _coarse(picture, generator)
    changed = _light(picture.astype(np.float32), generator)
    if generator.random() < 0.4:
        changed += generator.uniform(1, 9) * _noise(changed.shape, generator)
    return np.clip(changed, 0, 255).astype(np.uint8)


def _noise(shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.float32]:
    """Standard normal noise; some place of a tile that is drawn once, since drawing takes longer than all the rest."""
    height, width = shape[:2]
    tile = _noise_tile(max(height, width))
    y, x = generator.integers(tile.shape[0] - height + 1), generator.integers(tile.shape[1] - width + 1)
    return tile[y : y + height, x : x + width]


@lru_cache
def _noise_tile(side: int) -> NDArray[np.float32]:
    return np.random.default_rng(side).standard_normal((side + 256, side + 256, 3), np.float32)


def _light(picture: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """Exposure, contrast, colour of the light, and sometimes a flash or no colour at all."""
    gain = generator.uniform(0.7, 1.25) * generator.uniform(0.88, 1.12, 3)
    changed = (picture - 128) * generator.uniform(0.75, 1.2) + 128 + generator.uniform(-18, 18)
    changed *= gain.astype(np.float32)
    if generator.random() < 0.05:
        changed = changed.mean(-1, keepdims=True) + np.zeros(3, np.float32)
    if generator.random() < 0.06:
        changed += (255 - changed) * generator.uniform(0.1, 0.75)
    return changed.astype(np.float32)


def _out_of_focus(picture: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Soft, or smeared along the direction of a movement."""
    if generator.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), generator.uniform(0.4, 1.6)), np.uint8)
    length, angle = int(generator.integers(2, 6)), generator.uniform(0, np.pi)
    kernel = np.zeros((11, 11), np.float32)
    reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    start, end = (5 - reach).round().astype(int), (5 + reach).round().astype(int)
    cv2.line(kernel, start.tolist(), end.tolist(), 1.0)
    return np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum()), np.uint8)


def _coarse(picture: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Shrunk and enlarged again, as by a stream of low quality."""
    height, width = picture.shape[:2]
    share = generator.uniform(0.35, 0.9)
    small = cv2.resize(picture, (max(8, int(width * share)), max(8, int(height * share))), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
