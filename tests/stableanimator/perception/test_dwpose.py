"""The two interfaces on small ONNX files whose answers are worked out by hand, and the real networks on real clips."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from stableanimator.errors import ConfigError, WeightsError
from stableanimator.media.pictures import read_image
from stableanimator.media.video import VideoReader
from stableanimator.perception import onnx_session
from stableanimator.perception.dwpose import PersonDetector, WholeBodyPose
from stableanimator.perception.settings import PoseSettings

COCO_BODY = [
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee"),
    *("left_ankle", "right_ankle"),
]
INPUT = 64
CELLS = 8 * 8 + 4 * 4 + 2 * 2


def save(path: Path, nodes: list, inputs: list, outputs: list, tensors: dict[str, np.ndarray]) -> str:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return str(path)


def detector_file(path: Path, rows: dict[int, list[float]]) -> str:
    """YOLOX's interface at 64 pixels. `rows` are given cells; their objectness is multiplied by the first pixel's red.

    The red is the third channel, grey levels / 255: so what the network sees is checked together with what it says.
    """
    base = np.zeros((1, CELLS, 7), np.float32)
    for cell, row in rows.items():
        base[0, cell] = row
    objectness = np.zeros((1, 1, 7), np.float32)
    objectness[0, 0, 4] = 1
    nodes = [
        helper.make_node("Slice", ["images", "start", "end", "axes"], ["pixel"]),
        helper.make_node("Reshape", ["pixel", "shape"], ["red"]),
        helper.make_node("Div", ["red", "white"], ["share"]),
        helper.make_node("Mul", ["share", "objectness"], ["a"]),
        helper.make_node("Add", ["a", "others"], ["factor"]),
        helper.make_node("Mul", ["base", "factor"], ["output"]),
    ]
    tensors = {
        "start": np.array([0, 2, 0, 0]),
        "end": np.array([1, 3, 1, 1]),
        "axes": np.array([0, 1, 2, 3]),
        "shape": np.array([1, 1, 1]),
        "white": np.array(255, np.float32),
        "base": base,
        "objectness": objectness,
        "others": 1 - objectness,
    }
    shape = [1, CELLS, 7]
    return save(path, nodes, [("images", [1, 3, INPUT, INPUT])], [("output", shape)], tensors)


STRIDE_16 = 64  # number of the first cell with stride 16


@pytest.mark.parametrize("shape", [(2, 1400), (1400, 2), (20, 20_000), (1, 1)])
def test_a_frame_however_narrow_is_looked_at(tmp_path: Path, shape: tuple[int, int]) -> None:
    detector = PersonDetector(detector_file(tmp_path / "d.onnx", {}))
    boxes, scores = detector(np.full((*shape, 3), 200, np.uint8))
    assert (len(boxes), len(scores)) == (0, 0)


def test_boxes_are_decoded_suppressed_and_scaled_back(tmp_path: Path) -> None:
    # Column 1, row 2 at stride 16: centre (1 + 0.5, 2 + 0.25) * 16 = (24, 36); size (1, 2) * 16 = (16, 32).
    person = [0.5, 0.25, 0.0, np.log(2.0), 0.9, 0.8, 0.1]
    # Column 3, row 0 at stride 8: centre (28, 4), size 8; of the other class, so no person.
    other = [0.5, 0.5, 0.0, 0.0, 0.9, 0.1, 0.9]
    # The same place as the person, a little less sure: a duplicate.
    twin = [-0.5, 0.25, 0.0, np.log(2.0), 0.9, 0.7, 0.1]
    # Column 0, row 0 at stride 16: centre (4, 4), size 16: reaches out of the frame.
    corner = [0.25, 0.25, 0.0, 0.0, 0.9, 0.5, 0.1]
    rows = {STRIDE_16 + 2 * 4 + 1: person, 3: other, STRIDE_16 + 2 * 4 + 2: twin, STRIDE_16: corner}
    detector = PersonDetector(detector_file(tmp_path / "det.onnx", rows))
    frame = np.zeros((64, 128, 3), np.uint8)  # is shown to the network at half its size
    frame[..., 0] = 255
    boxes, scores = detector(frame)
    np.testing.assert_allclose(boxes, [[32, 40, 64, 64], [0, 0, 24, 24]], atol=1e-4)
    np.testing.assert_allclose(scores, [0.9 * 0.8, 0.9 * 0.5], atol=1e-6)
    frame[..., 0] = 102  # everything 0.4 times as sure: 0.288 and 0.18 are below 0.3
    assert [len(part) for part in detector(frame)] == [0, 0]


def pose_file(path: Path, batch: int | str, height: int = 48, width: int = 32, darkest: bool = False) -> str:
    """SimCC's interface. Every joint is at the brightest (or darkest) column and row of the second channel."""
    nodes = [
        helper.make_node("Gather", ["input", "green"], ["levels"], axis=1),
        helper.make_node("Neg" if darkest else "Identity", ["levels"], ["channel"]),
        helper.make_node("ReduceMax", ["channel"], ["columns"], axes=[2], keepdims=0),
        helper.make_node("ReduceMax", ["channel"], ["rows"], axes=[3], keepdims=0),
        helper.make_node("Resize", ["columns", "", "twice"], ["x1"], mode="nearest"),
        helper.make_node("Resize", ["rows", "", "twice"], ["y1"], mode="nearest"),
        helper.make_node("Tile", ["x1", "joints"], ["simcc_x"]),
        helper.make_node("Tile", ["y1", "joints"], ["simcc_y"]),
    ]
    tensors = {
        "green": np.array([1]),
        "twice": np.array([1, 1, 2], np.float32),
        "joints": np.array([1, 133, 1]),
    }
    outputs = [("simcc_x", [batch, 133, 2 * width]), ("simcc_y", [batch, 133, 2 * height])]
    return save(path, nodes, [("input", [batch, 3, height, width])], outputs, tensors)


