from __future__ import annotations

import numpy as np
import pytest

from stableanimator.metrics.flicker import Flicker, seam


def _flicker(frames: list[np.ndarray], truth: list[np.ndarray] | None = None) -> Flicker:
    flicker = Flicker()
    for number, frame in enumerate(frames):
        flicker.add(frame.astype(np.float32), None if truth is None else truth[number].astype(np.float32))
    return flicker


def _moving(frames: int) -> list[np.ndarray]:
    """A bright square that jumps over a third of a still, textured wall."""
    wall = np.random.default_rng(0).uniform(40, 200, (60, 90))
    result = []
    for t in range(frames):
        frame = wall.copy()
        frame[:, 3 * t : 3 * t + 30] = 250
        result.append(frame)
    return result


@pytest.mark.parametrize("sigma", [0.0, 2.0, 8.0])
def test_flicker_is_the_noise_that_was_added_whatever_moves(sigma: float) -> None:
    generator = np.random.default_rng(1)
    truth = _moving(16)
    noisy = [frame + generator.normal(0, sigma, frame.shape) for frame in truth]
    flicker = _flicker(noisy, truth)
    assert flicker.still == pytest.approx(sigma, rel=0.25, abs=1e-5)  # the jumping edges add a little
    assert flicker.unexplained == pytest.approx(sigma, rel=0.03, abs=1e-5)
    assert _flicker(noisy).unexplained is None


def test_an_error_that_stays_is_no_flicker() -> None:
    truth = _moving(6)
    assert _flicker([frame + 30 for frame in truth], truth).unexplained == pytest.approx(0, abs=1e-4)


def test_evenly_changing_light_is_no_flicker() -> None:
    wall = np.random.default_rng(2).uniform(40, 200, (20, 20))
    flicker = _flicker([wall + 3 * t for t in range(6)])
    assert flicker.still == pytest.approx(0, abs=1e-4)
    assert flicker.jumps == pytest.approx([3] * 5, rel=1e-4)


def test_too_few_frames_have_none() -> None:
    flicker = _flicker(_moving(2))
    assert (flicker.still, flicker.unexplained, flicker.seam(())) == (None, None, None)
    assert _flicker(_moving(1)).seam([1]) is None


def test_seams_by_hand() -> None:
    # Jumps into frames 1 to 6; windows begin with 3 and 5. A tenth of a grey level is added to each mean.
    jumps = np.array([1.0, 1, 4, 1, 6, 1])
    assert seam(jumps, [3, 5]) == pytest.approx((5 + 0.1) / (1 + 0.1))
    assert seam(jumps, []) == pytest.approx(6.1 / 1.1)  # the largest over the median of its neighbours
    assert seam(np.zeros(6), [3]) == 1
    assert seam(jumps, [9]) is None
    assert seam(jumps[:2], [1, 2]) is None
