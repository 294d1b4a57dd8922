"""Picture metrics of one frame pair: L1, PSNR, SSIM, as the published tables computed them and as textbooks do.

The published evaluation is DisCo's (tool/metrics/ssim_l1_lpips_psnr.py); its definitions deviate from what the names
say, and a number is comparable with a published one only when it repeats the deviation. Each function says which it is.

L1 and PSNR follow from how often each absolute difference of 0 to 255 occurs, which `absolute_differences` counts once,
in whole numbers. Frames are uint8 RGB [H, W, 3] of equal shape; anything else raises ValueError.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]
"""[256]: how many values of a frame differ from the true one's by 0, 1, …, 255 grey levels; 3 H W in all."""

PEAK = 255.0
PSNR_OF_EQUAL_FRAMES = 100.0
"""dB. The true value is infinite; DisCo reports this, and an infinity would swallow every mean."""

_DIFFERENCES = np.arange(256)
_WRAPPED_SQUARES = _DIFFERENCES**2 % 256
_EXACT = 2**24  # to which float32, in which OpenCV counts, has every whole number

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


def absolute_differences(generated: Frame, truth: Frame) -> Counts:
    """How often each absolute difference occurs over pixels and channels."""
    _check(generated, truth)
    values = cv2.absdiff(generated, truth).reshape(-1, 1)
    counts = np.zeros(256, np.int64)
    for start in range(0, len(values), _EXACT):
        part = cv2.calcHist([values[start : start + _EXACT]], [0], None, [256], [0, 256])
        counts += part.ravel().astype(np.int64)
    return counts


def mean_absolute_difference(counts: Counts) -> float:
    """Mean |generated - truth| over pixels and channels, in grey levels, 0 to 255."""
    return int(counts @ _DIFFERENCES) / int(counts.sum())


def l1_disco(counts: Counts) -> float:
    """DisCo's L1: the mean absolute difference in grey levels, divided once more by H * W.

    So the published E-04 hold at 256x256 alone: twice the side gives a quarter of the value.
    """
    return mean_absolute_difference(counts) / (int(counts.sum()) / 3)


def l1(counts: Counts) -> float:
    """Mean absolute difference with white = 1; 0 to 1, independent of the resolution."""
    return mean_absolute_difference(counts) / PEAK


def _decibels(mean_square: float) -> float:
    return PSNR_OF_EQUAL_FRAMES if mean_square == 0 else 10 * math.log10(PEAK**2 / mean_square)


def psnr(counts: Counts) -> float:
    """Peak signal-to-noise ratio in dB, without overflow: the literature's PSNR*. 100 for equal frames."""
    return _decibels(int(counts @ _DIFFERENCES**2) / int(counts.sum()))


def psnr_uint8(counts: Counts) -> float:
    """The published "PSNR" in dB: difference and square are taken in uint8 and wrap at 256.

    A square is then at most 249 (the largest d^2 mod 256), so no frame is ever below 24.17 dB, however bad it is.
    Kept as a legacy column, to be set beside the tables that were computed so; read `psnr` instead.
    """
    return _decibels(int(counts @ _WRAPPED_SQUARES) / int(counts.sum()))


def _similarity(means: npt.NDArray[np.float64], variances: npt.NDArray[np.float64]) -> float:
    """SSIM over all windows, Eq. 13 of Wang et al. 2004.

    Args:
        means: [2, ...] of the product of both windows' means, and of the sum of these means' squares.
        variances: [2, ...] of their covariance, and of the sum of their variances.
    """
    (mean_product, mean_squares), (covariance, variance) = means, variances
    top = (2 * mean_product + _C1) * (2 * covariance + _C2)
    return float((top / ((mean_squares + _C1) * (variance + _C2))).mean())


def ssim_disco(generated: Frame, truth: Frame) -> float:
    """DisCo's SSIM: 8-bit grey by OpenCV, then scikit-image's defaults (uniform 7x7 window, sample covariance).

    Sums over a window are whole numbers below 2^31, so that nothing is rounded before the last division.

    Raises:
        ValueError: a side is shorter than the window.
    """
    _check(generated, truth, _UNIFORM)
    a, b = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) for frame in (generated, truth))
    count, inside = _UNIFORM**2, slice(_UNIFORM // 2, -(_UNIFORM // 2))

    def sums(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
        # At most 49 * 2 * 255², which float32 has exactly.
        whole = cv2.boxFilter(values, cv2.CV_32F, (_UNIFORM, _UNIFORM), normalize=False)[inside, inside]
        return whole.astype(np.int32)

    sum_a, sum_b, product, squares = sums(a), sums(b), sums(a * b), sums(a * a + b * b)
    sum_product, sum_squares = sum_a * sum_b, sum_a * sum_a + sum_b * sum_b
    means = np.stack([sum_product, sum_squares]) / float(count**2)
    variances = np.stack([count * product - sum_product, count * squares - sum_squares]) / float(count * (count - 1))
    return _similarity(means, variances)


def ssim(generated: Frame, truth: Frame) -> float:
    """SSIM of Wang et al. 2004: Gaussian window of sigma 1.5, population covariance, mean over the RGB channels.

    Raises:
        ValueError: a side is shorter than the window (11 pixels).
    """
    _check(generated, truth, 2 * _GAUSSIAN_RADIUS + 1)
    a, b = generated.astype(np.float64), truth.astype(np.float64)
    kernel = np.exp(-0.5 * (np.arange(-_GAUSSIAN_RADIUS, _GAUSSIAN_RADIUS + 1) / _SIGMA) ** 2)
    kernel /= kernel.sum()
    inside = slice(_GAUSSIAN_RADIUS, -_GAUSSIAN_RADIUS)

    def blurred(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(cv2.sepFilter2D(values, cv2.CV_64F, kernel, kernel)[inside, inside], np.float64)

    mean_a, mean_b = blurred(a), blurred(b)
    mean_product, mean_squares = mean_a * mean_b, mean_a * mean_a + mean_b * mean_b
    variances = np.stack([blurred(a * b) - mean_product, blurred(a * a + b * b) - mean_squares])
    return _similarity(np.stack([mean_product, mean_squares]), variances)
