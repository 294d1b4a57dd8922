"""How far the frames of a clip are from their truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.animate.world import Loop, bench
from benchmarks.embedded.judge import Judged, Pictures
from stableanimator.metrics.identity import cosine
from stableanimator.metrics.pose import NEAR, main_person, stature
from stableanimator.perception.person_boxes import visible

ERRORS = ("colour", "pose", "identity")
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Errors:
    """Of a stretch of frames; 0 is right."""

    colour: float
    """Mean difference of the frames' mean colours, grey levels."""
    pose: float
    """Mean distance of joints from the true ones, statures; 0.1 where it is more, or where a joint is not found."""
    identity: float
    """1 less the cosine of the face to the true frame's, by the held-out recogniser; 1 where no face is found."""


def errors_of(frames: Pictures, loop: Loop, moments: Sequence[int]) -> Errors:
    """Of frames [n, H, W, 3] that show these moments of the period."""
    seen = bench().judge(frames)
    true = Judged(
        *([getattr(loop.seen, name)[moment] for moment in moments] for name in ("poses", "faces", "identities"))
    )
    colours = [pictures.mean((1, 2), dtype=np.float64) for pictures in (frames, loop.truth[moments])]
    there = [pair for pair in zip(seen.identities, true.identities, strict=True) if pair[1] is not None]
    likeness = [cosine(*pair) or 0.0 for pair in there]
    return Errors(
        colour=float(np.abs(colours[0] - colours[1]).mean()),
        pose=_pose_error(seen.poses, true.poses),
        identity=1.0 - float(np.mean(likeness)) if likeness else 1.0,
    )


def _pose_error(found: Sequence[npt.NDArray[np.float32]], truth: Sequence[npt.NDArray[np.float32]]) -> float:
    true, ours = main_person(truth), main_person(found)
    shown, both = visible(true), visible(true) & visible(ours)
    apart = np.linalg.norm(true[..., :2] - ours[..., :2], axis=-1) / (stature(true) or np.nan)
    return float(np.where(both, np.minimum(apart, NEAR), NEAR)[shown].mean())


def errors_along(frames: Iterator[Pictures], loop: Loop, count: int, stretch: int) -> list[Errors]:
    """Of each stretch of so many frames [H, W, 3] as they come."""
    moments, found, kept = loop.moments(count), [], []
    for number, frame in enumerate(frames):
        kept.append(frame)
        if len(kept) == stretch or number == count - 1:
            found.append(errors_of(np.stack(kept), loop, moments[number + 1 - len(kept) : number + 1].tolist()))
            kept = []
    return found


def mean_error(errors: Sequence[Errors], name: str) -> float:
    """Of stretches of one length."""
    return float(np.mean([getattr(each, name) for each in errors]))


def sharpness(frames: Pictures) -> Values:
    """[F] mean squared Laplacian of each frame's grey levels."""
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float64) for frame in frames]
    return np.array([np.square(cv2.Laplacian(each, cv2.CV_64F)).mean() for each in grey])


def steps(frames: Pictures) -> Values:
    """[F - 1] mean difference from each frame to the next, grey levels."""
    return np.array([np.abs(after.astype(np.float64) - before).mean() for before, after in pairwise(frames)])
