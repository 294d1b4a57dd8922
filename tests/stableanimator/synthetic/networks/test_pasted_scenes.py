"""Scenes: whoever is in them is where the truth says, whatever was scaled, moved or mirrored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stableanimator.synthetic.networks import pasted_scenes
from stableanimator.synthetic.networks.pasted_scenes import SceneSamples
from stableanimator.synthetic.networks.training_frames import Frames


class _OneSquare:
    """One frame of 100x80 with a white square on black, whose truth is known to the pixel."""

    def __init__(self) -> None:
        box = np.full((1, 3, 4), np.nan, np.float32)
        box[0, 0] = (40, 20, 60, 40)
        points = np.full((1, 3, 5, 2), np.nan, np.float32)
        points[0, 0] = [(45, 25), (55, 25), (50, 30), (45, 35), (55, 35)]
        self.frames = Frames(
            size=np.array([[80, 100]], np.int32),
            person_boxes=box,
            face_boxes=box.copy(),
            face_landmarks=points,
            keypoints=np.zeros((1, 3, 133, 2), np.float32),
            visibility=np.zeros((1, 3, 133), np.uint8),
            identity=np.array([-1], np.int32),
        )

    def __len__(self) -> int:
        return 1

    def picture(self, _: int) -> NDArray[np.uint8]:
        picture = np.zeros((80, 100, 3), np.uint8)
        picture[20:40, 40:60] = 255
        return picture


@pytest.fixture
def scenes(monkeypatch: pytest.MonkeyPatch) -> SceneSamples:
    def plainly(picture: Any, _: Any) -> Any:
        return picture

    monkeypatch.setattr(pasted_scenes, "vary", plainly)
    return SceneSamples(_OneSquare(), 128, (0.6, 1.6))  # type: ignore[arg-type]


def test_boxes_frame_what_is_white(scenes: SceneSamples) -> None:
    checked = 0
    for seed in range(40):
        scene = scenes.draw(np.random.default_rng(seed))
        white = scene.picture[..., 0] > 180
        for x0, y0, x1, y1 in scene.face_boxes:
            near = np.zeros_like(white)
            near[max(0, int(y0) - 3) : int(y1) + 4, max(0, int(x0) - 3) : int(x1) + 4] = True
            y, x = np.nonzero(white & near)
            np.testing.assert_allclose((x.min(), y.min(), x.max() + 1, y.max() + 1), (x0, y0, x1, y1), atol=1.1)
            checked += 1
    assert checked > 40


def test_landmarks_keep_their_order_in_a_mirror(scenes: SceneSamples) -> None:
    for seed in range(40):
        for eyes_and_mouth in scenes.draw(np.random.default_rng(seed)).face_landmarks:
            left_eye, right_eye, nose, left_mouth, right_mouth = eyes_and_mouth
            assert left_eye[0] < nose[0] < right_eye[0]
            assert left_mouth[0] < nose[0] < right_mouth[0]


def test_nobody_is_where_nobody_was_drawn() -> None:
    empty = _OneSquare()
    nobody = np.full_like(empty.frames.person_boxes, np.nan)
    empty.frames = replace(empty.frames, person_boxes=nobody, face_boxes=nobody)
    scene = SceneSamples(empty, 64, (0.6, 1.6)).draw(np.random.default_rng(0))  # type: ignore[arg-type]
    assert len(scene.person_boxes) == len(scene.face_boxes) == 0
