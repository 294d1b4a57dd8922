"""People and their 133 whole-body keypoints: the two networks of DWPose (arXiv 2307.15880), by their ONNX interfaces.

    YOLOX   images [1, 3, S, S]  ->  output [1, cells, 5 + classes]     boxes not decoded
    SimCC   input [1, 3, h, w]   ->  simcc_x [1, 133, 2 w], simcc_y [1, 133, 2 h]

What goes in and how the outputs are read follows IDEA-Research/DWPose (annotator/dwpose), so that its weights give its
results. Keypoints are 17 body, 6 feet, 68 face, 21 left hand, 21 right hand, as COCO-WholeBody.
"""

from __future__ import annotations

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from stableanimator.errors import WeightsError
from stableanimator.perception.onnx_session import open_session, weights_sha256
from stableanimator.perception.settings import Device, PoseSettings

KEYPOINT_COUNT = 133

_STRIDES = (8, 16, 32)
_PERSON_CLASS = 0
_PAD_GREY = 114  # YOLOX's letterbox
_BOX_PADDING = 1.25  # context around a person that the pose network was trained with
IMAGENET_MEAN = np.array([123.675, 116.28, 103.53], np.float32)  # ImageNet's, RGB, grey levels
IMAGENET_STD = np.array([58.395, 57.12, 57.375], np.float32)


