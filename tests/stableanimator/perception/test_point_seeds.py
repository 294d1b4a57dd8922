"""Where tracks begin, and how far a place stands out of its picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stableanimator.perception.point_seeds import gradients_at, noise_between


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


@pytest.mark.parametrize("sigma", [0.0, 2.0, 6.0])
def test_noise_is_what_differs_where_nothing_moves(sigma: float) -> None:
    random = np.random.default_rng(1)
    first = np.full((160, 160), 120.0)
    first[:, :80] = random.uniform(0, 255, (160, 80))
    second = first.copy()
    second[:, :80] = np.roll(first[:, :80], 5, axis=1)  # half of it moves
    noisy = [
        np.clip(one + random.normal(0, sigma, one.shape), 0, 255).round().astype(np.uint8) for one in (first, second)
    ]
    assert noise_between(*noisy) == pytest.approx(sigma, rel=0.15, abs=0.1)


def test_what_changes_everywhere_is_no_noise() -> None:
    coarse = np.random.default_rng(2).uniform(0, 255, (2, 16, 16)).astype(np.float32)
    before, after = (cv2.resize(each, (160, 160), interpolation=cv2.INTER_CUBIC) for each in coarse)
    assert noise_between(*(each.clip(0, 255).astype(np.uint8) for each in (before, after))) == 0
    assert noise_between(np.zeros((9, 9), np.uint8), np.ones((9, 9), np.uint8)) == 0
