"""A prediction whose files are written here, and judges of pictures of which is known that they show nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipelines.storage.pair_tables import PREDICTIONS
from stableanimator.media.video import write_lossless, write_mp4
from stableanimator.metrics.seen import Judges
from stableanimator.perception.faces import Face


def no_faces(frame: np.ndarray) -> list[Face]:
    """An analyser for pictures without a face."""
    return []


def nobody(frame: np.ndarray) -> np.ndarray:
    """The same of people."""
    return np.zeros((0, 133, 3), np.float32)


@pytest.fixture
def judges() -> Judges:
    return Judges(faces=no_faces, held_out=None, people=nobody)


def waves(frames: int, height: int, width: int) -> list[np.ndarray]:
    """Pictures of a pattern that moves."""
    y, x = np.mgrid[0:height, 0:width]
    return [
        np.stack([127 + 90 * np.sin((x + 4 * t) / 9), 127 + 90 * np.cos(y / 7), 0 * x + 60], -1).astype(np.uint8)
        for t in range(frames)
    ]


@pytest.fixture
def prediction(tmp_path: Path) -> dict[str, Any]:
    """Of four frames, which are the truth as well."""
    write_mp4(tmp_path / "prediction.mp4", waves(4, 32, 48), 8)
    write_lossless(tmp_path / "truth.mp4", waves(4, 32, 48), 8)
    cv2.imwrite(str(tmp_path / "reference.png"), waves(1, 64, 96)[0])
    return dict.fromkeys(PREDICTIONS.names) | {
        "pair_id": "a",
        "status": "done",
        "variant": "plain",
        "fps": 8.0,
        "cut_middle": [0.5, 0.5],
        "prediction_uri": str(tmp_path / "prediction.mp4"),
        "frames_uri": str(tmp_path / "truth.mp4"),
        "skeleton_uri": str(tmp_path / "prediction.mp4"),
        "reference_uri": str(tmp_path / "reference.png"),
        "truth_uri": str(tmp_path / "truth.mp4"),
        "frame_index": [0, 1, 2, 3],
        "frames_left_out": 0,
    }
