"""Where points begin that are then tracked: corners of a picture, outside excluded boxes, away from other points.

    N points   P boxes

Places are x, y in pixels as OpenCV counts them: the first pixel's centre is at 0.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from stableanimator.perception.settings import SeedSettings

_BLOCK = 3  # pixels over which OpenCV sums gradients
# A 3x3 Sobel filter gives 8 times the gradient; OpenCV divides by 4, by the block and by white.
_SOBEL_GAIN, _SOBEL_SCALE = 8, 4
_CALM, _PATCH = 16, 8  # pixels: sides of a block in which noise is looked at, and of its quarters
_COARSE = 0.5  # share of a difference that may be common to the pixels of a patch; compressed noise has 0.1


def free_of_boxes(
    shape: tuple[int, ...], boxes: NDArray[np.floating], scale: NDArray[np.float64], margin: float
) -> NDArray[np.uint8]:
    """A mask [h, w], 255 where points may be.

    Args:
        shape: h, w of the picture.
        boxes: [P, 4] x0, y0, x1, y1 in pixels of the full frame.
        scale: [2] sizes of the picture over those of the full frame, x and y.
        margin: share of its width and height by which a box grows on each side.
    """
    mask = np.full(shape, 255, np.uint8)
    for x0, y0, x1, y1 in np.asarray(boxes, np.float64).reshape(-1, 4) * np.tile(scale, 2):
        margin_x, margin_y = (x1 - x0) * margin, (y1 - y0) * margin
        left, top = max(0, int(x0 - margin_x)), max(0, int(y0 - margin_y))
        mask[top : max(0, int(np.ceil(y1 + margin_y))), left : max(0, int(np.ceil(x1 + margin_x)))] = 0
    return mask


def in_mask(places: NDArray[np.float32], mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which places [N, 2] lie in the picture and where points may be."""
    rows, columns = np.round(places[:, 1]).astype(int), np.round(places[:, 0]).astype(int)
    height, width = mask.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    inside[inside] = mask[rows[inside], columns[inside]] > 0
    return inside


def new_corners(
    grey: NDArray[np.uint8], mask: NDArray[np.uint8], places: NDArray[np.float32], settings: SeedSettings
) -> NDArray[np.float32]:
    """New points [n, 2] where too few of `places` [N, 2] are left, in the mask and away from those; else none."""
    none = np.zeros((0, 2), np.float32)
    wanted = settings.max_points - len(places)
    if len(places) >= settings.reseed_share * settings.max_points:
        return none
    free = mask.copy()
    for x, y in places:
        cv2.circle(free, (round(float(x)), round(float(y))), int(settings.min_distance), 0, -1)
    quality = max(settings.quality, _least_quality(grey, free, settings.min_gradient))
    if quality >= 1:
        return none
    corners = cv2.goodFeaturesToTrack(grey, wanted, quality, settings.min_distance, mask=free)
    return none if corners is None else corners.reshape(-1, 2).astype(np.float32)


def gradients_at(grey: NDArray[np.uint8], places: NDArray[np.floating]) -> NDArray[np.float32]:
    """[N] brightness gradient in its weakest direction, grey levels per pixel as `SeedSettings.min_gradient`: the
    strongest corner within two pixels of each of `places` [N, 2], which count from the first pixel's corner."""
    height, width = grey.shape
    strongest = cv2.dilate(cv2.cornerMinEigenVal(grey, _BLOCK), np.ones((5, 5), np.uint8))
    columns = np.clip(places[:, 0].astype(int), 0, width - 1)
    rows = np.clip(places[:, 1].astype(int), 0, height - 1)
    return np.asarray(np.sqrt(np.maximum(strongest[rows, columns], 0) / _corner_strength(1.0)), np.float32)


def noise_between(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """Standard deviation of the noise in two pictures [h, w] of one camera, grey levels: how far they differ in the
    calmest tenth of their blocks, in which nothing moves if there are any such. 0 where even these differ as a whole
    rather than pixel by pixel: that is change."""
    difference = after.astype(np.float32) - before
    height, width = (side // _CALM * _CALM for side in difference.shape)
    if not height or not width:
        return 0.0
    patches = difference[:height, :width].reshape(height // _PATCH, _PATCH, width // _PATCH, _PATCH)
    squares, means = np.square(patches).mean((1, 3)), np.square(patches.mean((1, 3)))
    blocks, coarse = (cv2.resize(each, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for each in (squares, means))
    calm = blocks <= np.percentile(blocks, 10)
    if coarse[calm].mean() > _COARSE * blocks[calm].mean():
        return 0.0
    return float(np.sqrt(blocks[calm].mean() / 2))


def _least_quality(grey: NDArray[np.uint8], mask: NDArray[np.uint8], min_gradient: float) -> float:
    """`min_gradient` as a share of the strongest corner's strength."""
    if min_gradient == 0 or not mask.any():
        return 0.0
    strongest = float(cv2.cornerMinEigenVal(grey, _BLOCK)[mask > 0].max())
    return _corner_strength(min_gradient) / strongest if strongest > 0 else 1.0


def _corner_strength(gradient: float) -> float:
    """What `cv2.cornerMinEigenVal` gives over 3x3 pixels where both directions have this gradient (levels/pixel)."""
    return _BLOCK**2 * (_SOBEL_GAIN * gradient / (_SOBEL_SCALE * _BLOCK * 255)) ** 2
