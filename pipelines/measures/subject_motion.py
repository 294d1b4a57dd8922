"""How fast people move within themselves: what tells a living person from a statue, a poster or a frozen picture.

Joints found anew in every frame jitter by more than a talking person moves; points that are followed do not. Whatever
stands still moves as one before a moving camera (and so does a picture that an editor zooms into): the similarity that
most points on a person share is taken away, and no background need be seen for that. What is left of something alive
is its own motion, and neighbouring points share it; what is left of a stone is noise, which they do not share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

_SECONDS = 1.0  # over which a displacement is taken: noise is that of one step, motion that of a second
_MIN_POINTS = 10
_NEIGHBOURS = 5  # points whose displacements are taken together, the point itself among them
_ROUNDS = 6  # of fitting a similarity; more change nothing
_AGREE = 1.5  # median distances off the similarity up to which a point takes part in the next round

Points = NDArray[np.float64]


class _Tracked(Protocol):
    @property
    def points(self) -> NDArray[np.float32]: ...


class _Tracker(Protocol):
    @property
    def wanted(self) -> int: ...
    def push(self, frames: Sequence[NDArray[np.uint8]], boxes: Sequence[NDArray[np.floating]]) -> _Tracked: ...


class SubjectMotion:
    """Follows points in people's boxes through the samples of a shot, a second at a time.

    Each point counts with what its motion differs from the common one, at the last sample in which it is seen.
    """

    def __init__(self, tracker: _Tracker) -> None:
        self._tracker = tracker
        self._start: float | None = None  # when the current second began
        self._height = 0.0  # of the largest person then, pixels
        self._places: Points = np.zeros((0, 2))  # [n] where each followed point was then
        self._own: Points = np.zeros((0, 2))  # [n] its motion since, without the common one, pixels; NaN: lost at once
        self._live = np.zeros(0, np.int64)  # [live tracks] which followed point each is, -1 for others
        self._waiting: list[tuple[NDArray[np.uint8], float, NDArray[np.float32]]] = []  # image, time, people
        self._last = 0.0
        self._speeds: list[float] = []

    def add(self, image: NDArray[np.uint8], time: float, people: NDArray[np.float32]) -> None:
        """Take the next sample and its people's boxes [P, 4], the largest first."""
        self._waiting.append((image, time, people))
        if len(self._waiting) == self._tracker.wanted:
            self._follow()

    def _follow(self) -> None:
        """Track through the samples that wait."""
        if not self._waiting:
            return
        nowhere = [np.zeros((0, 4), np.float32)] * len(self._waiting)
        points = self._tracker.push([image for image, _, _ in self._waiting], nowhere).points
        followed = np.full(points.shape[1], -1, np.int64)
        followed[: len(self._live)] = self._live
        for places, (_, time, people) in zip(points[-len(self._waiting) :], self._waiting, strict=True):
            followed = self._take(places, followed, time, people)
        self._live = followed[np.isfinite(points[-1]).all(-1)]
        self._waiting = []

    def _take(
        self, places: NDArray[np.float32], followed: NDArray[np.int64], time: float, people: NDArray[np.float32]
    ) -> NDArray[np.int64]:
        """One sample: where the tracks [T, 2] are, and which followed point each is [T]; returns that for the next."""
        seen = np.isfinite(places).all(-1)
        kept = seen & (followed >= 0)
        if kept.sum() >= _MIN_POINTS:
            self._own[followed[kept]] = own_motion(self._places[followed[kept]], places[kept].astype(np.float64))
        self._last = time
        if self._start is None or time - self._start >= _SECONDS * 0.999:
            self._finish()
            followed = np.full(len(places), -1, np.int64)
            followed[seen] = self._begin(places[seen].astype(np.float64), time, people)
        return followed

    def _begin(self, places: Points, time: float, people: NDArray[np.float32]) -> NDArray[np.int64]:
        """Begin a second with points [n, 2]; returns which followed point each is, -1 for those on nobody."""
        x, y = places[:, :1], places[:, 1:]
        on_people = ((x >= people[:, 0]) & (x <= people[:, 2]) & (y >= people[:, 1]) & (y <= people[:, 3])).any(1)
        self._start = time
        self._height = float(people[0, 3] - people[0, 1]) if len(people) else 0.0
        self._places = places[on_people]
        self._own = np.full_like(self._places, np.nan)
        return np.where(on_people, np.cumsum(on_people) - 1, -1)

    def _finish(self) -> None:
        seen = np.isfinite(self._own).all(-1)
        if self._start is None or self._last <= self._start or seen.sum() < _MIN_POINTS:
            return
        shared = np.linalg.norm(shared_by_neighbours(self._places[seen], self._own[seen]), axis=1)
        fastest_tenth = float(np.percentile(shared, 90))
        self._speeds.append(fastest_tenth / self._height / (self._last - self._start))

    def speed(self) -> float | None:
        """Own motion of the fastest tenth of the points per second, over the height of the largest person's box; the
        median over the seconds of the shot. None where no second had ten points on people."""
        self._follow()
        if not self._speeds:
            self._finish()  # a shot of less than a second
        return float(np.median(self._speeds)) if self._speeds else None


def own_motion(before: Points, after: Points) -> Points:
    """[n, 2] how points [n, 2] moved beyond the similarity that most of them follow.

    The similarity (least squares; a complex number turns and scales) is fitted again and again to the points that agree
    with the last one.
    """
    source, target = before @ (1, 1j), after @ (1, 1j)
    agree = np.ones(len(source), bool)
    left = target - source
    for _ in range(_ROUNDS):
        unknowns = np.stack([source[agree], np.ones(int(agree.sum()))], 1)
        factor, shift = np.linalg.lstsq(unknowns, target[agree], rcond=None)[0]
        left = target - factor * source - shift
        distance = np.abs(left)
        agree = distance <= _AGREE * np.median(distance) + 1e-9
    return np.stack([left.real, left.imag], 1)


def shared_by_neighbours(places: Points, motion: Points) -> Points:
    """[n, 2] the median motion of each point and those next to it: noise that each has for itself goes."""
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :_NEIGHBOURS]
    return np.asarray(np.median(motion[nearest], axis=1), np.float64)
