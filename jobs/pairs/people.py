"""The people of a frame who matter, with their joints: for poses that drive, and for those that are scored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.measures.people import PeopleSettings, count_people, keep_people
from stableanimator.perception.dwpose import PersonDetector, WholeBodyPose
from stableanimator.perception.settings import PerceptionSettings

_PEOPLE = PeopleSettings()


class People:
    """`people(frame)` gives poses [P, 133, 3] of the people who matter in a frame, uint8 RGB [H, W, 3], as curation
    counts them: the largest first. Joints outside the frame have their places there.

    Raises:
        WeightsError: a file of DWPose is missing or unreadable.
    """

    def __init__(self, settings: PerceptionSettings) -> None:
        self._detector = PersonDetector.from_settings(settings.pose, settings.threads, settings.device)
        self._pose = WholeBodyPose(settings.pose.pose, settings.threads, settings.device)

    def __call__(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        boxes, _ = keep_people(*self._detector(frame), _PEOPLE)
        return self._pose(frame, boxes[: count_people(boxes, _PEOPLE.main_area_share)])
