"""Faces in a frame, by InsightFace: boxes, five landmarks, identity embeddings."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from insightface.app import FaceAnalysis
from insightface.app.common import Face as InsightFace
from numpy.typing import NDArray

from stableanimator.errors import WeightsError
from stableanimator.paths import local_path
from stableanimator.perception.onnx_session import first_line, providers_of, read_graph, session_options, weights_sha256
from stableanimator.perception.settings import Device, FaceSettings

# InsightFace calls scikit-image by a deprecated name, once for each face.
warnings.filterwarnings("ignore", message=".estimate. is deprecated", category=FutureWarning)

_NOSE_TO_HALF_EYES = 0.95
"""How far the tip of the nose stands out of the plane of the eyes, over half the distance between the eyes: about
30 mm over 31.5 mm in an adult."""


_STRIDE = 32
"""Of the detector: its input's sides must be multiples."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Face:
    """One face of a frame."""

    box: NDArray[np.float32]
    """[4] x0, y0, x1, y1 in pixels, inside the frame."""
    score: float
    """Of the detector, 0 to 1."""
    landmarks: NDArray[np.float32]
    """[5, 2] x, y in pixels: two eyes, nose, two corners of the mouth; the left one in the picture first."""
    embedding: NDArray[np.float32] | None
    """[E] identity of the frame's main face as the recogniser returns it; its length (about 20) is no part of the
    identity, who compares takes the cosine. The released FaceEncoder was trained on such vectors. None of the other
    faces: few ask who they are (`FaceAnalyser.embedding`), and the recogniser is the dearest of the networks."""


class FaceAnalyser:
    """InsightFace's detector and recogniser on frames; nothing is ever downloaded.

        analyser = FaceAnalyser(FaceSettings(pack_root="/weights/insightface", pack="antelopev2"))
        faces = analyser(frame)                   # frame: uint8 RGB [H, W, 3]

    Raises:
        WeightsError: the pack's folder, its detector or its recogniser is missing or unreadable.
    """

    def __init__(self, settings: FaceSettings, threads: int = 1, device: Device = "cpu") -> None:
        self.settings = settings
        folder = local_path(settings.pack_root) / "models" / settings.pack
        if not any(folder.glob("*.onnx")):
            raise WeightsError(
                f"{folder} has no *.onnx; unpack InsightFace's {settings.pack}.zip there, or set pack_root and pack"
            )
        for path in sorted(folder.glob("*.onnx")):
            read_graph(path)
        try:
            self._analysis = FaceAnalysis(
                name=str(folder),
                allowed_modules=["detection", "recognition"],
                providers=providers_of(device),
                sess_options=session_options(threads),
            )
        except AssertionError as error:
            raise WeightsError(f"{folder} has no face detector (an SCRFD *.onnx)") from error
        except Exception as error:  # onnxruntime's and protobuf's exceptions share no base class
            raise WeightsError(f"{folder} holds an unreadable model: {first_line(error)}") from error
        self._recogniser = self._analysis.models.get("recognition")
        if self._recogniser is None:
            raise WeightsError(f"{folder} has no face recogniser (an ArcFace *.onnx)")
        sizes = [(size, size) for size in settings.detector_sizes]
        self._analysis.prepare(ctx_id=0, det_thresh=settings.min_score, det_size=sizes)
        self.recogniser_path = str(self._recogniser.model_file)
        """The recogniser's ONNX file, for `ArcFace.from_onnx`."""
        stated = self._recogniser.output_shape
        if not stated or not isinstance(stated[-1], int):
            raise WeightsError(f"{self.recogniser_path} gives {stated}; a recogniser states the width of its embedding")
        self.embedding_width = stated[-1]
        self.weights_sha256 = weights_sha256([self._analysis.det_model.model_file, self.recogniser_path])

    def __call__(self, frame: NDArray[np.uint8]) -> list[Face]:
        """Faces of an RGB frame [H, W, 3], the largest (the main face) first.

        A frame so narrow that less than a pixel of its shorter side is left at the detector's size shows none.
        """
        height, width = frame.shape[:2]
        sides = [side for side in self.settings.detector_sizes if side * min(height, width) >= max(height, width)]
        if not sides:
            return []
        limits = np.array([width, height, width, height], np.float32)
        bgr = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), np.uint8)
        canvases = [_canvas(side, height, width) for side in sides]
        found, points = self._analysis.det_model.detect(bgr, input_size=canvases)
        boxes = np.clip(found[:, :4], 0, limits).astype(np.float32)
        faces: list[Face] = []
        for place in np.argsort(-_areas(boxes), kind="stable"):
            landmarks = points[place]
            faces.append(
                Face(
                    box=boxes[place],
                    score=float(found[place, 4]),
                    # InsightFace counts from the centre of the first pixel when it crops; we from its corner.
                    landmarks=landmarks.astype(np.float32) + np.float32(0.5),
                    embedding=None if faces else self._embed(bgr, landmarks),
                )
            )
        return faces

    def embedding(self, frame: NDArray[np.uint8], face: Face) -> NDArray[np.float32]:
        """The identity [E] of any face that was found in an RGB frame [H, W, 3], as that of the main one is given."""
        bgr = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), np.uint8)
        return self._embed(bgr, face.landmarks - np.float32(0.5))

    def _embed(self, bgr: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        face = InsightFace(kps=landmarks)
        self._recogniser.get(bgr, face)
        return np.asarray(face.embedding, np.float32)


def _canvas(side: int, height: int, width: int) -> tuple[int, int]:
    """Width and height of the detector's input for a picture whose longer side becomes `side` pixels.

    InsightFace pads every picture to a square. The same picture at the same scale padded to the detector's stride alone
    shows the same faces, for 44 % less work at 16:9.
    """
    longer = max(height, width)
    padded = [math.ceil(side * each / longer / _STRIDE) * _STRIDE for each in (width, height)]
    return padded[0], padded[1]


def _areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def head_yaw(landmarks: NDArray[np.floating]) -> float:
    """How far a head is turned to the side, degrees; 0 looks at the camera, positive to the right of the picture.

    From five landmarks [5, 2], for a distant camera: turned by θ, the eyes are 2 e cos θ apart and the nose is off
    their middle by n sin θ along the line through them, n / e = 0.95. Coarse; past about 60 degrees it only says "far".
    """
    eyes = np.asarray(landmarks[1] - landmarks[0], np.float64)
    half = math.hypot(eyes[0], eyes[1]) / 2
    if half == 0:
        return 90.0
    along = eyes / (2 * half)
    offset = float((np.asarray(landmarks[2], np.float64) - (landmarks[0] + landmarks[1]) / 2) @ along)
    return math.degrees(math.atan2(offset, half * _NOSE_TO_HALF_EYES))
