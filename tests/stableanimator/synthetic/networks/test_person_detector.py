"""What the network should say is what the reader of YOLOX's output makes the true people of."""

from __future__ import annotations

import numpy as np
import torch

from stableanimator.perception.dwpose import decode_yolox
from stableanimator.synthetic.networks.pasted_scenes import SceneSamples
from stableanimator.synthetic.networks.person_detector import (
    PersonDetector,
    PersonSamples,
    cells_of,
    person_loss,
    targets_of,
)
from stableanimator.synthetic.networks.training_frames import TrainingFrames

PEOPLE = np.array([[20, 30, 60, 150], [90, 10, 250, 250]], np.float32)


class _Says(torch.nn.Module):
    def __init__(self, rows: torch.Tensor) -> None:
        super().__init__()
        self.rows = rows

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return self.rows


def test_rows_that_decode_to_the_truth_lose_nothing() -> None:
    cells = cells_of(256)
    score, corners = targets_of(PEOPLE, cells)
    positive = score == 1
    rows = np.zeros((len(cells), 6), np.float32)
    stride = cells[:, 2:]
    rows[:, :2] = (corners[:, :2] + corners[:, 2:]) / 2 / stride - cells[:, :2]
    rows[:, 2:4] = np.log((corners[:, 2:] - corners[:, :2]) / stride)
    rows[:, 4] = np.where(positive, 12, -12)
    rows[:, 5] = 12
    decoded = decode_yolox(rows[positive, :4], cells[positive])
    assert len(decoded) >= 4
    nearest = np.abs(decoded[:, None] - PEOPLE).max(-1)
    assert nearest.min(1).max() < 1e-3
    assert (nearest.min(0) < 1e-3).all()
    batch = {
        "picture": torch.zeros(1, 3, 256, 256),
        "score": torch.from_numpy(score)[None],
        "corners": torch.from_numpy(corners)[None],
        "cells": torch.from_numpy(cells)[None],
    }
    assert person_loss(_Says(torch.from_numpy(rows)[None]), batch)[0] < 1e-3


def test_a_file_holds_probabilities() -> None:
    network = PersonDetector().eval()
    with torch.no_grad():
        rows = network.export(torch.full((1, 3, 256, 256), 114.0))
    assert rows.shape == (1, 1344, 6)
    assert ((rows[..., 4:] >= 0) & (rows[..., 4:] <= 1)).all()


def test_samples_are_bgr_grey_levels(frames: TrainingFrames) -> None:
    scenes = SceneSamples(frames, 256, (0.8, 1.2))
    batch = PersonSamples(scenes)(np.random.default_rng(5), 2)
    scene = scenes.draw(np.random.default_rng(5))
    np.testing.assert_array_equal(batch["picture"][0].numpy(), scene.picture.transpose(2, 0, 1)[::-1])
