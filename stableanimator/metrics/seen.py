"""One frame and what is seen in it, each thing looked for when it is first asked for, and then remembered.

A true frame is compared with the frames of several results; what its faces, people and features are is found once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from stableanimator.media.framing import Size
from stableanimator.metrics.flicker import Grey
from stableanimator.metrics.identity import Analyser, Identity, Recogniser, main_identity
from stableanimator.metrics.image import Frame
from stableanimator.metrics.networks.loading import Networks
from stableanimator.metrics.pose import PeopleFinder
from stableanimator.metrics.protocol import matched
from stableanimator.perception.person_boxes import in_picture

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Judges:
    """The networks that look at results."""

    faces: Analyser
    """Finds faces and embeds them."""
    held_out: Recogniser | None
    """Embeds the faces once more; None: `csim_held_out` and `csim_truth_held_out` are None."""
    people: PeopleFinder
    """Finds people and their joints."""
    networks: Networks = field(default_factory=Networks)
    """See features of pictures and clips."""


class Seen:
    """A frame, uint8 RGB [H, W, 3]. Keep it no longer than its turn lasts: features of a picture take megabytes."""

    def __init__(self, frame: Frame, judges: Judges) -> None:
        self.frame = frame
        self.size: Size = (frame.shape[0], frame.shape[1])
        self._judges = judges
        self._known: dict[Hashable, Any] = {}

    def remembered(self, key: Hashable, find: Callable[[], T]) -> T:
        """What `find` returned when `key` was first asked for."""
        if key not in self._known:
            self._known[key] = find()
        found: T = self._known[key]
        return found

    @property
    def identity(self) -> Identity:
        """Who the main face is."""
        return self.remembered("identity", lambda: main_identity(self._judges.faces, self._judges.held_out, self.frame))

    @property
    def people(self) -> npt.NDArray[np.float32]:
        """[P, 133, 3] in pixels of this frame; joints outside the picture are missing."""
        return self.remembered("people", lambda: in_picture(self._judges.people(self.frame), self.size))

    def people_at(self, size: Size) -> npt.NDArray[np.float32]:
        """The same in pixels of the frame stretched to another size."""
        scale = (size[1] / self.size[1], size[0] / self.size[0], 1)
        return (self.people * np.array(scale)).astype(np.float32)

    def brightness_at(self, size: Size) -> Grey:
        """Brightness at a size, for `stableanimator.metrics.flicker`."""
        return self.remembered(("brightness", size), lambda: brightness(self.resized(size, matched)))

    def resized(self, size: Size, resize: Callable[[Frame, Size], Frame]) -> Frame:
        """The frame at a size; itself where that is its own."""
        if size == self.size:
            return self.frame
        return self.remembered((size, resize), lambda: resize(self.frame, size))


def brightness(frame: Frame) -> Grey:
    """[H, W], 0 to 255, of BT.601, not rounded."""
    return np.asarray(cv2.cvtColor(frame.astype(np.float32), cv2.COLOR_RGB2GRAY), np.float32)
