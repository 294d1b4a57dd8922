"""The camera's motion in a shot, from tracks of background points, and the people's own motion beside it.

A tracker follows points outside people (their outlines, see pipelines.person_outline) through the samples, the same
points give one similarity for each step (pipelines.background_motion). Where the background shows nothing to track
the columns are null: a plain wall is no proof of a still camera. Without the measure `people` every point counts as
background, and what the most points do counts as the camera.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.background_motion import ConsensusSettings, Step, step_motion, summarise
from pipelines.frames import Frame
from pipelines.person_outline import person_outline
from pipelines.subject_motion import SubjectMotion
from stableanimator.perception.settings import KltSettings

NAME = "camera_motion"
VERSION = 1
"""Raise when a column's meaning changes."""

Boxes = NDArray[np.float32]


class Tracked(Protocol):
    """What this measure reads of tracks: [F, T, 2] pixels, NaN where a track is not seen."""

    @property
    def points(self) -> NDArray[np.float32]: ...


class Tracker(Protocol):
    """Tracks points through windows of frames (stableanimator.perception.point_tracks.KltTracker)."""

    def push(self, frames: NDArray[np.uint8], boxes: Sequence[NDArray[np.floating]]) -> Tracked: ...


def _klt_settings() -> KltSettings:
    return KltSettings(
        box_margin=0.0,  # outlines allow for hair and clothes already
        min_gradient=0.6,  # noise of one grey level gives 0.4
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraMotionSettings:
    """How camera motion is measured."""

    motion_fps: float = 8.0
    """Samples per second. Hands shake at 2 to 10 Hz, walking at 2; faster samples cost time and add noise."""

    tracker: Literal["klt"] = "klt"
    """Which tracker: klt (OpenCV's pyramidal Lucas-Kanade)."""

    klt: KltSettings = field(default_factory=_klt_settings)
    """Of the tracker klt."""

    consensus: ConsensusSettings = field(default_factory=ConsensusSettings)
    """When the background points agree on a motion."""

    def __post_init__(self) -> None:
        if self.motion_fps <= 0:
            raise ValueError(f"motion_fps must be above 0, got {self.motion_fps}")


class CameraMotion:
    """The measure of one shot: `add` its samples in order, then read `columns`.

    Reads `frame.people` and `frame.keypoints`, of the same frame or of the last one that had them. `new_tracker` makes
    a tracker; two are used, one for the background and one for people.
    """

    def __init__(self, settings: CameraMotionSettings, new_tracker: Callable[[], Tracker]) -> None:
        self._settings = settings
        self._tracker = new_tracker()
        self._subject = SubjectMotion(new_tracker())
        self._time: float | None = None  # of the last sample
        self._size = (0, 0)
        self._steps: list[Step] = []

    def add(self, frame: Frame) -> None:
        """Follow the points into the next sample."""
        people = np.zeros((0, 4), np.float32) if frame.people is None else frame.people
        outlines = [
            person_outline(box, None if frame.keypoints is None else frame.keypoints[number])
            for number, box in enumerate(people)
        ]
        excluded = np.concatenate(outlines) if outlines else np.zeros((0, 4), np.float32)
        points = self._tracker.push(frame.image[None], [excluded]).points
        self._size = (frame.image.shape[0], frame.image.shape[1])
        step = None
        if self._time is not None:
            step = self._step(points, excluded, people, frame.time - self._time)
            self._steps.append(step)
        self._subject.add(frame.image, frame.time, people, step)
        self._time = frame.time

    def _step(self, points: NDArray[np.float32], excluded: Boxes, people: Boxes, seconds: float) -> Step:
        start = points[0][np.isfinite(points[0]).all(-1)]
        start = start[~_inside(start, excluded)]  # a point that a person now hides is not lost
        seen = np.isfinite(points[:2]).all((0, 2))
        return step_motion(
            start,
            points[0][seen],
            points[1][seen],
            self._size,
            seconds,
            self._settings.consensus,
            doubtful=_inside(start, people),  # outlines are not perfect: a skirt flares, hair flies
        )

    def columns(self) -> dict[str, Any]:
        """The columns of CAMERA_MOTION behind the samples' head."""
        diagonal = float(np.hypot(*self._size))
        return {
            **summarise(self._steps, self._size),
            "subject_motion": self._subject.speed(),
            "step_dx": [step.dx * diagonal for step in self._steps],
            "step_dy": [step.dy * diagonal for step in self._steps],
            "step_rotation": [step.rotation for step in self._steps],
            "step_scale": [step.scale for step in self._steps],
            "step_inliers": [step.inliers for step in self._steps],
        }


def _inside(points: NDArray[np.float32], boxes: Boxes) -> NDArray[np.bool_]:
    """Which points [N, 2] lie in any of the boxes [P, 4]."""
    x, y = points[:, :1], points[:, 1:]
    inside = (x >= boxes[:, 0]) & (x <= boxes[:, 2]) & (y >= boxes[:, 1]) & (y <= boxes[:, 3])
    return np.asarray(inside.any(1), np.bool_)
