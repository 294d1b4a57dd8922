"""Faces in the sampled frames of a shot: how often, how large, how sharp, turned how far, and whose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.measures.frames import Frame
from stableanimator.limits.checks import PositiveInt, checked

NAME = "face_quality"
VERSION = 3
"""Raise when a column's meaning changes."""

_CROP = 112  # pixels: what ArcFace sees


class FoundFace(Protocol):
    """What this measure reads of a face (stableanimator.perception.faces.Face)."""

    @property
    def box(self) -> NDArray[np.float32]: ...
    @property
    def score(self) -> float: ...
    @property
    def landmarks(self) -> NDArray[np.float32]: ...
    @property
    def embedding(self) -> NDArray[np.float32] | None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class FaceQualitySettings:
    """Which faces are kept. Which are good enough is decided later, by thresholds."""

    max_faces: PositiveInt = 8
    """Faces kept in a frame, the largest first."""


class FaceQuality:
    """The measure of one shot: `add` its sampled frames in order, then read `columns`.

    `analyser(image)` gives faces, the largest first; `yaw(landmarks)` the head's angle in degrees
    (stableanimator.perception.faces).
    """

    def __init__(
        self,
        settings: FaceQualitySettings,
        analyser: Callable[[NDArray[np.uint8]], Sequence[FoundFace]],
        yaw: Callable[[NDArray[np.float32]], float],
    ) -> None:
        self._settings = settings
        self._analyser = analyser
        self._yaw = yaw
        self._faces: list[Sequence[FoundFace]] = []
        self._embeddings: list[NDArray[np.float32] | None] = []
        self._sharpness: list[float] = []

    def add(self, frame: Frame) -> None:
        """Find the faces of a frame."""
        faces = self._analyser(frame.image)[: self._settings.max_faces]
        self._faces.append(faces)
        self._embeddings.append(faces[0].embedding if faces else None)
        if faces:
            self._sharpness.append(sharpness(frame.image, faces[0].box))

    def columns(self) -> dict[str, Any]:
        """The columns of FACE_QUALITY behind the samples' head. Without a face, what describes one is null."""
        main = [faces[0] for faces in self._faces if faces]
        embeddings = [embedding for embedding in self._embeddings if embedding is not None]
        return {
            "face_share": len(main) / len(self._faces),
            "face_size": _median([float(min(face.box[2:] - face.box[:2])) for face in main]),
            "face_score": _median([face.score for face in main]),
            "face_sharpness": _median(self._sharpness),
            "face_yaw": _median([abs(self._yaw(face.landmarks)) for face in main]),
            "face_consistency": consistency(np.stack(embeddings)) if embeddings else None,
            # arrays, not lists: as Python numbers they would take ten times the memory
            "face_boxes": [[face.box for face in faces] for faces in self._faces],
            "face_scores": [[face.score for face in faces] for faces in self._faces],
            "face_landmarks": [[face.landmarks.reshape(-1) for face in faces] for faces in self._faces],
            "face_embedding": self._embeddings,
        }


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None


def sharpness(image: NDArray[np.uint8], box: NDArray[np.float32]) -> float:
    """Variance of the Laplacian of the face, grey levels squared, at the size at which ArcFace sees it.

    All faces are brought to 112x112 first, so that a small face counts as the blur that it is.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = np.round(box).astype(int)
    x0, y0 = max(0, min(x0, width - 1)), max(0, min(y0, height - 1))
    crop = image[y0 : max(y0 + 1, y1), x0 : max(x0 + 1, x1)]
    shrinks = crop.shape[0] > _CROP
    face = cv2.resize(crop, (_CROP, _CROP), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return float(cv2.Laplacian(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def consistency(embeddings: NDArray[np.float32]) -> float:
    """Mean cosine of embeddings [F, E] to the mean of their directions: 1 for one identity, sqrt(1/2) for two unrelated
    halves. An embedding of no length has no direction and counts as 0."""
    directions = embeddings.astype(np.float64)
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    mean = directions.mean(0)
    length = float(np.linalg.norm(mean))
    return float((directions @ mean).mean() / length) if length > 0 else 0.0
