"""Drawn frames as detectors get them: scaled, moved and cut, sometimes four on one picture, with another look."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stableanimator.synthetic.networks.looks import vary
from stableanimator.synthetic.networks.training import pixels_to_tensor
from stableanimator.synthetic.networks.training_frames import TrainingFrames

_GREYS = (0, 114)  # what InsightFace and YOLOX fill up with
_LEAST_SHARE = 0.35  # of a face or person that must be left inside the picture to be looked for


@dataclass(frozen=True, slots=True)
class Scene:
    """One training picture and who is in it, cut to the picture. Pixels from its top-left corner."""

    picture: NDArray[np.uint8]
    """[S, S, 3] RGB"""
    person_boxes: NDArray[np.float32]
    """[M, 4]"""
    face_boxes: NDArray[np.float32]
    """[M, 4]"""
    face_landmarks: NDArray[np.float32]
    """[M, 5, 2]"""


class SceneSamples:
    """Draws scenes of `side` pixels. `scales` is the range of the longer side of a frame over `side`."""

    def __init__(self, frames: TrainingFrames, side: int, scales: tuple[float, float]) -> None:
        self._frames = frames
        self.side = side
        self._scales = scales

    def draw(self, generator: np.random.Generator) -> Scene:
        """A frame somewhere on a grey picture, or (one in five) four frames side by side."""
        canvas = np.full((self.side, self.side, 3), generator.choice(_GREYS), np.uint8)
        if generator.random() < 0.2:
            half = self.side / 2
            corners = [(0.0, 0.0), (half, 0.0), (0.0, half), (half, half)]
            found = [self._paste(canvas, np.array([*corner, half]), generator) for corner in corners]
        else:
            found = [self._paste(canvas, np.array([0.0, 0.0, self.side]), generator)]
        people, faces, landmarks = (np.concatenate(one) for one in zip(*found, strict=True))
        return Scene(vary(canvas, generator), people, faces, landmarks)

    def tensor(self, scenes: list[Scene]) -> Tensor:
        """[B, 3, S, S] grey levels as float32."""
        return pixels_to_tensor([scene.picture for scene in scenes])

    def _paste(
        self, canvas: NDArray[np.uint8], window: NDArray[np.float64], generator: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Put a frame into a window (x, y, side) of the canvas; who is in it, in pixels of the canvas."""
        number = int(generator.integers(len(self._frames)))
        truth = self._frames.frames
        picture = self._frames.picture(number)
        size = np.array(picture.shape[1::-1])
        scale = window[2] * np.exp(generator.uniform(*np.log(self._scales))) / size.max()
        spare = window[2] - scale * size
        shift = spare * generator.uniform(0, 1, 2)
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        mirrored = generator.random() < 0.5
        cut = cv2.warpAffine(
            picture,
            matrix + np.array([0, 0, 0.5 * scale - 0.5]),  # OpenCV counts from centres of pixels
            (int(window[2]), int(window[2])),
            flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=tuple(canvas[0, 0].tolist()),
        )
        x, y, side = (int(value) for value in window)
        canvas[y : y + side, x : x + side] = cut[:, ::-1] if mirrored else cut

        def place(points: NDArray[np.float32]) -> NDArray[np.float32]:
            moved = points * scale + shift
            return np.asarray(moved, np.float32)

        boxes = [place(one[number].reshape(-1, 2, 2)) for one in (truth.person_boxes, truth.face_boxes)]
        landmarks = place(truth.face_landmarks[number])
        if mirrored:
            boxes = [_mirror(one, side) for one in boxes]
            landmarks = _mirror(landmarks, side)[:, [1, 0, 2, 4, 3]]
        people, faces = (_upright(one) for one in boxes)
        seen, shown = _inside(people, side), _inside(faces, side)
        corner = np.array([x, y, x, y], np.float32)
        return (
            np.clip(people[seen], 0, side) + corner,
            np.clip(faces[shown], 0, side) + corner,
            landmarks[shown] + corner[:2],
        )


def _mirror(points: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    return np.stack([side - points[..., 0], points[..., 1]], -1).astype(np.float32)


def _upright(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    """[M, 2, 2] two opposite corners -> [M, 4] left, top, right, bottom."""
    return np.concatenate([corners.min(1), corners.max(1)], -1).astype(np.float32)


def _inside(boxes: NDArray[np.float32], side: int) -> NDArray[np.bool_]:
    """Which boxes have enough of themselves in the window; none of those that are not there (NaN)."""
    kept = np.clip(boxes, 0, side)
    shares = (kept[:, 2:] - kept[:, :2]).prod(-1) / np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(-1), 1e-6)
    return np.asarray(np.isfinite(shares) & (shares >= _LEAST_SHARE), np.bool_)
