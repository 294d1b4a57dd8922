"""Whole-body keypoints of the people in the sampled frames of a shot, and how complete the main skeleton is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.measures.frames import Frame
from stableanimator.limits.checks import Share, checked
from stableanimator.perception.person_boxes import in_picture

NAME = "keypoints"
VERSION = 2
"""Raise when a column's meaning changes."""

_HEAD_AND_SHOULDERS = (0, 1, 2, 5, 14, 15, 16, 17)  # OpenPose-18: nose, neck, shoulders, eyes, ears

Keypoints = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class KeypointSettings:
    """How a skeleton's completeness is counted."""

    visible: Share = 0.3
    """Score from which a joint is visible, as everywhere in this project (DWPose's value)."""

    lacking: Share = 0.7
    """A skeleton that lacks more than this share of its joints is incomplete (StableAnimator++, IV-B: 70 %)."""

    edge_share: Share = 0.01
    """A person whose box comes within this share of the picture's diagonal of its left, right or lower edge is cut
    off by the picture. Of such a person only head, neck and shoulders have to be there: a joint outside the picture
    is not missing from the skeleton, and a talking head is a good clip."""


class KeypointMeasure:
    """The measure of one shot: `add` its sampled frames in order, then read `columns`. Needs `frame.people`.

    `pose(image, boxes)` gives [P, 133, 3] (stableanimator.perception.dwpose.WholeBodyPose), `to_openpose18` the 18
    body joints of it (stableanimator.perception.skeleton).
    """

    def __init__(
        self,
        settings: KeypointSettings,
        pose: Callable[[NDArray[np.uint8], NDArray[np.float32]], Keypoints],
        to_openpose18: Callable[[Keypoints], Keypoints],
    ) -> None:
        self._settings = settings
        self._pose = pose
        self._to_openpose18 = to_openpose18
        self._keypoints: list[Keypoints] = []
        self._coverage: list[float] = []

    def add(self, frame: Frame) -> None:
        """Find the keypoints of the frame's people; sets `frame.keypoints`."""
        boxes = np.zeros((0, 4), np.float32) if frame.people is None else frame.people
        people = self._pose(frame.image, boxes) if len(boxes) else np.zeros((0, 133, 3), np.float32)
        frame.keypoints = people
        self._keypoints.append(people)
        size = (frame.image.shape[0], frame.image.shape[1])
        main = self._to_openpose18(in_picture(people[0], size)) if len(people) else None
        self._coverage.append(0.0 if main is None else coverage(main, boxes[0], size, self._settings))

    def columns(self) -> dict[str, Any]:
        """The columns of KEYPOINTS behind the samples' head. A frame without a person has coverage 0."""
        covered = np.array(self._coverage)
        return {
            "keypoint_coverage": float(covered.mean()),
            "keypoint_missing_share": float((covered < 1 - self._settings.lacking).mean()),
            # arrays, not lists: as Python numbers they would take ten times the memory
            "keypoints": [[person.reshape(-1) for person in people] for people in self._keypoints],
        }


def coverage(joints: Keypoints, box: NDArray[np.float32], size: tuple[int, int], settings: KeypointSettings) -> float:
    """Share of the joints that should be there and are, 0 to 1.

    Args:
        joints: [18, 3] OpenPose-18 in pixels; those outside the picture are missing.
        box: [4] the person's box.
        size: height and width of the picture.
    """
    height, width = size
    visible = joints[:, 2] >= settings.visible
    margin = settings.edge_share * float(np.hypot(height, width))
    cut_off = box[0] < margin or box[2] > width - margin or box[3] > height - margin
    expected = visible.copy()
    expected[list(_HEAD_AND_SHOULDERS) if cut_off else slice(None)] = True
    return float(visible.sum() / expected.sum())
