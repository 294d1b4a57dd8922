"""Crops against OpenCV and scikit-image, embeddings against onnxruntime and InsightFace, gradients against slopes."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from insightface.app import FaceAnalysis
from onnx import TensorProto, helper, numpy_helper
from skimage.transform import SimilarityTransform

from stableanimator.errors import WeightsError
from stableanimator.media.pictures import read_image
from stableanimator.perception.arcface import TEMPLATE, ArcFace, align_crops, crop_boxes, fit_crop
from stableanimator.perception.faces import FaceAnalyser
from stableanimator.perception.settings import FaceSettings

from ...floats import assert_same

pytestmark = pytest.mark.numeric

# Five points of a turned, shifted and enlarged face that no similarity maps onto the template exactly.
POINTS = np.array([[80.0, 60.0], [140.0, 75.0], [105.0, 100.0], [75.0, 125.0], [125.0, 138.0]], np.float32)


def smooth_picture(height: int = 220, width: int = 200) -> np.ndarray:
    coarse = np.random.default_rng(0).uniform(0, 255, (12, 11, 3)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255)


def as_tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1


def test_the_crop_is_the_least_squares_similarity_of_scikit_image() -> None:
    turn, shift = fit_crop(torch.from_numpy(POINTS)[None], torch.from_numpy(TEMPLATE))
    expected = SimilarityTransform.from_estimate(POINTS, TEMPLATE).params
    np.testing.assert_allclose(turn[0].numpy(), expected[:2, :2], atol=1e-5)
    np.testing.assert_allclose(shift[0].numpy(), expected[:2, 2], atol=1e-3)


def test_missing_points_are_left_out() -> None:
    points = POINTS.copy()
    points[2] = np.nan
    turn, shift = fit_crop(torch.from_numpy(points)[None], torch.from_numpy(TEMPLATE))
    kept = [0, 1, 3, 4]
    expected = SimilarityTransform.from_estimate(POINTS[kept], TEMPLATE[kept]).params
    np.testing.assert_allclose(turn[0].numpy(), expected[:2, :2], atol=1e-5)
    np.testing.assert_allclose(shift[0].numpy(), expected[:2, 2], atol=1e-3)


def test_crops_equal_opencv_with_black_outside() -> None:
    picture = smooth_picture()
    near_edge = POINTS - [60, 50]  # the crop reaches beyond the picture
    for points in (POINTS, near_edge.astype(np.float32)):
        crop = align_crops(as_tensor(picture), torch.from_numpy(points)[None], torch.from_numpy(TEMPLATE))[0]
        # OpenCV counts from the centre of the first pixel.
        matrix = SimilarityTransform.from_estimate(points - 0.5, TEMPLATE - 0.5).params[:2]
        expected = cv2.warpAffine(picture, matrix, (112, 112), borderValue=0.0)
        difference = np.abs((crop.permute(1, 2, 0).numpy() + 1) * 127.5 - expected)
        assert difference.mean() < 0.2  # OpenCV rounds places to 1/32 pixel
        assert difference.max() < 6


def test_crops_are_differentiable_in_pixels_and_points() -> None:
    picture = as_tensor(smooth_picture(30, 28)).double().requires_grad_()
    points = (torch.from_numpy(POINTS)[None].double() / 7).requires_grad_()
    template = torch.from_numpy(TEMPLATE).double() / 16

    def crop(frames: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return align_crops(frames, places, template, size=7)

    assert torch.autograd.gradcheck(crop, (picture, points), eps=1e-6, atol=1e-4)


def small_recogniser(path: Path, *, own_normalisation: bool) -> None:
    """A linear recogniser whose graph fixes the batch to one picture, with or without MXNet's own normalisation."""
    random = np.random.default_rng(0)
    nodes = [helper.make_node("Conv", ["pixels"], ["c"], name="Conv_0", strides=[16, 16])]
    nodes[0].input.append("kernel")
    nodes.append(helper.make_node("Reshape", ["c", "shape"], ["y"], name="Reshape_0"))
    if own_normalisation:
        nodes.insert(0, helper.make_node("Mul", ["s", "scale"], ["pixels"], name="_mulscalar0"))
        nodes.insert(0, helper.make_node("Sub", ["x", "middle"], ["s"], name="_minusscalar0"))
    else:
        nodes.insert(0, helper.make_node("Identity", ["x"], ["pixels"], name="Identity_0"))
    tensors = [
        numpy_helper.from_array(random.normal(size=(2, 3, 16, 16)).astype(np.float32), "kernel"),
        numpy_helper.from_array(np.array([1, 98], np.int64), "shape"),
        numpy_helper.from_array(np.array(127.5, np.float32), "middle"),
        numpy_helper.from_array(np.array(1 / 128, np.float32), "scale"),
    ]
    graph = helper.make_graph(
        nodes,
        "recogniser",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 112, 112])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 98])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))


