from __future__ import annotations

import numpy as np
import pytest
import torch

from stableanimator.metrics.networks.preparing import for_i3d, for_inception, for_lpips, for_resnet3d


def _flat(*colour: int) -> np.ndarray:
    return np.full((30, 50, 3), colour, np.uint8)


def test_a_flat_frame_has_values_by_hand() -> None:
    frame = _flat(255, 0, 51)
    assert for_i3d(frame).shape == (3, 224, 224)
    assert for_i3d(frame)[:, 7, 9].tolist() == pytest.approx([1, -1, -0.6])
    assert for_resnet3d(frame).shape == (3, 112, 112)
    assert for_resnet3d(frame)[:, 3, 3].tolist() == pytest.approx([255 - 114.7748, -107.7354, 51 - 99.4750], abs=1e-4)
    assert for_inception(frame)[:, 29, 49].tolist() == pytest.approx([1, 0, 0.2])
    assert for_lpips(frame, 0)[:, 0, 0].tolist() == pytest.approx([1, 0, 0.2])
    assert for_lpips(frame, -1)[:, 0, 0].tolist() == pytest.approx([1, -1, -0.6])


def test_shrinking_averages_and_rounds_nothing() -> None:
    # Every fourth line is white, a quarter of 255 on average: 63.75, which no grey level is.
    frame = np.zeros((896, 896, 3), np.uint8)
    frame[::4] = 255
    assert torch.allclose(for_i3d(frame)[:, 20:200], torch.tensor(63.75 / 127.5 - 1), atol=1e-4)


def test_channels_stay_apart() -> None:
    frame = np.zeros((224, 224, 3), np.uint8)
    frame[:, :, 1] = 200
    assert for_i3d(frame).mean((1, 2)).tolist() == pytest.approx([-1, 200 / 127.5 - 1, -1])
