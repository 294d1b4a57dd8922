"""Shots: where the camera was switched. Every later table has one row for each shot.

A cut is one step between two frames that is large, much larger than the steps around it, and does not lead back.
The size of a step is the mean absolute difference of the two pictures in grey, shrunk to 64x36: unlike a histogram
it sees a cut between two views of the same set, and unlike full resolution it forgives noise and small motion.
Dissolves and fades are not found; a shot that holds one is left to `background_change`.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stableanimator.limits.checks import Range, checked

VERSION = 4
"""Raise when the meaning of a shot changes: all shots and their measures are then made again."""

_SIZE = (64, 36)
_MOST_REACH = 64  # frames: a rate above 256 per second is no camera's, and must not cost memory


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class ShotSettings:
    """When a step between two frames is a cut."""

    min_difference: Annotated[float, Range(above=0, below=255)] = 8.0
    """Grey levels (0 to 255), mean over the picture. Two unrelated pictures with the usual standard deviation of 50
    differ by 2 * 50 / sqrt(pi) = 56; two views of a dim set with a deviation of 10 by 11. Noise and compression: 1."""

    ratio: Annotated[float, Range(above=1)] = 2.5
    """A cut is this many times its second largest neighbour (the largest may be another cut). Steady motion gives
    1, whatever its speed; pictures that are held for two or three frames give 1 too, where a mean would give 3."""

    window_s: Annotated[float, Range(above=0, high=60)] = 0.25
    """Seconds to each side that count as neighbours, and the longest flash. No shot that anyone trains on is that
    short; at least two frames are always looked at."""

    flash_return: Annotated[float, Range(0, below=1)] = 0.5
    """A picture that comes back within `window_s` to less than this share of the step was a flash, not a cut. A cut
    gives 1, a flash over a still picture 0."""

    def identity(self) -> dict[str, Any]:
        """What the shots depend on, for their fingerprint."""
        return {"version": VERSION, **asdict(self)}


class CutFinder:
    """Cuts of a video whose frames come one after another.

    Whether a frame begins a shot is certain once `window_s` more have come; only their shrunk pictures are held.

        finder = CutFinder(25.0, ShotSettings())
        cuts = [cut for frame in frames for cut in finder.add(frame)] + finder.finish()

    `fps`: frames per second of the video.
    """

    def __init__(self, fps: float, settings: ShotSettings) -> None:
        self._settings = settings
        self._reach = min(max(2, round(settings.window_s * fps)), _MOST_REACH)
        self._past: deque[NDArray[np.float32]] = deque(maxlen=self._reach + 1)
        # For each frame t: its difference from frame t - 1, and how near the picture comes back around that step: the
        # least difference between a frame before the step and one after it that are 2 to reach + 1 frames apart, with
        # either of them next to the step. It is small at the start and at the end of a flash.
        self._steps: list[float] = []
        self._returns: list[float] = []
        self.certain = 0
        """Of the frames before this one it is known whether they begin a shot."""

    def add(self, frame: NDArray[np.uint8]) -> list[int]:
        """Take the next frame, uint8 RGB [H, W, 3]; the cuts that are certain now and were not before."""
        picture = _shrink(frame)
        differences = [float(np.abs(picture - earlier).mean()) for earlier in reversed(self._past)]
        self._steps.append(differences[0] if differences else 0.0)
        self._returns.append(min(differences[1:], default=np.inf))
        for length, difference in enumerate(differences[1:], start=1):
            start = len(self._steps) - 1 - length
            self._returns[start] = min(self._returns[start], difference)
        self._past.append(picture)
        return self._decide(len(self._steps) - self._reach)

    def finish(self) -> list[int]:
        """The cuts among the last frames: no more will come."""
        return self._decide(len(self._steps))

    @property
    def in_doubt(self) -> bool:
        """Whether any frame that is not certain yet differs enough from the one before it to begin a shot."""
        return any(step >= self._settings.min_difference for step in self._steps[self.certain :])

    @property
    def count(self) -> int:
        """Frames so far."""
        return len(self._steps)

    def _decide(self, end: int) -> list[int]:
        undecided = range(self.certain, max(end, self.certain))
        self.certain = undecided.stop
        return [index for index in undecided if self._is_cut(index)]

    def _is_cut(self, index: int) -> bool:
        step, settings = self._steps[index], self._settings
        return (
            index > 0
            and step >= settings.min_difference
            and step >= settings.ratio * self._ordinary_step(index)
            and self._returns[index] >= settings.flash_return * step
        )

    def _ordinary_step(self, index: int) -> float:
        """What steps around `index` are like: their second largest, or their largest where a side is cut off.

        At the ends of a video one side is short, and the start of a fast movement would look like a cut.
        """
        before = self._steps[max(1, index - self._reach) : index]
        after = self._steps[index + 1 : index + 1 + self._reach]
        around = sorted(before + after)
        whole = min(len(before), len(after)) == self._reach
        return around[-2 if whole else -1] if around else 0.0


def find_cuts(frames: Iterable[NDArray[np.uint8]], fps: float, settings: ShotSettings) -> tuple[list[int], int]:
    """Cuts of a whole video: the first frame of each new shot (0-based, ascending), and the number of frames."""
    finder = CutFinder(fps, settings)
    cuts = [cut for frame in frames for cut in finder.add(frame)]
    return cuts + finder.finish(), finder.count


def _shrink(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    # Grey first: one channel to average, not three.
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, _SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)


def shot_id(video_id: str, start: int, end: int) -> str:
    """`{video_id}:{start}-{end}`: frames 0-based in decode order, end exclusive."""
    return f"{video_id}:{start}-{end}"


def video_of(shot: str) -> str:
    """The id of the video that a shot, by its id, is part of."""
    return shot.partition(":")[0]


def shot_rows(
    video_id: str,
    cuts: list[int],
    frame_count: int,
    fps: float,
    width: int,
    height: int,
    times: NDArray[np.float64],
) -> list[dict[str, Any]]:
    """Rows of the table SHOTS that cover the video without gap or overlap.

    `times` [F] are the frames' timestamps in seconds; the last frame is taken to last as long as the mean one.
    """
    edges = [0, *cuts, frame_count]
    closing = float(times[frame_count - 1]) + 1.0 / fps
    return [
        {
            "shot_id": shot_id(video_id, start, end),
            "video_id": video_id,
            "start": start,
            "end": end,
            "fps": fps,
            "width": width,
            "height": height,
            "seconds": (float(times[end]) if end < frame_count else closing) - float(times[start]),
            "error": None,
            "detail": None,
        }
        for start, end in itertools.pairwise(edges)
    ]


def bad_video_row(video_id: str, reason: str, detail: str) -> dict[str, Any]:
    """The one row of a video that cannot be decoded: start = end = 0, with the reason."""
    empty: dict[str, Any] = dict.fromkeys(("fps", "width", "height", "seconds"))
    head = {"shot_id": shot_id(video_id, 0, 0), "video_id": video_id, "start": 0, "end": 0}
    return {**head, **empty, "error": reason, "detail": detail}
