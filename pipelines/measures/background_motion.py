"""From tracks of background points to the motion of the camera.

    N points seen in both frames of a step   S steps of a shot

Lengths are in shares of the picture's diagonal, angles in degrees. The motion of one step is the similarity that most
background points agree on, given about the picture's centre: the translation is what the centre does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stableanimator.limits.checks import LARGEST, Range, checked


@dataclass(frozen=True, slots=True)
class Step:
    """The camera between two samples. Motion is NaN where it is not known."""

    seconds: float
    dx: float = np.nan
    """Shares of the diagonal, of the picture's centre."""
    dy: float = np.nan
    rotation: float = np.nan
    """Degrees, x towards y (clockwise on a screen)."""
    scale: float = np.nan
    """Above 1 the picture grows: the camera zooms in."""
    inliers: float = np.nan
    """Share of the background points at its beginning that follow the common motion; NaN: too few points to tell."""

    @property
    def known(self) -> bool:
        return bool(np.isfinite(self.scale))

    def apply(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move points [N, 2], in shares of the diagonal from the picture's centre."""
        angle = np.radians(self.rotation)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return self.scale * points @ turn.T + np.array([self.dx, self.dy])


_Part = Annotated[float, Range(above=0, below=1)]


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class ConsensusSettings:
    """When background points agree on a motion."""

    min_points: Annotated[int, Range(3, LARGEST)] = 12
    """Background points at the beginning of a step. A similarity has four unknowns, two points; half may be wrong."""

    min_spread: _Part = 0.25
    """Share of the diagonal over which those points, and those that agree, must extend. Rotation and zoom cannot be
    told from points in one corner, and such a corner may be a part of a moving thing."""

    min_agreement: _Part = 0.5
    """Share of the points at the beginning that must follow the common motion: a majority."""

    tolerance: _Part = 0.0016
    """Share of the diagonal that a point may lie off the common motion: 1 pixel of 512x384."""


def step_motion(
    start: NDArray[np.floating],
    end: NDArray[np.floating],
    size: tuple[int, int],
    seconds: float,
    settings: ConsensusSettings,
    doubtful: NDArray[np.bool_] | None = None,
) -> Step:
    """The similarity that most points agree on.

    Args:
        start: [M, 2] all background points at the beginning of the step, pixels.
        end: [M, 2] where they are at its end, NaN where they are no longer seen.
        size: height and width of the picture in pixels.
        seconds: duration of the step.
        doubtful: [M] which of the first may lie on people after all. They are asked only where there are too few
            others; then what they agree on counts, and that they disagree says nothing about the background.

    Points that are lost count as not agreeing: a whip pan loses them all.
    """
    height, width = size
    diagonal = float(np.hypot(height, width))
    sure = np.ones(len(start), bool) if doubtful is None else ~doubtful
    enough = _tells(start[sure], diagonal, settings)
    asked = sure if enough else np.ones(len(start), bool)
    if not _tells(start[asked], diagonal, settings):
        return Step(seconds)
    disagreement = 0.0 if enough else np.nan
    seen = asked & np.isfinite(end).all(-1)
    centre = np.array([width, height]) / 2
    source = ((start[seen] - centre) / diagonal).astype(np.float64)
    target = ((end[seen] - centre) / diagonal).astype(np.float64)
    if len(source) < settings.min_points / 2:
        return Step(seconds, inliers=disagreement)
    matrix, agree = cv2.estimateAffinePartial2D(
        source, target, method=cv2.RANSAC, ransacReprojThreshold=settings.tolerance, maxIters=500, confidence=0.995
    )
    if matrix is None:
        return Step(seconds, inliers=disagreement)
    agree = agree[:, 0] == 1
    share = float(agree.sum() / asked.sum())
    if share < settings.min_agreement or _spread(source[agree]) < settings.min_spread:
        return Step(seconds, inliers=share + disagreement)
    return Step(
        seconds,
        dx=float(matrix[0, 2]),
        dy=float(matrix[1, 2]),
        rotation=float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))),
        scale=float(np.hypot(matrix[0, 0], matrix[1, 0])),
        inliers=share,
    )


def _tells(points: NDArray[np.floating], diagonal: float, settings: ConsensusSettings) -> bool:
    """Whether points [N, 2] are enough, and far enough apart, to tell a motion."""
    return len(points) >= settings.min_points and _spread(points) >= settings.min_spread * diagonal


def _spread(points: NDArray[np.floating]) -> float:
    return float(np.linalg.norm(np.ptp(points, axis=0))) if len(points) else 0.0


def summarise(steps: list[Step], size: tuple[int, int]) -> dict[str, Any]:
    """The camera's scalar columns of CAMERA_MOTION. Null where less than half of the steps show enough background."""
    columns: dict[str, Any] = dict.fromkeys(
        ("camera_translation", "camera_rotation", "camera_zoom", "camera_drift", "background_change")
    )
    seen = [step for step in steps if np.isfinite(step.inliers)]
    columns["background_seen"] = len(seen) / len(steps) if steps else None
    if not steps or len(seen) < len(steps) / 2:
        return columns
    columns["background_change"] = float(np.median([1 - step.inliers for step in seen]))
    known = [step for step in seen if step.known]
    if len(known) < len(seen) / 2:
        return columns
    columns["camera_translation"] = float(np.median([np.hypot(step.dx, step.dy) / step.seconds for step in known]))
    columns["camera_rotation"] = _net_rate(steps, [step.rotation for step in steps])
    columns["camera_zoom"] = _net_rate(steps, [float(np.log(step.scale)) for step in steps])
    columns["camera_drift"] = _drift(steps, size)
    return columns


def _net_rate(steps: list[Step], changes: list[float]) -> float | None:
    """Median over windows of about a second of the net change per second: what is noise in a step cancels.

    `changes` are NaN where unknown. A window counts when it is known for half of its time; None without one.
    """
    seconds = np.array([step.seconds for step in steps])
    length = min(len(steps), max(1, round(1 / float(np.median(seconds)))))
    rates = []
    for start in range(len(steps) - length + 1):
        window, times = np.array(changes[start : start + length]), seconds[start : start + length]
        known = np.isfinite(window)
        if times[known].sum() >= times.sum() / 2:
            rates.append(abs(window[known].sum()) / times[known].sum())
    return float(np.median(rates)) if rates else None


def _drift(steps: list[Step], size: tuple[int, int]) -> float:
    """The largest distance between two places that the same part of the world has in the picture.

    Mean over the four corners and the centre, shares of the diagonal. Unknown steps count as still.
    """
    height, width = size
    half = np.array([width, height]) / (2 * np.hypot(height, width))
    places = np.array([[0.0, 0.0], [-1, -1], [1, -1], [-1, 1], [1, 1]]) * half
    path = [places]
    for step in steps:
        path.append(step.apply(path[-1]) if step.known else path[-1])
    ends = np.stack(path)  # [S + 1, 5, 2]
    low, high = ends.min(0), ends.max(0)
    return float(np.linalg.norm(high - low, axis=-1).mean())
