"""Keypoints and skeleton pictures of somebody half outside the picture, beside the released StableAnimator's own code.

SA_RELEASED=/path/to/StableAnimator make test ARGS=tests/stableanimator/perception/test_released_poses.py
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from stableanimator.perception.dwpose import WholeBodyPose, crop_warp
from stableanimator.perception.skeleton import OPENPOSE_JOINTS, draw_skeleton

from ...half_outside import half_outside, with_outside

WIDTH, HEIGHT = 288, 384  # of the network's input, as DWPose's
COCO = [
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee"),
    *("left_ankle", "right_ankle"),
]


def _network(path: Path, person: np.ndarray, box: np.ndarray) -> str:
    """A pose network that sees nothing but knows where the 133 points [133, 3] are, as far as its crop reaches."""
    warp = crop_warp(box.astype(np.float64), WIDTH, HEIGHT)
    places = (person[:, :2] - 0.5) @ warp[:, :2].T + warp[:, 2]
    known = {}
    for axis, (name, size) in enumerate({"simcc_x": 2 * WIDTH, "simcc_y": 2 * HEIGHT}.items()):
        known[name] = np.zeros((1, 133, size), np.float32)
        known[name][0, np.arange(133), np.clip(np.round(2 * places[:, axis]), 0, size - 1).astype(int)] = person[:, 2]
    graph = helper.make_graph(
        [helper.make_node("Constant", [], [name], value=numpy_helper.from_array(known[name])) for name in known],
        "knows",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, known[name].shape) for name in known],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return str(path)


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The released DWPose/skeleton_extraction.py; its detector waits for a network and boxes."""
    folder = Path(os.environ.get("SA_RELEASED", "/nowhere")) / "DWPose"
    if not folder.is_dir():
        pytest.skip("SA_RELEASED names no checkout of the released StableAnimator")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(import_module("dwpose_utils.wholebody").Wholebody, "__init__", lambda self: None)
    yield import_module("skeleton_extraction")
    for name in [name for name in sys.modules if name.split(".")[0] in ("dwpose_utils", "skeleton_extraction")]:
        del sys.modules[name]


@pytest.mark.parametrize("kind", ["gesture", "talk"])
def test_keypoints_and_pictures_are_the_released_ones(
    kind: str, tmp_path: Path, released: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, truth = half_outside(kind, 1)
    frame, boxes = pictures[0], truth.person_boxes[0, :1]
    person = with_outside(truth, 0)[0]
    person[:, 2] *= np.random.default_rng(0).uniform(0.25, 1.1, 133).astype(np.float32)
    path = _network(tmp_path / "knows.onnx", person, boxes[0])
    ours = WholeBodyPose(path)(frame, boxes)
    assert (ours[0, :17, 1] > frame.shape[0]).sum() >= 4

    monkeypatch.setattr(sys.modules["dwpose_utils.wholebody"], "inference_detector", lambda session, image: boxes)
    detector = released.dwpose_detector_aligned.pose_estimation
    detector.session_det, detector.session_pose = None, ort.InferenceSession(path)
    places, scores = detector(frame)
    # Its points are OpenPose's 18, then the others as here; it counts from the centre of the first pixel.
    theirs = np.concatenate([places + 0.5, scores[..., None]], -1)[0]
    of_coco = [OPENPOSE_JOINTS.index(name) for name in COCO]
    np.testing.assert_allclose(ours[0], np.concatenate([theirs[of_coco], theirs[18:]]), atol=1e-3)

    picture = released.draw_pose(released.dwpose_detector_aligned(frame), *frame.shape[:2])
    drawn = draw_skeleton(ours, *frame.shape[:2], "released")
    np.testing.assert_array_equal(drawn[..., ::-1], np.transpose(picture, (1, 2, 0)))  # it writes files as BGR
    assert drawn[-1].any()  # limbs run to the edge
