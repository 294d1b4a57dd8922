"""The camera's motion in a shot, from tracks of background points, and the people's own motion beside it.

A tracker follows points outside people (their outlines, see pipelines.measures.person_outline) through the samples, the
same points give one similarity for each step (pipelines.measures.background_motion). Where the background shows nothing
to track the columns are null: a plain wall is no proof of a still camera. Without the measure `people` every point
counts as background, and what the most points do counts as the camera.

The tracker is named in the settings and never another: KLT needs nothing, CoTracker its package and weights. Both give
the same columns. Samples wait until the tracker has as many as it looks at together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.measures.background_motion import ConsensusSettings, Step, step_motion, summarise
from pipelines.measures.frames import Frame
from pipelines.measures.person_outline import person_outline
from pipelines.measures.subject_motion import SubjectMotion
from stableanimator.limits.checks import FramesPerSecond, NotNegative, checked
from stableanimator.perception.person_boxes import in_picture
from stableanimator.perception.point_seeds import gradients_at, noise_between
from stableanimator.perception.settings import CoTrackerSettings, Device, KltSettings

NAME = "camera_motion"
VERSION = 3
"""Raise when a column's meaning changes."""

Boxes = NDArray[np.float32]


class Tracked(Protocol):
    """What this measure reads of tracks: [F, T, 2] pixels, NaN where a track is not seen."""

    @property
    def points(self) -> NDArray[np.float32]: ...


class Tracker(Protocol):
    """Tracks points through windows of frames (stableanimator.perception.point_tracks.PointTracker)."""

    @property
    def wanted(self) -> int: ...
    def push(self, frames: Sequence[NDArray[np.uint8]], boxes: Sequence[NDArray[np.floating]]) -> Tracked: ...


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class CameraMotionSettings:
    """How camera motion is measured."""

    motion_fps: FramesPerSecond = 8.0
    """Samples per second. Hands shake at 2 to 10 Hz, walking at 2; faster samples cost time and add noise."""

    tracker: Literal["klt", "cotracker"] = "klt"
    """Which tracker: klt (OpenCV's pyramidal Lucas-Kanade) or cotracker (CoTracker3, on perception.device; without the
    section perception on the CPU)."""

    klt: KltSettings = field(default_factory=KltSettings)
    """Of the tracker klt."""

    cotracker: CoTrackerSettings | None = None
    """Of the tracker cotracker."""

    consensus: ConsensusSettings = field(default_factory=ConsensusSettings)
    """When the background points agree on a motion."""

    min_over_noise: NotNegative = 2.0
    """Brightness gradient of a corner in its weakest direction (grey levels per pixel) for each grey level of the
    picture's noise, below which it may be noise and no thing: of 65,000 places in white noise of one level the
    strongest has 0.83, and compression makes it coarser. Such points are asked only where there are too few others, and
    then only what they agree on counts: noise agrees on nothing."""

    people_margin: NotNegative = 0.05
    """Share of its longer side by which a person's box is widened for the question of which points may lie on the
    person: outlines are not perfect, hair flies and a skirt flares, and a detector's box may cut them. Such points are
    asked only where there are too few others."""

    def __post_init__(self) -> None:
        if self.tracker == "cotracker" and self.cotracker is None:
            raise ValueError("tracker is cotracker; say where its weights are in cotracker.checkpoint")


@dataclass(frozen=True, slots=True)
class _Sample:
    """What a sample that waits for the tracker will be asked for."""

    image: NDArray[np.uint8]
    time: float
    people: Boxes
    outlines: Boxes