@pytest.mark.parametrize("batch", [1, "batch"])
def test_a_bright_dot_is_found_where_it_is(tmp_path: Path, batch: int | str) -> None:
    pose = WholeBodyPose(pose_file(tmp_path / "pose.onnx", batch))
    frame = np.zeros((300, 400, 3), np.uint8)
    dots = np.array([[101.5, 80.5], [333.5, 251.5]])  # centres of pixels
    for x, y in dots.astype(int):
        frame[y - 3 : y + 4, x - 3 : x + 4] = 200
        frame[y - 1 : y + 2, x - 1 : x + 2] = 255
    boxes = np.array([[70, 40, 130, 130], [260, 200, 390, 299]], np.float32)
    keypoints = pose(frame, boxes)
    assert keypoints.shape == (2, 133, 3)
    for dot, box, person in zip(dots, boxes, keypoints, strict=True):
        # The crop is the box, 1.25 times as large, widened to 32 x 48: frame pixels for each of its pixels.
        coarseness = 1.25 * max((box[2] - box[0]) / 32, (box[3] - box[1]) / 48)
        assert np.abs(person[:, :2] - dot).max() < coarseness / 2 + 0.75
        assert (person[:, 2] > 0.5).all()


def test_the_score_is_the_lower_maximum_of_normalised_input(tmp_path: Path) -> None:
    pose = WholeBodyPose(pose_file(tmp_path / "pose.onnx", 1))
    frame = np.zeros((300, 400, 3), np.uint8)
    frame[..., 1] = 200
    keypoints = pose(frame, np.array([[100.0, 100.0, 200.0, 200.0]]))
    assert keypoints[0, :, 2] == pytest.approx((200 - 116.28) / 57.12, rel=1e-5)  # ImageNet's mean and spread of green


def test_dark_crops_are_missing(tmp_path: Path) -> None:
    pose = WholeBodyPose(pose_file(tmp_path / "pose.onnx", 1))
    dark = pose(np.zeros((300, 400, 3), np.uint8), np.array([[100.0, 100.0, 200.0, 200.0]]))
    assert np.isnan(dark[..., :2]).all()
    assert (dark[..., 2] == 0).all()
    assert pose(np.zeros((300, 400, 3), np.uint8), np.zeros((0, 4), np.float32)).shape == (0, 133, 3)


def test_joints_outside_the_frame_keep_their_places_there(tmp_path: Path) -> None:
    # Beyond the frame the crop is black, so the darkest row and column are the crop's first ones; its corner lies half
    # of the crop, 1.25 times the box and widened to 2 x 3, from the box's middle.
    pose = WholeBodyPose(pose_file(tmp_path / "pose.onnx", 1, darkest=True))
    frame = np.full((300, 400, 3), 255, np.uint8)
    left = pose(frame, np.array([[-150.0, 100.0, 50.0, 250.0]]))[0]
    np.testing.assert_allclose(left[:, 0], -50 - 250 / 2 + 0.5, atol=1e-4)
    np.testing.assert_allclose(left[:, 1], 175 - 375 / 2 + 0.5, atol=1e-4)
    np.testing.assert_allclose(left[:, 2], 116.28 / 57.12, rtol=1e-5)  # of the black beyond the frame
    # The brightest ones begin where the frame does, within a pixel of the crop.
    inside = WholeBodyPose(pose_file(tmp_path / "bright.onnx", 1))(frame, np.array([[-150.0, 100.0, 50.0, 250.0]]))
    assert np.abs(inside[..., :2]).max() < 250 / 32
    # Right of the frame the first black column of the crop, whose pixels are 125 / 32 of the frame's, is the darkest.
    right = pose(frame, np.array([[350.0, 100.0, 450.0, 250.0]]))[0]
    assert (right[:, 0] > 400).all()
    assert (right[:, 0] < 400 + 2 * 125 / 32).all()


