"""Where tracks begin, and how far a place stands out of its picture."""

from __future__ import annotations

import numpy as np
import pytest

from stableanimator.perception.point_seeds import gradients_at


def test_the_gradient_grows_with_the_contrast_of_a_corner_and_an_edge_has_none() -> None:
    def picture(contrast: int) -> np.ndarray:
        grey = np.full((60, 60), 100, np.uint8)
        grey[20:, 20:] += np.uint8(contrast)
        return grey

    places = np.array([[20.0, 20.0], [20.0, 45.0], [5.0, 5.0]])
    corner, edge, flat = gradients_at(picture(40), places)
    assert (edge, flat) == (pytest.approx(0, abs=1e-3), 0)
    assert gradients_at(picture(80), places)[0] == pytest.approx(2 * corner, rel=1e-3)
    assert corner > 4


def test_noise_stays_far_below_a_mark() -> None:
    random = np.random.default_rng(0)
    wall = np.full((120, 160), 128.0)
    wall[60:] = wall[:, 80:] = 60
    grey = np.clip(wall + random.normal(0, 3, wall.shape), 0, 255).astype(np.uint8)
    mark, *noise = gradients_at(grey, np.array([[80.0, 60.0], *random.uniform(5, 55, (50, 2))]))
    assert mark > 10
    assert max(noise) < 4
