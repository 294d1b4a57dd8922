from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy import ndimage

from pipelines.measures.face_quality import FaceQuality, FaceQualitySettings, consistency, sharpness
from pipelines.measures.frames import Frame


@dataclass
class Seen:
    box: np.ndarray
    score: float
    embedding: np.ndarray
    landmarks: np.ndarray = field(default_factory=lambda: np.zeros((5, 2), np.float32))


def _face(x: float, size: float, score: float, embedding: list[float]) -> Seen:
    return Seen(np.array([x, 10, x + size, 10 + 1.5 * size], np.float32), score, np.array(embedding, np.float32))


def test_sharpness_is_the_variance_of_the_laplacian_at_112_pixels():
    image = np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    image[:] = image[..., :1]  # grey, so that the weights of the colours do not matter
    box = np.array([20, 30, 132, 142], np.float32)  # 112x112 already
    crop = image[30:142, 20:132, 0].astype(float)
    # OpenCV and scipy differ at the border alone: mirror without repeating the edge
    expected = ndimage.laplace(crop, mode="mirror").var()
    assert sharpness(image, box) == pytest.approx(expected, rel=1e-9)


def test_a_small_face_counts_as_the_blur_that_it_is():
    fine = np.zeros((224, 224, 3), np.uint8)
    fine[::2] = 255
    assert sharpness(fine, np.array([0, 0, 112, 112], np.float32)) > sharpness(
        fine, np.array([0, 0, 28, 28], np.float32)
    )


def test_a_box_that_leaves_the_picture_is_cut():
    assert sharpness(np.full((50, 50, 3), 9, np.uint8), np.array([-10, 40, 20, 80], np.float32)) == 0


def test_consistency_of_one_identity_and_of_two_halves():
    one, other = np.eye(4, dtype=np.float32)[:2]
    assert consistency(np.stack([one, one, one])) == pytest.approx(1)
    assert consistency(np.stack([one, other] * 3)) == pytest.approx(np.sqrt(0.5))
    assert consistency(np.stack([one, -one])) == 0


def test_consistency_is_of_directions_alone():
    embeddings = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32) + 1
    unit = embeddings.astype(float) / np.linalg.norm(embeddings, axis=1, keepdims=True)
    mean = unit.mean(0) / np.linalg.norm(unit.mean(0))
    expected = (unit @ mean).mean()
    assert consistency(embeddings) == pytest.approx(expected, rel=1e-6)
    lengths = np.array([20, 1, 0.1, 3, 20, 25], np.float32)[:, None]  # one long embedding must not count more
    assert consistency(embeddings * lengths) == pytest.approx(expected, rel=1e-6)
    assert consistency(np.zeros((2, 8), np.float32)) == 0


def test_columns_describe_the_main_face():
    found = [
        [_face(0, 40, 0.9, [1, 0]), _face(90, 20, 0.8, [0, 1])],
        [],
        [_face(5, 60, 0.7, [1, 0])],
        [_face(5, 50, 0.6, [1, 0])],
    ]
    yaws = iter([-30.0, 10.0, 20.0])
    frames = iter(found)
    measure = FaceQuality(FaceQualitySettings(), lambda image: next(frames), lambda landmarks: next(yaws))
    for number in range(4):
        measure.add(Frame(number, number / 8, np.zeros((200, 320, 3), np.uint8)))
    columns = measure.columns()
    assert columns["face_share"] == 0.75
    assert columns["face_size"] == 50  # of 40, 60 and 50: the shorter side
    assert columns["face_score"] == pytest.approx(0.7)
    assert columns["face_yaw"] == 20  # the median of 30, 10 and 20
    assert columns["face_consistency"] == pytest.approx(1)
    assert [len(boxes) for boxes in columns["face_boxes"]] == [2, 0, 1, 1]
    embeddings = [None if one is None else one.tolist() for one in columns["face_embedding"]]
    assert embeddings == [[1, 0], None, [1, 0], [1, 0]]


def test_without_a_face_what_describes_one_is_missing():
    measure = FaceQuality(FaceQualitySettings(), lambda image: [], lambda landmarks: 0.0)
    measure.add(Frame(0, 0.0, np.zeros((20, 20, 3), np.uint8)))
    columns = measure.columns()
    assert columns["face_share"] == 0
    names = ("face_size", "face_score", "face_sharpness", "face_yaw", "face_consistency")
    assert [columns[name] for name in names] == [None] * 5


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="max_faces"):
        FaceQualitySettings(max_faces=0)