def test_other_interfaces_and_missing_files_are_errors(tmp_path: Path) -> None:
    settings = PoseSettings(detector=str(tmp_path / "none.onnx"), pose=str(tmp_path / "none.onnx"))
    with pytest.raises(WeightsError, match="is missing; put DWPose's person detector"):
        PersonDetector.from_settings(settings)
    with pytest.raises(WeightsError, match="is missing; put DWPose's pose network"):
        WholeBodyPose.from_settings(settings)
    pose, detector = pose_file(tmp_path / "pose.onnx", 1), detector_file(tmp_path / "det.onnx", {})
    with pytest.raises(WeightsError, match="not YOLOX's"):
        PersonDetector(pose)
    with pytest.raises(WeightsError, match="not simcc_x and simcc_y"):
        WholeBodyPose(detector)
    (tmp_path / "text.onnx").write_text("<html>")
    with pytest.raises(WeightsError, match=r"text\.onnx cannot be read as ONNX"):
        WholeBodyPose(str(tmp_path / "text.onnx"))
    with pytest.raises(ValueError, match=r"min_score must be .* not 30"):
        PoseSettings(detector="/a", pose="/b", min_score=30)


def test_a_device_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_session.ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ConfigError, match="onnxruntime-gpu"):
        onnx_session.providers_of("cuda")


def test_checksums_cover_external_weights(tmp_path: Path) -> None:
    path = detector_file(tmp_path / "det.onnx", {})
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="det.data", size_threshold=100)
    before = PersonDetector(path).weights_sha256
    data = bytearray((tmp_path / "det.data").read_bytes())
    data[-1] ^= 1
    (tmp_path / "det.data").write_bytes(data)
    assert PersonDetector(path).weights_sha256 != before


@pytest.mark.real_data
def test_a_dancer_has_the_right_joints(real_data: Path) -> None:
    weights = real_data / "weights/dwpose"
    detector = PersonDetector(str(weights / "yolox_nano_640.onnx"))
    pose = WholeBodyPose(str(weights / "simplepose_as_wholebody133.onnx"))
    with VideoReader(real_data / "media/videos/lp_s13.mp4") as video:
        frame = video.read([50])[0]
    boxes, scores = detector(frame)
    assert len(boxes) == 1
    assert scores[0] > 0.7
    body = pose(frame, boxes)[0, :17]
    # By eye on that frame (720 x 1080): the dancer faces us with both hands raised.
    by_eye = {
        "nose": (373, 128),
        "left_wrist": (590, 200),
        "right_wrist": (186, 198),
        "left_elbow": (575, 325),
        "right_elbow": (190, 335),
        "left_knee": (413, 735),
        "right_knee": (340, 745),
        "left_ankle": (400, 945),
        "right_ankle": (333, 945),
    }
    for name, place in by_eye.items():
        assert np.hypot(*(body[COCO_BODY.index(name), :2] - place)) < 30, name
    assert (body[:, 2] > 0.3).all()
    # The same joints are found in a mirrored frame, left and right exchanged, to within one cell of this network's
    # coarse heatmap (6 of its input pixels, 16 of the frame's).
    flipped = np.ascontiguousarray(frame[:, ::-1])
    mirrored = pose(flipped, boxes[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [720, 0, 720, 0])[0, :17]
    exchanged = mirrored[[0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]]
    assert np.median(np.hypot(720 - exchanged[:, 0] - body[:, 0], exchanged[:, 1] - body[:, 1])) < 16


@pytest.mark.real_data
def test_people_are_counted_and_animals_are_not(real_data: Path) -> None:
    detector = PersonDetector(str(real_data / "weights/dwpose/yolox_nano_640.onnx"))
    with VideoReader(real_data / "media/videos/dj_video4.mp4") as video:
        assert len(detector(video.read([100])[0])[0]) == 2
    with VideoReader(real_data / "media/videos/cotracker_bear.mp4") as video:
        assert len(detector(video.read([20])[0])[0]) == 0
    boxes, _ = detector(read_image(real_data / "media/images/full_body_1.jpg"))
    assert len(boxes) == 1
    small = cv2.resize(read_image(real_data / "media/images/full_body_1.jpg"), (540, 960), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(detector(small)[0] * 2, boxes, atol=25)