class PersonDetector:
    """YOLOX: where people are.

        detector = PersonDetector("/weights/dwpose/yolox_l.onnx")
        boxes, scores = detector(frame)           # frame: uint8 RGB [H, W, 3]

    `min_score` and `max_overlap` as in `PoseSettings`.

    Raises:
        WeightsError: the file is missing or has another interface.
    """

    def __init__(
        self,
        path: str,
        min_score: float = 0.3,
        max_overlap: float = 0.45,
        threads: int = 1,
        device: Device = "cpu",
    ) -> None:
        self.min_score, self.max_overlap = min_score, max_overlap
        self._session = open_session(path, "DWPose's person detector (yolox_l.onnx)", threads, device)
        _, _, self._height, self._width = _input_shape(path, self._session)
        self._cells = _cells(self._height, self._width)
        shape = self._session.get_outputs()[0].shape
        if len(shape) != 3 or _differs(shape[1], len(self._cells)):
            raise WeightsError(f"{path} gives {shape}, not YOLOX's [1, {len(self._cells)}, 5 + classes]")
        self.weights_sha256 = weights_sha256([path])

    @classmethod
    def from_settings(cls, settings: PoseSettings, threads: int = 1, device: Device = "cpu") -> PersonDetector:
        """The detector that the settings name."""
        return cls(settings.detector, settings.min_score, settings.max_overlap, threads, device)

    def __call__(self, frame: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Boxes [P, 4] (x0, y0, x1, y1 in pixels, inside the frame) and scores [P] in 0..1, best first."""
        height, width = frame.shape[:2]
        ratio = min(self._height / height, self._width / width)
        picture = np.full((self._height, self._width, 3), _PAD_GREY, np.uint8)
        inner = (max(1, int(width * ratio)), max(1, int(height * ratio)))
        picture[: inner[1], : inner[0]] = cv2.resize(frame, inner, interpolation=cv2.INTER_LINEAR)
        # YOLOX was trained on BGR grey levels.
        blob = np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1)[None], np.float32)
        raw = self._session.run(None, {self._session.get_inputs()[0].name: blob})[0][0]
        scores = raw[:, 4] * raw[:, 5 + _PERSON_CLASS]
        sure = scores > self.min_score
        boxes = decode_yolox(raw[sure, :4], self._cells[sure]) / ratio
        boxes = np.clip(boxes, 0, np.array([width, height, width, height], np.float32)).astype(np.float32)
        keep = _suppress(boxes, scores[sure], self.max_overlap)
        return boxes[keep], scores[sure][keep].astype(np.float32)


def _input_shape(path: str, session: ort.InferenceSession) -> tuple[int, ...]:
    shape = session.get_inputs()[0].shape
    if len(shape) != 4 or not all(isinstance(size, int) for size in shape[1:]):
        raise WeightsError(f"{path} takes {shape}, not [1, 3, height, width] of fixed size")
    return tuple(shape)


def _differs(size: int | str | None, wanted: int) -> bool:
    """Whether a size that a file states is another one; a size may also be a name, or be left open."""
    return isinstance(size, int) and size != wanted


def _cells(height: int, width: int) -> NDArray[np.float32]:
    """[cells, 3] column, row and stride of each row of YOLOX's output."""
    levels = []
    for stride in _STRIDES:
        rows, columns = np.mgrid[: height // stride, : width // stride]
        levels.append(np.stack([columns, rows, np.full_like(rows, stride)], -1).reshape(-1, 3))
    return np.concatenate(levels).astype(np.float32)


def decode_yolox(raw: NDArray[np.float32], cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """YOLOX (arXiv 2107.08430): raw [N, 4] offsets and log sizes in strides -> corners [N, 4] in input pixels."""
    stride = cells[:, 2:]
    centre = (raw[:, :2] + cells[:, :2]) * stride
    half = np.exp(raw[:, 2:4]) * stride / 2
    return np.concatenate([centre - half, centre + half], -1)


def _suppress(boxes: NDArray[np.float32], scores: NDArray[np.float32], max_overlap: float) -> NDArray[np.int64]:
    """Indices of the boxes to keep, best first (greedy non-maximum suppression)."""
    if len(boxes) == 0:
        return np.zeros(0, np.int64)
    corner_size = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], -1)
    kept = cv2.dnn.NMSBoxes(corner_size.tolist(), scores.tolist(), 0.0, max_overlap)
    return np.asarray(kept, np.int64).reshape(-1)


class WholeBodyPose:
    """DWPose's SimCC network: 133 keypoints of each person.

        pose = WholeBodyPose("/weights/dwpose/dw-ll_ucoco_384.onnx")
        keypoints = pose(frame, boxes)            # [P, 133, 3]

    Raises:
        WeightsError: the file is missing or has another interface.
    """

    def __init__(self, path: str, threads: int = 1, device: Device = "cpu") -> None:
        self._session = open_session(path, "DWPose's pose network (dw-ll_ucoco_384.onnx)", threads, device)
        batch, _, self._height, self._width = _input_shape(path, self._session)
        self._one_by_one = batch == 1
        shapes = {output.name: output.shape for output in self._session.get_outputs()}
        counts = [shapes.get(name, [0, 0])[1] for name in ("simcc_x", "simcc_y")]
        if any(_differs(count, KEYPOINT_COUNT) for count in counts):
            raise WeightsError(f"{path} gives {shapes}, not simcc_x and simcc_y for {KEYPOINT_COUNT} keypoints")
        self.weights_sha256 = weights_sha256([path])

    @classmethod
    def from_settings(cls, settings: PoseSettings, threads: int = 1, device: Device = "cpu") -> WholeBodyPose:
        """The pose network that the settings name."""
        return cls(settings.pose, threads, device)

    def __call__(self, frame: NDArray[np.uint8], boxes: NDArray[np.floating]) -> NDArray[np.float32]:
        """Keypoints [P, 133, 3] (x, y in pixels, score) of the people in `boxes` [P, 4], in their order.

        A joint outside the frame keeps its place there, negative or beyond the frame's width or height, and its score,
        as in the released StableAnimator: `person_boxes.in_picture` leaves such joints out. A joint whose score is not
        above 0 is NaN with score 0.
        """
        if len(boxes) == 0:
            return np.zeros((0, KEYPOINT_COUNT, 3), np.float32)
        warps = np.stack([crop_warp(box, self._width, self._height) for box in np.asarray(boxes, np.float64)])
        crops = np.stack([self._crop(frame, warp) for warp in warps])
        batches = crops[:, None] if self._one_by_one else crops[None]
        name = self._session.get_inputs()[0].name
        outputs = [self._session.run(["simcc_x", "simcc_y"], {name: batch}) for batch in batches]
        simcc_x, simcc_y = (np.concatenate(axis) for axis in zip(*outputs, strict=True))
        places, scores = decode_simcc(simcc_x, simcc_y, self._width, self._height)
        return _to_frame(places, scores, warps)

    def _crop(self, frame: NDArray[np.uint8], warp: NDArray[np.float64]) -> NDArray[np.float32]:
        crop = cv2.warpAffine(frame, warp, (self._width, self._height), flags=cv2.INTER_LINEAR)
        return ((crop.astype(np.float32) - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1)


def crop_warp(box: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
    """[2, 3] frame -> network input: the padded box, widened to the input's shape, on its centre."""
    centre = (box[:2] + box[2:]) / 2
    size = np.maximum(box[2:] - box[:2], 1.0) * _BOX_PADDING
    scale = min(width / size[0], height / size[1])
    shift = np.array([width, height]) / 2 - scale * centre
    return np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]])


def decode_simcc(
    simcc_x: NDArray[np.float32], simcc_y: NDArray[np.float32], width: int, height: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """SimCC (arXiv 2107.03332): [P, K, bins] for each axis -> places [P, K, 2] in input pixels and scores [P, K].

    A coordinate is the place of its axis's maximum; the score is the lower of the two maxima.
    """
    bins = np.stack([simcc_x.argmax(-1), simcc_y.argmax(-1)], -1)
    per_pixel = np.array([simcc_x.shape[-1] / width, simcc_y.shape[-1] / height])
    return (bins / per_pixel).astype(np.float32), np.minimum(simcc_x.max(-1), simcc_y.max(-1))


def _to_frame(
    places: NDArray[np.float32], scores: NDArray[np.float32], warps: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Input pixels back to the frame, with NaN for what is missing."""
    scale, shift = warps[:, None, [0, 1], [0, 1]], warps[:, None, :, 2]
    # The warp, like OpenCV, counts from the centre of the first pixel.
    points = (places - shift) / scale + 0.5
    keypoints = np.concatenate([points, scores[..., None]], -1).astype(np.float32)
    keypoints[scores <= 0] = (np.nan, np.nan, 0.0)
    return keypoints