@pytest.mark.parametrize("own_normalisation", [False, True])
def test_embeddings_equal_onnxruntime_for_any_batch(tmp_path: Path, own_normalisation: bool) -> None:
    path = tmp_path / "recogniser.onnx"
    small_recogniser(path, own_normalisation=own_normalisation)
    arcface = ArcFace.from_onnx(path)
    assert arcface.embedding_width == 98
    pixels = np.random.default_rng(1).integers(0, 256, (3, 3, 112, 112)).astype(np.float32)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    fed = pixels if own_normalisation else (pixels - 127.5) / 127.5
    expected = np.concatenate([session.run(None, {"x": one[None]})[0] for one in fed])
    crops = torch.from_numpy(pixels / 127.5 - 1).requires_grad_()
    embeddings = arcface(crops)
    exact = ArcFace.from_onnx(path).double()(crops.detach().double())
    assert_same(embeddings, exact)
    assert_same(expected, exact)
    embeddings[:, 0].sum().backward()
    assert crops.grad is not None
    assert (crops.grad.flatten(1).norm(dim=1) > 0).all()


def test_a_file_that_is_no_recogniser_is_an_error(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "other",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 640, 640])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 640, 640])],
    )
    onnx.save(helper.make_model(graph), str(tmp_path / "other.onnx"))
    with pytest.raises(WeightsError, match="not \\[B, 3, 112, 112\\]"):
        ArcFace.from_onnx(tmp_path / "other.onnx")


@pytest.mark.real_data
def test_embeddings_equal_insightface(real_data: Path) -> None:
    folder = real_data / "weights/insightface/models/small"
    theirs = FaceAnalysis(str(folder), allowed_modules=["detection", "recognition"], providers=["CPUExecutionProvider"])
    theirs.prepare(ctx_id=0, det_size=(640, 640))
    picture = read_image(real_data / "media/images/group_of_six.jpg")
    faces = theirs.get(np.ascontiguousarray(picture[..., ::-1]))
    arcface = ArcFace.from_onnx(folder / "MobileFaceNet.onnx")
    points = torch.from_numpy(np.stack([face.kps for face in faces]) + np.float32(0.5))
    frames = as_tensor(picture).expand(len(faces), -1, -1, -1)
    embeddings = arcface(align_crops(frames, points, torch.from_numpy(TEMPLATE))).numpy()
    expected = np.stack([face.embedding for face in faces])
    norms = np.linalg.norm(expected, axis=1)
    assert len(norms) == 6
    # InsightFace crops to whole grey levels, so that single values differ by some per cent of an embedding's length.
    assert ((embeddings * expected).sum(1) > 0.999 * norms * np.linalg.norm(embeddings, axis=1)).all()
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), norms, rtol=0.03)


@pytest.mark.real_data
def test_the_gradient_of_an_embedding_is_its_slope(real_data: Path) -> None:
    analyser = FaceAnalyser(FaceSettings(pack_root=str(real_data / "weights/insightface"), pack="small"))
    picture = read_image(real_data / "media/images/group_of_six.jpg")
    points = torch.from_numpy(analyser(picture)[0].landmarks)[None].double()
    arcface = ArcFace.from_onnx(analyser.recogniser_path).double()
    target = torch.zeros(128, dtype=torch.float64)
    target[0] = 1

    def loss(frame: torch.Tensor) -> torch.Tensor:
        return arcface(align_crops(frame, points, torch.from_numpy(TEMPLATE)))[0] @ target

    frame = as_tensor(picture).double().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(frame), frame)
    direction = torch.randn(frame.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    step = 1e-8  # small enough to stay between the kinks of the rectifiers
    with torch.no_grad():
        slope = (loss(frame + step * direction) - loss(frame - step * direction)) / (2 * step)
    assert math.isclose(float((gradient * direction).sum()), float(slope), rel_tol=1e-3, abs_tol=1e-8)


def test_the_box_of_a_crop_holds_its_corners() -> None:
    """Points that are the template, twice as large and moved by (10, 20): the crop is a square of 224 pixels there.
    Turned by 45 degrees about the origin its box is larger by the square root of two."""
    points = 2 * torch.from_numpy(TEMPLATE) + torch.tensor([10.0, 20.0])
    half = math.sqrt(0.5)
    turned = points @ torch.tensor([[half, half], [-half, half]])
    missing = torch.full_like(points, math.nan)
    missing[0] = 5.0
    boxes = crop_boxes(torch.stack([points, turned, missing]))
    torch.testing.assert_close(boxes[0], torch.tensor([10.0, 20.0, 234.0, 244.0]), rtol=0, atol=1e-3)
    sides = boxes[1, 2:] - boxes[1, :2]
    torch.testing.assert_close(sides, torch.full((2,), 224 * math.sqrt(2)), rtol=0, atol=1e-2)
    assert bool(boxes[2].isnan().all())
