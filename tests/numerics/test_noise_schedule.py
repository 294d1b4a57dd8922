"""The training noise against "simple diffusion" written in log-SNR, as its paper states it."""

from __future__ import annotations

import numpy as np
import torch

from stableanimator.diffusion.edm import sigma_at
from stableanimator.diffusion.settings import EDMSettings


def _log_snr_shifted(t: np.ndarray, noise_d: float, low: float, high: float) -> np.ndarray:
    """-2 log tan(angle), shifted by 2 log(noise_d / image_d), as Hoogeboom et al. 2023 state it."""
    shift = 2 * np.log(noise_d / 64.0)
    t_min, t_max = np.arctan(np.exp(-0.5 * (high - shift))), np.arctan(np.exp(-0.5 * (low - shift)))
    return -2 * np.log(np.tan(t_min + t * (t_max - t_min))) + shift


def test_sigma_at_equals_the_interpolated_log_snr_schedule() -> None:
    u = np.linspace(0, 1, 501)
    # Time runs from little noise to much there, from much to little here.
    most, least = -2 * np.log(0.002 / 0.5), -2 * np.log(700.0 / 0.5)
    strong = _log_snr_shifted(1 - u, 32.0, least, most)
    weak = _log_snr_shifted(1 - u, 64.0, least, most)
    expected = 0.5 * np.exp(-((1 - u) * strong + u * weak) / 2)
    ours = sigma_at(torch.from_numpy(u), EDMSettings()).numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-9)
