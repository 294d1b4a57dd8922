"""People in the sampled frames of a shot: boxes, and how many people matter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.measures.frames import Frame
from stableanimator.limits.checks import PositiveInt, Share, checked

NAME = "people"
VERSION = 1
"""Raise when a column's meaning changes."""

Boxes = NDArray[np.float32]
Scores = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class PeopleSettings:
    """Which detections are people."""

    min_score: Share = 0.5
    """Detection score, 0 to 1, from which a box is a person: more likely one than not."""

    main_area_share: Share = 0.25
    """A person whose box has less than this share of the area of the frame's largest (half its height and width) is
    in the background and does not count; its box is kept."""

    max_people: PositiveInt = 8
    """Boxes kept in a frame, the largest first."""


class People:
    """The measure of one shot: `add` its sampled frames in order, then read `columns`.

    `detector(image)` gives boxes [P, 4] and scores [P] (stableanimator.perception.dwpose.PersonDetector).
    """

    def __init__(self, settings: PeopleSettings, detector: Callable[[NDArray[np.uint8]], tuple[Boxes, Scores]]) -> None:
        self._settings = settings
        self._detector = detector
        self._boxes: list[Boxes] = []
        self._scores: list[Scores] = []

    def add(self, frame: Frame) -> None:
        """Detect people; sets `frame.people`."""
        boxes, scores = keep_people(*self._detector(frame.image), self._settings)
        frame.people = boxes
        self._boxes.append(boxes)
        self._scores.append(scores)

    def columns(self) -> dict[str, Any]:
        """The columns of PEOPLE behind the samples' head."""
        counts = [count_people(boxes, self._settings.main_area_share) for boxes in self._boxes]
        return {
            "people_median": float(np.median(counts)),
            "people_most": float(np.percentile(counts, 90, method="inverted_cdf")),
            "person_boxes": [list(boxes) for boxes in self._boxes],
            "person_scores": self._scores,
        }


def keep_people(boxes: Boxes, scores: Scores, settings: PeopleSettings) -> tuple[Boxes, Scores]:
    """Sure detections, the largest first: whoever fills the picture is the one it is about."""
    sure = scores >= settings.min_score
    boxes, scores = boxes[sure], scores[sure]
    order = np.argsort(-_areas(boxes), kind="stable")[: settings.max_people]
    return boxes[order].astype(np.float32), scores[order].astype(np.float32)


def count_people(boxes: Boxes, main_area_share: float) -> int:
    """How many of the boxes [P, 4], largest first, are not in the background."""
    areas = _areas(boxes)
    return int((areas >= main_area_share * areas[0]).sum()) if len(areas) else 0


def _areas(boxes: Boxes) -> NDArray[np.float32]:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def identity(settings: PeopleSettings, detector_settings: dict[str, Any], weights_sha256: str) -> dict[str, Any]:
    """What the columns depend on beside the frames, for their fingerprint."""
    return {
        "measure": NAME,
        "version": VERSION,
        "settings": asdict(settings),
        "detector": detector_settings,
        "weights": weights_sha256,
    }
