"""Picture metrics of one frame pair: L1, PSNR, SSIM, as the published tables computed them and as textbooks do.

The published evaluation is DisCo's (tool/metrics/ssim_l1_lpips_psnr.py); its definitions deviate from what the names
say, and a number is comparable with a published one only when it repeats the deviation. Each function says which it is.

Every function takes a generated and a true frame, uint8 RGB [H, W, 3] of equal shape, and raises ValueError otherwise.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt
from skimage.metrics import structural_similarity

Frame = npt.NDArray[np.uint8]

PEAK = 255.0
PSNR_OF_EQUAL_FRAMES = 100.0
"""dB. The true value is infinite; DisCo reports this, and an infinity would swallow every mean."""


def _check(generated: Frame, truth: Frame) -> None:
    if generated.dtype != np.uint8 or truth.dtype != np.uint8:
        raise ValueError(f"frames must be uint8, got {generated.dtype} and {truth.dtype}")
    if generated.shape != truth.shape or generated.ndim != 3 or generated.shape[2] != 3:
        raise ValueError(f"frames must have one shape [H, W, 3], got {generated.shape} and {truth.shape}")


def mean_absolute_difference(generated: Frame, truth: Frame) -> float:
    """Mean |generated - truth| over pixels and channels, in grey levels, 0 to 255."""
    _check(generated, truth)
    return float(np.abs(generated.astype(np.float64) - truth.astype(np.float64)).mean())


def l1_disco(generated: Frame, truth: Frame) -> float:
    """DisCo's L1: the mean absolute difference in grey levels, divided once more by H * W.

    So the published E-04 hold at 256x256 alone: twice the side gives a quarter of the value.
    """
    return mean_absolute_difference(generated, truth) / (truth.shape[0] * truth.shape[1])


def l1(generated: Frame, truth: Frame) -> float:
    """Mean absolute difference with white = 1; 0 to 1, independent of the resolution."""
    return mean_absolute_difference(generated, truth) / PEAK


def _decibels(mean_square: float) -> float:
    return PSNR_OF_EQUAL_FRAMES if mean_square == 0 else 10 * math.log10(PEAK**2 / mean_square)


def psnr(generated: Frame, truth: Frame) -> float:
    """Peak signal-to-noise ratio in dB, computed in float64: the literature's PSNR*. 100 for equal frames."""
    _check(generated, truth)
    return _decibels(float(np.mean((generated.astype(np.float64) - truth.astype(np.float64)) ** 2)))


def psnr_uint8(generated: Frame, truth: Frame) -> float:
    """The published "PSNR" in dB: difference and square are taken in uint8 and wrap at 256.

    A square is then at most 249 (the largest d^2 mod 256), so no frame is ever below 24.17 dB, however bad it is.
    Kept as a legacy column, to be set beside the tables that were computed so; read `psnr` instead.
    """
    _check(generated, truth)
    return _decibels(float(np.mean((generated - truth) ** 2)))


def ssim_disco(generated: Frame, truth: Frame) -> float:
    """DisCo's SSIM: 8-bit grey by OpenCV, then scikit-image's defaults (uniform 7x7 window, sample covariance).

    Raises:
        ValueError: a side is shorter than the window.
    """
    _check(generated, truth)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (generated, truth)]
    return float(structural_similarity(*grey))


def ssim(generated: Frame, truth: Frame) -> float:
    """SSIM of Wang et al. 2004: Gaussian window of sigma 1.5, population covariance, mean over the RGB channels.

    Raises:
        ValueError: a side is shorter than the window (11 pixels).
    """
    _check(generated, truth)
    return float(
        structural_similarity(
            generated,
            truth,
            channel_axis=2,
            data_range=PEAK,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )
