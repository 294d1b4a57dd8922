"""Picture metrics of one frame pair: L1, PSNR, SSIM, as the published tables computed them and as textbooks do.

The published evaluation is DisCo's (tool/metrics/ssim_l1_lpips_psnr.py); its definitions deviate from what the names
say, and a number is comparable with a published one only when it repeats the deviation. Each function says which it is.

L1 and PSNR follow from sums over the differences, which `differences` takes once, in whole numbers. Frames are uint8
RGB [H, W, 3] of equal shape; anything else raises ValueError.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
Map = npt.NDArray[np.floating]
"""A value for each place, [H, W] or [H, W, 3]."""

PEAK = 255.0
PSNR_OF_EQUAL_FRAMES = 100.0
"""dB. The true value is infinite; DisCo reports this, and an infinity would swallow every mean."""

_WRAPPED_SQUARES = (np.arange(256) ** 2 % 256).astype(np.uint8)
_STRIP = 2**16  # values of a frame that are worked on at once

# Wang et al. 2004: constants of the luminance and of the structure term, at 255 grey levels.
_C1, _C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
_UNIFORM = 7
_GAUSSIAN_RADIUS, _SIGMA = 5, 1.5


def _check(generated: Frame, truth: Frame, least: int = 1) -> None:
    if generated.dtype != np.uint8 or truth.dtype != np.uint8:
        raise ValueError(f"frames must be uint8, got {generated.dtype} and {truth.dtype}")
    if generated.shape != truth.shape or generated.ndim != 3 or generated.shape[2] != 3:
        raise ValueError(f"frames must have one shape [H, W, 3], got {generated.shape} and {truth.shape}")
    if min(generated.shape[:2]) < least:
        raise ValueError(f"frames must have sides of at least {least} pixels, the window's, not {generated.shape[:2]}")


@dataclass(frozen=True, slots=True)
class Differences:
    """Sums over the values of a frame pair, in whole numbers, which L1 and PSNR follow from."""

    values: int
    """How many there are, 3 H W."""
    absolute: int
    """Of |generated - truth|, grey levels."""
    squares: int
    """Of their squares."""
    wrapped_squares: int
    """Of their squares modulo 256, as 8-bit arithmetic has them."""


def differences(generated: Frame, truth: Frame) -> Differences:
    """How far a generated frame is from the true one."""
    _check(generated, truth)
    absolute = cv2.absdiff(generated, truth)
    return Differences(
        values=absolute.size,
        absolute=round(cv2.norm(absolute, cv2.NORM_L1)),
        squares=round(cv2.norm(absolute, cv2.NORM_L2SQR)),
        wrapped_squares=round(sum(cv2.sumElems(cv2.LUT(absolute, _WRAPPED_SQUARES)))),
    )


def l1_disco(apart: Differences) -> float:
    """DisCo's L1: the mean absolute difference in grey levels, divided once more by H * W.

    So the published E-04 hold at 256x256 alone: twice the side gives a quarter of the value.
    """
    return apart.absolute / apart.values / (apart.values / 3)


def l1(apart: Differences) -> float:
    """Mean absolute difference with white = 1; 0 to 1, independent of the resolution."""
    return apart.absolute / apart.values / PEAK


def _decibels(mean_square: float) -> float:
    return PSNR_OF_EQUAL_FRAMES if mean_square == 0 else 10 * math.log10(PEAK**2 / mean_square)


def psnr(apart: Differences) -> float:
    """Peak signal-to-noise ratio in dB, without overflow: the literature's PSNR*. 100 for equal frames."""
    return _decibels(apart.squares / apart.values)


def psnr_uint8(apart: Differences) -> float:
    """The published "PSNR" in dB: difference and square are taken in uint8 and wrap at 256.

    A square is then at most 249 (the largest d^2 mod 256), so no frame is ever below 24.17 dB, however bad it is.
    Kept as a legacy column, to be set beside the tables that were computed so; read `psnr` instead.
    """
    return _decibels(apart.wrapped_squares / apart.values)


def _similarity(a: Map, b: Map, kernel: npt.NDArray[np.floating], freedom: float) -> npt.NDArray[np.float64]:
    """SSIM of each window that lies in the picture, Eq. 13 of Wang et al. 2004.

    With n the sum of a window's weights, means are sums / n and variances (n · squares - sum²) / freedom. Both divisors
    are put on the constants, so that there is one division, and with weights of 1 all before it are whole numbers.

    Args:
        a: values of one frame, and b of the other, [H, W] or [H, W, 3].
        kernel: of the window, along either side.
        freedom: n² for the variance of a population, n (n - 1) for that of a sample.
    """
    inside = slice(len(kernel) // 2, -(len(kernel) // 2))
    count = float(kernel.sum()) ** 2
    first, second, product, squares = (
        cv2.sepFilter2D(each, -1, kernel, kernel)[inside, inside].astype(np.float64)
        for each in (a, b, a * b, a * a + b * b)
    )
    mean_product = first * second
    mean_squares = np.square(first, out=first)
    mean_squares += np.square(second, out=second)
    c1, c2 = _C1 * count**2, _C2 * freedom
    top = (2 * mean_product + c1) * (2 * (count * product - mean_product) + c2)
    top /= (mean_squares + c1) * (count * squares - mean_squares + c2)
    return top


def _mean_similarity(a: Frame, b: Frame, kernel: npt.NDArray[np.floating], freedom: float) -> float:
    """Mean over all windows, worked out some rows at a time, so that what these take stays in the processor's cache."""
    margin = len(kernel) // 2
    rows = max(4 * margin, _STRIP // a[0].size)
    total, windows = 0.0, 0
    for start in range(0, len(a) - 2 * margin, rows):
        part = slice(start, start + rows + 2 * margin)
        found = _similarity(a[part].astype(kernel.dtype), b[part].astype(kernel.dtype), kernel, freedom)
        total, windows = total + float(found.sum()), windows + found.size
    return total / windows


def ssim_disco(generated: Frame, truth: Frame) -> float:
    """DisCo's SSIM: 8-bit grey by OpenCV, then scikit-image's defaults (uniform 7x7 window, sample covariance).

    Raises:
        ValueError: a side is shorter than the window.
    """
    _check(generated, truth, _UNIFORM)
    a, b = (np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8) for frame in (generated, truth))
    # Of float32, which has every whole number up to 2^24: a window's squares sum up to 6.4 million.
    return _mean_similarity(a, b, np.ones(_UNIFORM, np.float32), _UNIFORM**2 * (_UNIFORM**2 - 1))


def ssim(generated: Frame, truth: Frame) -> float:
    """SSIM of Wang et al. 2004: Gaussian window of sigma 1.5, population covariance, mean over the RGB channels.

    Raises:
        ValueError: a side is shorter than the window (11 pixels).
    """
    _check(generated, truth, 2 * _GAUSSIAN_RADIUS + 1)
    kernel = np.exp(-0.5 * (np.arange(-_GAUSSIAN_RADIUS, _GAUSSIAN_RADIUS + 1) / _SIGMA) ** 2)
    return _mean_similarity(generated, truth, kernel / kernel.sum(), 1.0)
