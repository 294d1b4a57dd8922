"""How well the recognisers tell drawn people apart whom no training has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.drawn.clips import FIRST_SEED, drawn_perception
from benchmarks.drawn.truth import true_faces
from benchmarks.processes import spread
from stableanimator.perception.arcface import TEMPLATE, ArcFace, align_crops
from stableanimator.perception.faces import FaceAnalyser
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.figure.identity import draw_identity
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.synthetic.scores import area_under_curve, identity_pairs, match_boxes
from stableanimator.synthetic.script import Clip

KINDS = ("talk", "gesture", "wave", "zoom")
"""Kinds of clips in which faces are large enough to be recognised: close-ups and half bodies."""
_FRAMES = 3  # of each clip
EMBEDDERS = ("recogniser", "held_out_recogniser")
LANDMARKS = ("detected", "true")


@dataclass(frozen=True, slots=True)
class Portrait:
    """One face in one frame."""

    identity: int
    clip: int
    size: float
    """Pixels, the shorter side."""
    embeddings: dict[tuple[str, str], NDArray[np.float32]]
    """[E] by embedder and by whose landmarks it was aligned; the detector's are missing where it found no face."""


@dataclass(frozen=True, slots=True)
class IdentityScore:
    """Areas under the curve, and what they rest on."""

    areas: dict[tuple[str, str], float]
    """By embedder and landmarks: the chance that two pictures of one person, in different clips, are more alike than
    pictures of two people."""
    faces: int
    found: float
    """Share of the faces that the detector found."""
    sizes: tuple[float, float]
    """Pixels of the smallest and the median face, shorter side."""


def identity_score(identities: int, weights: Path, workers: int) -> IdentityScore:
    """Draw each of the people in four clips, with other clothes, places, light and poses, and compare all faces."""
    clips = [
        (number, kind, person)
        for number, (person, kind) in enumerate((person, kind) for person in range(identities) for kind in KINDS)
    ]
    portraits: list[Portrait] = []
    for of_clip in spread(_portraits, clips, "drawing and comparing faces", workers, partial(_open, weights)):
        portraits += of_clip
    areas = {
        (embedder, landmarks): _area(portraits, embedder, landmarks)
        for embedder in EMBEDDERS
        for landmarks in LANDMARKS
    }
    sizes = [portrait.size for portrait in portraits]
    found = float(np.mean([("recogniser", "detected") in portrait.embeddings for portrait in portraits]))
    return IdentityScore(areas, len(portraits), found, (min(sizes), float(np.median(sizes))))


def _area(portraits: Sequence[Portrait], embedder: str, landmarks: str) -> float:
    known = [portrait for portrait in portraits if (embedder, landmarks) in portrait.embeddings]
    pairs = identity_pairs(
        np.stack([portrait.embeddings[embedder, landmarks] for portrait in known]),
        np.array([portrait.identity for portrait in known]),
        np.array([portrait.clip for portrait in known]),
    )
    return area_under_curve(*pairs)


class _Networks:
    """Everything that looks at a face."""

    def __init__(self, weights: Path) -> None:
        self.analyser = FaceAnalyser(drawn_perception(weights).faces)
        self.embedders = {
            "recogniser": ArcFace.from_onnx(self.analyser.recogniser_path),
            "held_out_recogniser": ArcFace.from_onnx(weights / "held_out_recogniser.onnx"),
        }


_networks: list[_Networks] = []  # of this process


def _open(weights: Path) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    _networks[:] = [_Networks(weights)]


def _portraits(number_kind_person: tuple[int, str, int]) -> list[Portrait]:
    """The faces in some frames of one clip of a person."""
    number, kind, person = number_kind_person
    clip = _clip(number, kind, person)
    frames = np.linspace(0, clip.frame_count - 1, _FRAMES + 2)[1:-1].astype(np.int64)
    pictures, truth = draw_clip(clip, frames)
    portraits = []
    for row, picture in enumerate(pictures):
        owners, boxes = true_faces(truth, row)
        if not len(owners):
            continue
        landmarks = {"true": truth.face_landmarks[row, owners[0]]}
        faces = _networks[0].analyser(picture)
        matched = match_boxes(boxes[:1], np.array([face.box for face in faces], np.float32))
        if matched:
            landmarks["detected"] = faces[matched[0][1]].landmarks
        embeddings = {
            (embedder, source): _embed(_networks[0].embedders[embedder], picture, points)
            for embedder in EMBEDDERS
            for source, points in landmarks.items()
        }
        size = float((boxes[0, 2:] - boxes[0, :2]).min())
        portraits.append(Portrait(person, number, size, embeddings))
    return portraits


def _clip(number: int, kind: str, person: int) -> Clip:
    face = draw_identity(np.random.default_rng([FIRST_SEED, person]))
    return write_clip(kind, 2 * FIRST_SEED + number, identities=[face])


def _embed(arcface: ArcFace, picture: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    frame = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        crops = align_crops(frame, torch.from_numpy(landmarks)[None], torch.from_numpy(TEMPLATE))
        return np.asarray(arcface(crops)[0].numpy(), np.float32)
