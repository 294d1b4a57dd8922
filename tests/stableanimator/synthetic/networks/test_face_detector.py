"""What the network should say is what InsightFace reads as the true faces."""

from __future__ import annotations

import numpy as np
import torch
from insightface.model_zoo.retinaface import distance2bbox, distance2kps

from stableanimator.synthetic.networks.face_detector import STRIDES, FaceDetector, FaceSamples, anchors_of, targets_of
from stableanimator.synthetic.networks.pasted_scenes import SceneSamples
from stableanimator.synthetic.networks.training_frames import TrainingFrames

FACES = np.array([[30, 40, 50, 64], [100, 90, 220, 240]], np.float32)
LANDMARKS = np.random.default_rng(0).uniform(0, 256, (2, 5, 2)).astype(np.float32)


def test_insightface_decodes_the_targets_to_the_truth() -> None:
    anchors = anchors_of(256, 256)
    score, box, landmarks = targets_of(FACES, LANDMARKS, anchors)
    found = []
    for stride in STRIDES:  # as insightface.model_zoo.retinaface.RetinaFace.forward does
        mine = anchors[:, 2] == stride
        cells = np.stack(np.mgrid[: 256 // stride, : 256 // stride][::-1], axis=-1).astype(np.float32)
        centres = np.stack([(cells * stride).reshape(-1, 2)] * 2, axis=1).reshape(-1, 2)
        boxes = distance2bbox(centres, box[mine] * stride)
        points = distance2kps(centres, landmarks[mine] * stride).reshape(-1, 5, 2)
        found += [(boxes[row], points[row]) for row in np.flatnonzero(score[mine] == 1)]
    assert len(found) >= 4
    for truth, places in zip(FACES, LANDMARKS, strict=True):
        matching = [points for one, points in found if np.allclose(one, truth, atol=1e-3)]
        assert matching
        np.testing.assert_allclose(matching, [places] * len(matching), atol=1e-3)
    assert all(any(np.allclose(one, truth, atol=1e-3) for truth in FACES) for one, _ in found)


def test_faces_too_small_to_look_for_are_neither_right_nor_wrong() -> None:
    anchors = anchors_of(64, 64)
    score, _, _ = targets_of(np.array([[30, 30, 34, 34]], np.float32), LANDMARKS[:1], anchors)
    assert set(np.unique(score)) == {-1.0, 0.0}


def test_rows_of_the_network_are_in_the_order_of_the_anchors() -> None:
    network = FaceDetector().eval()
    with torch.no_grad():
        rows = network(torch.zeros(1, 3, 64, 96))
    assert rows.shape == (1, len(anchors_of(64, 96)), 15)
    outputs = network.export(torch.zeros(1, 3, 64, 96))
    assert [tuple(one.shape) for one in outputs] == [
        (2 * 64 * 96 // stride**2, columns) for columns in (1, 4, 10) for stride in STRIDES
    ]


def test_samples_hold_faces(frames: TrainingFrames) -> None:
    batch = FaceSamples(SceneSamples(frames, 128, (0.8, 1.2)))(np.random.default_rng(0), 16)
    assert batch["picture"].shape == (16, 3, 128, 128)
    assert float(batch["picture"].abs().max()) <= 1.0
    assert ((batch["score"] == 1).any(1)).float().mean() > 0.7
