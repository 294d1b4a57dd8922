"""Where tracks begin: at what stands out of a picture's noise."""

from __future__ import annotations

import numpy as np
import pytest

from stableanimator.perception.point_seeds import new_corners, noise_level
from stableanimator.perception.settings import SeedSettings


@pytest.mark.parametrize("sigma", [1.0, 3.0, 8.0])
def test_noise_is_told_from_corners(sigma: float) -> None:
    """A plain wall under a camera's noise has no points; the same noise over marks leaves the marks."""
    random = np.random.default_rng(0)
    wall = np.full((240, 320), 128.0)
    noisy = np.clip(wall + random.normal(0, sigma, wall.shape), 0, 255).astype(np.uint8)
    assert noise_level(noisy) == pytest.approx(sigma, rel=0.2)
    everywhere = np.full(wall.shape, 255, np.uint8)
    none = np.zeros((0, 2), np.float32)
    assert len(new_corners(noisy, everywhere, none, SeedSettings())) <= 2  # of a thousand that would fit
    wall[::40] = wall[:, ::40] = 40
    marked = np.clip(wall + random.normal(0, sigma, wall.shape), 0, 255).astype(np.uint8)
    assert len(new_corners(marked, everywhere, none, SeedSettings())) > 40