class CameraMotion:
    """The measure of one shot: `add` its samples in order, then read `columns`.

    Reads `frame.people` and `frame.keypoints`, of the same frame or of the last one that had them. `new_tracker`
    (see `tracker_maker`) makes a tracker; two are used, one for the background and one for people.
    """

    def __init__(self, settings: CameraMotionSettings, new_tracker: Callable[[], Tracker]) -> None:
        self._settings = settings
        self._tracker = new_tracker()
        self._subject = SubjectMotion(new_tracker())
        self._waiting: list[_Sample] = []
        self._last: _Sample | None = None  # that was tracked
        self._size = (0, 0)
        self._steps: list[Step] = []

    def add(self, frame: Frame) -> None:
        """Take the next sample."""
        self._size = (frame.image.shape[0], frame.image.shape[1])
        people = np.zeros((0, 4), np.float32) if frame.people is None else frame.people
        seen = None if frame.keypoints is None else in_picture(frame.keypoints, self._size)
        outlines = [person_outline(box, None if seen is None else seen[number]) for number, box in enumerate(people)]
        excluded = np.concatenate(outlines) if outlines else np.zeros((0, 4), np.float32)
        self._waiting.append(_Sample(frame.image, frame.time, people, excluded))
        if len(self._waiting) == self._tracker.wanted:
            self._follow()
        if frame.people is not None:  # else nobody looks for people in this shot
            self._subject.add(frame.image, frame.time, people)

    def _follow(self) -> None:
        """Track through the samples that wait, and take the steps towards them."""
        if not self._waiting:
            return
        points = self._tracker.push(
            [sample.image for sample in self._waiting], [sample.outlines for sample in self._waiting]
        ).points
        for number, sample in enumerate(self._waiting, start=len(points) - len(self._waiting)):
            if self._last is not None:
                self._steps.append(self._step(points[number - 1], points[number], self._last, sample))
            self._last = sample
        self._waiting = []

    def _step(self, before: NDArray[np.float32], after: NDArray[np.float32], last: _Sample, sample: _Sample) -> Step:
        # A point that a person now hides is not lost.
        asked = np.isfinite(before).all(-1) & ~_inside(before, sample.outlines)
        start, end = before[asked], after[asked]
        near = _grown(sample.people, self._settings.people_margin)
        pictures = [np.asarray(cv2.cvtColor(one.image, cv2.COLOR_RGB2GRAY), np.uint8) for one in (last, sample)]
        faint = gradients_at(pictures[0], start) < self._settings.min_over_noise * noise_between(*pictures)
        return step_motion(
            start,
            end,
            self._size,
            sample.time - last.time,
            self._settings.consensus,
            doubtful=faint | _inside(start, near),
        )

    def columns(self) -> dict[str, Any]:
        """The columns of CAMERA_MOTION behind the samples' head."""
        self._follow()
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


def _grown(boxes: Boxes, share: float) -> Boxes:
    """Boxes [P, 4], wider on every side by a share of their longer side."""
    reach = share * (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True)
    return np.concatenate([boxes[:, :2] - reach, boxes[:, 2:] + reach], 1)


def _inside(points: NDArray[np.float32], boxes: Boxes) -> NDArray[np.bool_]:
    """Which points [N, 2] lie in any of the boxes [P, 4]."""
    x, y = points[:, :1], points[:, 1:]
    inside = (x >= boxes[:, 0]) & (x <= boxes[:, 2]) & (y >= boxes[:, 1]) & (y <= boxes[:, 3])
    return np.asarray(inside.any(1), np.bool_)


def tracker_maker(settings: CameraMotionSettings, device: Device) -> Callable[[], Tracker]:
    """How to make the tracker of the settings, for each shot anew. Loads its weights.

    Raises:
        ConfigError: the tracker's package is not installed, or the device is not there.
        WeightsError: its weights are missing or unusable.
    """
    # Imported here: a run needs one of them.
    if settings.cotracker is not None and settings.tracker == "cotracker":
        from stableanimator.perception.cotracker_tracks import CoTracker, load_network

        cotracker = settings.cotracker
        network = load_network(cotracker, device)
        return lambda: CoTracker(network, cotracker)
    from stableanimator.perception.point_tracks import KltTracker

    return lambda: KltTracker(settings.klt)


def identity(settings: CameraMotionSettings) -> dict[str, Any]:
    """What the columns depend on beside frames and weights: the settings of the tracker that is not used are not in it,
    nor is the place of its weights."""
    values = asdict(settings)
    values = {
        name: values[name]
        for name in ("motion_fps", "tracker", settings.tracker, "consensus", "people_margin", "min_over_noise")
    }
    values[settings.tracker].pop("checkpoint", None)
    return values
