from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from stableanimator.metrics import image


def _noise(seed: int, height: int = 40, width: int = 24) -> image.Frame:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _flat(value: int, height: int = 16, width: int = 8) -> image.Frame:
    return np.full((height, width, 3), value, dtype=np.uint8)


def test_a_constant_difference_has_hand_computed_values() -> None:
    bright, dark = _flat(110), _flat(90)
    apart = image.differences(bright, dark)
    assert (apart.values, apart.absolute, apart.squares) == (16 * 8 * 3, 20 * 384, 400 * 384)
    assert image.l1(apart) == pytest.approx(20 / 255)
    assert image.l1_disco(apart) == pytest.approx(20 / (16 * 8))
    assert image.psnr(apart) == pytest.approx(20 * math.log10(255 / 20))


def test_disco_l1_falls_to_a_quarter_at_twice_the_side() -> None:
    small = image.l1_disco(image.differences(_flat(50), _flat(80)))
    assert image.l1_disco(image.differences(_flat(50, 32, 16), _flat(80, 32, 16))) == pytest.approx(small / 4)


def test_the_published_l1_scale_at_256() -> None:
    # A mean difference of 17.4 grey levels at 256x256 is what a published 2.66e-4 stands for.
    truth = _flat(100, 256, 256)
    generated = truth.copy()
    generated[..., 0] += 17  # 17, 17 and 18 in the three channels: 17.33 on average
    generated[..., 1] += 17
    generated[..., 2] += 18
    assert image.l1_disco(image.differences(generated, truth)) == pytest.approx(52 / 3 / 65536)
    assert 2.6e-4 < image.l1_disco(image.differences(generated, truth)) < 2.7e-4


def test_l1_does_not_wrap_below_zero() -> None:
    assert image.l1(image.differences(_flat(0), _flat(255))) == 1


def test_sums_of_large_frames_are_exact() -> None:
    # 4 K: more values than float32 or an int of 31 bits can count squares of.
    generated, truth = np.zeros((2160, 3840, 3), np.uint8), np.full((2160, 3840, 3), 255, np.uint8)
    truth[0, 0, 0] = 254
    apart, count = image.differences(generated, truth), 2160 * 3840 * 3
    assert (apart.values, apart.absolute) == (count, 255 * count - 1)
    assert apart.squares == 255**2 * count - (255**2 - 254**2)
    assert apart.wrapped_squares == count - 1 + 254**2 % 256


def test_psnr_agrees_with_scikit_image() -> None:
    a, b = _noise(0), _noise(1)
    assert image.psnr(image.differences(a, b)) == pytest.approx(peak_signal_noise_ratio(b, a, data_range=255))


def test_equal_frames_have_100_decibels_and_ssim_1() -> None:
    a = _noise(2)
    assert image.psnr(image.differences(a, a)) == image.psnr_uint8(image.differences(a, a)) == 100
    assert image.ssim(a, a) == image.ssim_disco(a, a) == 1
    assert image.l1(image.differences(a, a)) == image.l1_disco(image.differences(a, a)) == 0


@pytest.mark.parametrize(("difference", "folded"), [(15, 225), (20, 144), (13, 169), (255, 1), (27, 217)])
def test_uint8_psnr_folds_the_square(difference: int, folded: int) -> None:
    # By hand: 20^2 = 400 = 256 + 144; 27^2 = 729 = 2*256 + 217; 255^2 = 254*256 + 1.
    expected = 10 * math.log10(255**2 / folded)
    assert image.psnr_uint8(image.differences(_flat(0), _flat(difference))) == pytest.approx(expected)
    assert image.psnr_uint8(image.differences(_flat(difference), _flat(0))) == pytest.approx(expected)


def test_a_difference_of_16_is_invisible_to_the_published_psnr() -> None:
    assert image.psnr_uint8(image.differences(_flat(0), _flat(16))) == 100
    assert image.psnr(image.differences(_flat(0), _flat(16))) == pytest.approx(24.05, abs=0.01)


def test_the_published_psnr_has_a_floor_of_24_17_decibels() -> None:
    squares = {difference: difference**2 % 256 for difference in range(256)}
    worst = max(squares, key=lambda difference: squares[difference])
    assert squares[worst] == 249
    assert image.psnr_uint8(image.differences(_flat(0), _flat(worst))) == pytest.approx(24.17, abs=0.005)
    assert (
        image.psnr_uint8(image.differences(_noise(3), _noise(4)))
        > 24.17
        > 10
        > image.psnr(image.differences(_noise(3), _noise(4)))
    )


def test_published_psnr_near_the_values_measured_on_gaussian_noise() -> None:
    generator = np.random.default_rng(5)
    truth = np.full((128, 128, 3), 128, dtype=np.uint8)
    noisy = np.clip(128 + generator.normal(0, 40, truth.shape), 0, 255).round().astype(np.uint8)
    assert image.psnr(image.differences(noisy, truth)) == pytest.approx(16.1, abs=0.15)  # 20 log10(255 / 40)
    assert image.psnr_uint8(image.differences(noisy, truth)) == pytest.approx(28.2, abs=0.3)


@pytest.mark.parametrize(("height", "width"), [(7, 9), (40, 24), (300, 290), (601, 120)])
def test_disco_ssim_is_scikit_images_of_8_bit_grey(height: int, width: int) -> None:
    a = _noise(6, height, width)
    b = np.clip(a.astype(int) + np.random.default_rng(7).integers(-60, 60, a.shape), 0, 255).astype(np.uint8)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (a, b)]
    value = image.ssim_disco(a, b)
    assert value == pytest.approx(structural_similarity(*grey), rel=1e-10)
    assert 0.3 < value < 0.99


@pytest.mark.parametrize(("height", "width"), [(11, 15), (40, 24), (200, 290), (601, 120)])
def test_ssim_is_scikit_images_with_wangs_window(height: int, width: int) -> None:
    a = _noise(8, height, width)
    b = np.clip(a.astype(int) + np.random.default_rng(9).integers(-90, 90, a.shape), 0, 255).astype(np.uint8)
    wanted = structural_similarity(
        *(a, b), channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert image.ssim(a, b) == pytest.approx(wanted, rel=1e-10)


def test_ssim_of_two_flat_frames_is_the_luminance_term() -> None:
    c1 = (0.01 * 255) ** 2
    expected = (2 * 60 * 90 + c1) / (60**2 + 90**2 + c1)
    assert image.ssim(_flat(60, 16, 16), _flat(90, 16, 16)) == pytest.approx(expected)
    assert image.ssim_disco(_flat(60, 16, 16), _flat(90, 16, 16)) == pytest.approx(expected)


def test_frames_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        image.psnr(image.differences(_flat(0), _flat(0, 8, 8)))
    with pytest.raises(ValueError, match="at least 11 pixels"):
        image.ssim(_flat(0), _flat(0))
    with pytest.raises(ValueError, match="uint8"):
        image.l1(image.differences(_flat(0).astype(np.float32), _flat(0)))  # type: ignore[arg-type]
