"""What is seen in the frames of a clip, and how near that is to the truth; the recogniser is the held-out one.

Everything is judged on pictures enlarged to 256 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.drawn.clips import WEIGHTS, drawn_perception
from jobs.pairs.people import People
from stableanimator.metrics.identity import cosine
from stableanimator.metrics.image import differences, psnr, ssim
from stableanimator.metrics.pose import PoseAgreement, pose_agreement
from stableanimator.perception.faces import Face, FaceAnalyser
from stableanimator.perception.held_out import HeldOutRecogniser
from stableanimator.perception.person_boxes import in_picture, person_box

_SEEN, _MARGIN = 256, 0.05

Pictures = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Judged:
    """What is seen in the frames of one clip: result, reference repeated, truth through the VAE, or the truth."""

    poses: list[npt.NDArray[np.float32]]
    faces: list[Face | None]
    identities: list[npt.NDArray[np.float32] | None]

    @property
    def identity(self) -> npt.NDArray[np.float32] | None:
        """Mean direction of the faces that were found; None without any."""
        found = [each / np.linalg.norm(each) for each in self.identities if each is not None]
        return np.mean(found, 0) if found else None


@dataclass(frozen=True)
class Scores:
    """Of one kind of frames of one clip, against the truth."""

    motion: PoseAgreement
    found: float
    """Share of frames with a face, of those in which the truth has one."""
    identity: float | None
    """Mean cosine to the truth by the held-out recogniser."""
    psnr_person: float
    ssim: float
    background: float
    """Mean change from frame to frame outside the person, grey levels."""


class Judge:
    """The networks of the drawn world; the recogniser is the one that nothing optimises against."""

    def __init__(self) -> None:
        perception = drawn_perception()
        self.people = People(perception)
        self.faces = FaceAnalyser(perception.faces)
        self._held_out = HeldOutRecogniser(WEIGHTS / "held_out_recogniser.onnx")

    def __call__(self, frames: Pictures, poses: bool = True) -> Judged:
        large = [np.asarray(cv2.resize(frame, (_SEEN, _SEEN), interpolation=cv2.INTER_CUBIC)) for frame in frames]
        faces = [next(iter(self.faces(frame)), None) for frame in large]
        identities = [
            None if face is None else self._held_out(frame, face.landmarks)
            for face, frame in zip(faces, large, strict=True)
        ]
        people = [in_picture(self.people(frame), (_SEEN, _SEEN)) for frame in large] if poses else []
        return Judged(people, faces, identities)


def scores_of(frames: Pictures, truth: Pictures, seen: Judged, true: Judged) -> Scores:
    """Of result, repeat or ceiling, and what is seen in them."""
    with_face = [number for number, face in enumerate(true.faces) if face is not None]
    likeness = [cosine(seen.identities[number], true.identities[number]) for number in with_face]
    there = [value for value in likeness if value is not None]
    scale, size = truth.shape[1] / _SEEN, truth.shape[1:3]
    insides = [_inside(people, scale, size) for people in true.poses]
    ratios = [
        psnr(differences(frame[None, inside], wanted[None, inside]))
        for frame, wanted, inside in zip(frames, truth, insides, strict=True)
        if inside.any()
    ]
    outside = ~np.any(insides, axis=0)
    changes = np.abs(np.diff(frames[:, outside].astype(np.float64), axis=0))
    return Scores(
        motion=pose_agreement(seen.poses, true.poses),
        found=float(np.mean([seen.faces[number] is not None for number in with_face])) if with_face else np.nan,
        identity=float(np.mean(there)) if there else None,
        psnr_person=float(np.mean(ratios)),
        ssim=float(np.mean([ssim(frame, wanted) for frame, wanted in zip(frames, truth, strict=True)])),
        background=float(changes.mean()) if changes.size else 0.0,
    )


def _inside(people: npt.NDArray[np.float32], scale: float, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """[H, W] the first person's box, a little widened."""
    mask = np.zeros(size, np.bool_)
    if len(people):
        box, margin = person_box(people[:1]), _MARGIN * _SEEN
        x0, y0, x1, y1 = (round(float(value) * scale) for value in np.asarray(box) + margin * np.array([-1, -1, 1, 1]))
        mask[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    return mask


def pooled(scores: Sequence[Scores], name: str) -> float:
    """A PCK over the joints of all clips."""
    weight = "joints_moved" if "moved" in name else "joints"
    pairs = [(getattr(each.motion, name), getattr(each.motion, weight)) for each in scores]
    total = sum(count for value, count in pairs if value is not None)
    return sum(value * count for value, count in pairs if value is not None) / total if total else np.nan
