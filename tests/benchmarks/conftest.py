"""Drawn clips whose frames are held, and measures that say exactly what is true of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.drawn.clips import MeasuredClip
from benchmarks.drawn.truth import true_faces, true_people
from stableanimator.media.video import write_mp4
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.synthetic.scene.camera import step_similarities
from stableanimator.synthetic.script import Clip, ClipSettings
from stableanimator.synthetic.truth import Truth

SHORT = ClipSettings(width=128, height=128, min_seconds=2.5, max_seconds=2.5)
SAMPLES = np.arange(0, 62, 15)


def _held(clip: Clip, frames: NDArray[np.int64]) -> tuple[NDArray[np.uint8], Truth]:
    """Pictures and truth of a whole clip of which some frames are drawn, the first among them, and then held."""
    pictures, truth = draw_clip(clip, frames)
    rows = np.searchsorted(frames, np.arange(clip.frame_count), side="right") - 1
    whole = {
        field.name: getattr(truth, field.name)[rows]
        for field in fields(Truth)
        if field.name not in ("size", "fps", "frames", "identities", "alive")
    }
    return pictures[rows], replace(truth, frames=np.arange(clip.frame_count), **whole)


def _perfect(kind: str, path: Path) -> MeasuredClip:
    """A clip of one shot whose measures say what is true of some of its frames."""
    clip = write_clip(kind, 3, SHORT)
    pictures, truth = _held(clip, SAMPLES)
    write_mp4(path, pictures, 25.0)
    people = [true_people(truth, frame) for frame in SAMPLES]
    keypoints = [
        np.concatenate([truth.keypoints[frame, who], np.ones((len(who), 133, 1))], -1)
        for frame, who in zip(SAMPLES, people, strict=True)
    ]
    faces = [true_faces(truth, frame) for frame in SAMPLES]
    steps = step_similarities(truth.camera[SAMPLES], 128, 128).T
    head = {"frame_index": SAMPLES.tolist(), "error": None}
    measures: dict[str, dict[str, Any]] = {
        "people": {
            "person_boxes": [
                truth.person_boxes[frame, who].tolist() for frame, who in zip(SAMPLES, people, strict=True)
            ]
        },
        "keypoints": {"keypoints": [of_frame.reshape(-1, 399).tolist() for of_frame in keypoints]},
        "face_quality": {
            "face_boxes": [boxes.tolist() for _, boxes in faces],
            "face_landmarks": [
                truth.face_landmarks[frame, who].reshape(-1, 10).tolist()
                for frame, (who, _) in zip(SAMPLES, faces, strict=True)
            ],
        },
        "camera_motion": {
            "step_dx": steps[0].tolist(), "step_dy": steps[1].tolist(),
            "step_rotation": steps[2].tolist(), "step_scale": steps[3].tolist(),
        },
    }  # fmt: skip
    shot = {"shot_id": "s", "start": 0, "end": clip.frame_count, "failed_rules": []}
    rows_of = {name: {"s": head | row} for name, row in measures.items()}
    return MeasuredClip(clip=clip, path=path, truth=truth, shots=[shot], measures=rows_of)


@pytest.fixture
def perfect(tmp_path: Path) -> Callable[[str], MeasuredClip]:
    """`perfect(kind)`: a clip of 62 frames of 128x128 in one shot, five of them measured."""
    return lambda kind: _perfect(kind, tmp_path / f"{kind}.mp4")


@pytest.fixture(scope="session")
def held() -> Callable[[Clip, NDArray[np.int64]], tuple[NDArray[np.uint8], Truth]]:
    """`held(clip, frames)`: pictures and truth of a whole clip of which some frames are drawn and then held."""
    return _held
