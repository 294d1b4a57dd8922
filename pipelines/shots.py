"""Shots: where the camera was switched. Every later table has one row for each shot.

A cut is one step between two frames that is large, much larger than the steps around it, and does not lead back.
The size of a step is the mean absolute difference of the two pictures in grey, shrunk to 64x36: unlike a histogram
it sees a cut between two views of the same set, and unlike full resolution it forgives noise and small motion.
Dissolves and fades are not found; a shot that holds one is left to `background_change`.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

VERSION = 1
"""Raise when the meaning of a shot changes: all shots and their measures are then made again."""

_SIZE = (64, 36)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShotSettings:
    """When a step between two frames is a cut."""

    min_difference: float = 8.0
    """Grey levels (0 to 255), mean over the picture. Two unrelated pictures with the usual standard deviation of 50
    differ by 2 * 50 / sqrt(pi) = 56; two views of a dim set with a deviation of 10 by 11. Noise and compression: 1."""

    ratio: float = 2.5
    """A cut is this many times its second largest neighbour (the largest may be another cut). Steady motion gives
    1, whatever its speed; pictures that are held for two or three frames give 1 too, where a mean would give 3."""

    window_s: float = 0.25
    """Seconds to each side that count as neighbours, and the longest flash. No shot that anyone trains on is that
    short; at least two frames are always looked at."""

    flash_return: float = 0.5
    """A picture that comes back within `window_s` to less than this share of the step was a flash, not a cut. A cut
    gives 1, a flash over a still picture 0."""

    frames_per_read: int = 64
    """Frames decoded at a time; bounds the memory, does not change the result."""

    def __post_init__(self) -> None:
        if not 0 < self.min_difference < 255:
            raise ValueError(f"min_difference must lie between 0 and 255 grey levels, got {self.min_difference}")
        if self.ratio <= 1:
            raise ValueError(f"ratio must be above 1, got {self.ratio}")
        if self.window_s <= 0:
            raise ValueError(f"window_s must be above 0, got {self.window_s}")
        if not 0 <= self.flash_return < 1:
            raise ValueError(f"flash_return must lie in [0, 1), got {self.flash_return}")
        if self.frames_per_read < 1:
            raise ValueError(f"frames_per_read must be at least 1, got {self.frames_per_read}")

    def identity(self) -> dict[str, Any]:
        """What the shots depend on, for their fingerprint."""
        return {
            "version": VERSION,
            "min_difference": self.min_difference,
            "ratio": self.ratio,
            "window_s": self.window_s,
            "flash_return": self.flash_return,
        }


def find_cuts(frames: Iterable[NDArray[np.uint8]], fps: float, settings: ShotSettings) -> tuple[list[int], int]:
    """Cuts of a video, in one pass that holds `window_s` of shrunk frames.

    Args:
        frames: uint8 RGB pictures [H, W, 3] in order, all of one size.
        fps: frames per second.

    Returns:
        The first frame of each new shot (0-based, ascending), and the number of frames.
    """
    reach = max(2, round(settings.window_s * fps))
    steps, returns = _steps_and_returns(map(_shrink, frames), reach)
    cuts = [
        index
        for index in range(1, len(steps))
        if steps[index] >= settings.min_difference
        and steps[index] >= settings.ratio * _ordinary_step(steps, index, reach)
        and returns[index] >= settings.flash_return * steps[index]
    ]
    return cuts, len(steps)


def _shrink(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    small = cv2.resize(frame, _SIZE, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)


def _steps_and_returns(pictures: Iterator[NDArray[np.float32]], reach: int) -> tuple[list[float], list[float]]:
    """For each frame t: its difference from frame t - 1, and how near the picture comes back around that step.

    The second is the least difference between a frame before the step and one after it that are 2 to `reach` + 1
    frames apart, with either of them next to the step: small at the start and at the end of a flash.
    """
    steps: list[float] = []
    returns: list[float] = []
    past: deque[NDArray[np.float32]] = deque(maxlen=reach + 1)
    for index, picture in enumerate(pictures):
        differences = [float(np.abs(picture - earlier).mean()) for earlier in reversed(past)]
        steps.append(differences[0] if differences else 0.0)
        returns.append(min(differences[1:], default=np.inf))
        for length, difference in enumerate(differences[1:], start=1):
            start = index - length
            returns[start] = min(returns[start], difference)
        past.append(picture)
    return steps, returns


def _ordinary_step(steps: list[float], index: int, reach: int) -> float:
    """What steps around `index` are like: their second largest, or their largest where a side is cut off.

    At the ends of a video one side is short, and the start of a fast movement would look like a cut.
    """
    before, after = steps[max(1, index - reach) : index], steps[index + 1 : index + 1 + reach]
    around = sorted(before + after)
    whole = min(len(before), len(after)) == reach
    return around[-2 if whole else -1] if around else 0.0


def shot_id(video_id: str, start: int, end: int) -> str:
    """`{video_id}:{start}-{end}`: frames 0-based in decode order, end exclusive."""
    return f"{video_id}:{start}-{end}"


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
