"""How fast people move relative to the camera: what tells a living person from a statue or a frozen picture.

Joints found anew in every frame jitter by more than a talking person moves; points that are followed do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.background_motion import Step

_SECONDS = 1.0  # over which a displacement is taken: noise is that of one step, motion that of a second
_MIN_POINTS = 10

Points = NDArray[np.float32]


class _Tracked(Protocol):
    @property
    def points(self) -> Points: ...


class _Tracker(Protocol):
    def push(self, frames: NDArray[np.uint8], boxes: Sequence[NDArray[np.floating]]) -> _Tracked: ...


class SubjectMotion:
    """Follows points on people through the samples of a shot, a second at a time.

    Points start where people are at the beginning of a second. Each counts with the distance to where the camera's
    motion alone would have put it, at the last sample in which it is seen.
    """

    def __init__(self, tracker: _Tracker) -> None:
        self._tracker = tracker
        self._start: float | None = None  # when the current second began
        self._height = 0.0  # of the largest person then, pixels
        self._still = np.zeros((0, 2))  # [n] where each followed point would be now if it stood still
        self._away = np.zeros(0)  # [n] how far from there it was last seen, pixels
        self._live = np.zeros(0, np.int64)  # [live tracks] which followed point each is, -1 for others
        self._last = 0.0
        self._speeds: list[float] = []

    def add(self, image: NDArray[np.uint8], time: float, people: NDArray[np.float32], step: Step | None) -> None:
        """Take the next sample: its people's boxes [P, 4], and the camera's step towards it (None for the first)."""
        points = self._tracker.push(image[None], [np.zeros((0, 4), np.float32)]).points
        places = points[-1]
        seen = np.isfinite(places).all(-1)
        followed = np.full(len(seen), -1, np.int64)
        followed[: len(self._live)] = self._live
        if step is not None:
            self._still = _move(self._still, step, image.shape)
            kept = seen & (followed >= 0)
            self._away[followed[kept]] = np.linalg.norm(places[kept] - self._still[followed[kept]], axis=1)
        self._live = followed[seen]
        self._last = time
        if self._start is None or time - self._start >= _SECONDS * 0.999:
            self._finish()
            self._begin(places[seen], time, people)

    def _begin(self, places: Points, time: float, people: NDArray[np.float32]) -> None:
        x, y = places[:, :1], places[:, 1:]
        on_people = ((x >= people[:, 0]) & (x <= people[:, 2]) & (y >= people[:, 1]) & (y <= people[:, 3])).any(1)
        self._start = time
        self._height = float(people[0, 3] - people[0, 1]) if len(people) else 0.0
        self._still = places[on_people].astype(np.float64)
        self._away = np.zeros(len(self._still))
        self._live = np.where(on_people, np.cumsum(on_people) - 1, -1)

    def _finish(self) -> None:
        if self._start is None or self._last <= self._start or len(self._away) < _MIN_POINTS:
            return
        fastest_tenth = float(np.percentile(self._away, 90))
        self._speeds.append(fastest_tenth / self._height / (self._last - self._start))

    def speed(self) -> float | None:
        """Distance of the fastest tenth of the points per second, over the height of the largest person's box; the
        median over the seconds of the shot. None where no second had ten points on people."""
        if not self._speeds:
            self._finish()  # a shot of less than a second
        return float(np.median(self._speeds)) if self._speeds else None


def _move(places: NDArray[np.float64], step: Step, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Where the camera puts points of the world [n, 2], pixels; an unknown motion counts as none."""
    if not step.known:
        return places
    diagonal = float(np.hypot(shape[0], shape[1]))
    centre = np.array([shape[1], shape[0]]) / 2
    return step.apply((places - centre) / diagonal) * diagonal + centre
