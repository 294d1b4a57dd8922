"""One sampled frame on its way through the measures, and which frames are sampled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class Frame:
    """A decoded frame and what earlier measures saw in it. A measure adds its own and reads the others'.

    P people   N faces
    """

    index: int
    """0-based, in decode order."""
    time: float
    """Seconds from the start of the video."""
    image: NDArray[np.uint8]
    """RGB [H, W, 3]."""
    interlaced: bool = False
    """Whether the video says that it holds two fields, half a step apart, woven line by line."""
    people: NDArray[np.float32] | None = None
    """[P, 4] boxes in pixels, the largest first; None when nobody looked for people."""
    keypoints: NDArray[np.float32] | None = None
    """[P, 133, 3] x, y, score, in the order of `people`, some outside the picture; None when nobody looked."""


SAMPLING_VERSION = 3
"""Raise when other frames are sampled, or the same ones look different: every measure is then made again."""


def frame_period(times: NDArray[np.float64]) -> float:
    """Seconds from frame to frame of a video, from the times [F] of all its frames.

    The mean of the steps that are nearly (by a factor of 1.5) like the median one: dropped frames and pauses do not
    count, and milliseconds that were rounded even out. 0 for a single frame.
    """
    steps = np.diff(times)
    if len(steps) == 0:
        return 0.0
    middle = np.sort(steps)[(len(steps) - 1) // 2]  # one of the steps, so that at least it counts
    return float(steps[(steps * 1.5 >= middle) & (steps <= middle * 1.5)].mean())


def sample_indices(
    times: NDArray[np.float64], start: int, end: int, rate: float, period: float | None = None
) -> NDArray[np.int64]:
    """Frames of a shot at about `rate` per second, in order, from its first; every frame where there are no more.

    A sample is wanted every so many frame periods, so that a video of constant rate is sampled evenly, and the frame
    nearest to each is taken. So whether a frame is a sample does not depend on where the shot ends: a shot can be
    sampled while its end is not known yet.

    Args:
        times: [F] seconds of every frame of the video, increasing.
        start, end: the shot's frames, end exclusive.
        rate: samples per second.
        period: `frame_period(times)` from a caller who needs it often.
    """
    if period is None:
        period = frame_period(times)
    shot = times[start : end + 1]
    if period <= 0 or len(shot) == 0:
        return np.arange(start, end, dtype=np.int64)
    if end >= len(times):
        shot = np.append(shot, times[-1] + period)
    spacing = _spacing(period, rate)
    # The samples that are wanted up to halfway to the next frame: a frame that adds none is the nearest to none.
    wanted = np.floor(((shot[1:] + shot[:-1]) / 2 - shot[0]) / spacing)
    return start + np.flatnonzero(np.diff(wanted, prepend=-1.0) > 0)


def steady_indices(times: NDArray[np.float64], start: int, end: int, rate: float) -> tuple[NDArray[np.int64], float]:
    """Frames that show a part of a video at a steady rate, and this rate, frames a second: played at it they last as
    long as the part, to less than one of them.

    The moments are those at which `sample_indices` wants a sample, and the frame nearest to each shows it; one that a
    video of variable rate holds for longer is repeated, where `sample_indices` takes it once. A video that has fewer
    frames a second than `rate` keeps its own rate.

    Args:
        times: [F] seconds of every frame of the video, increasing.
        start, end: frames of the part, end exclusive; at least one.
        rate: frames a second that are wanted; it becomes a whole number of frame periods.
    """
    period = frame_period(times)
    if period <= 0:
        return np.arange(start, end, dtype=np.int64), rate
    spacing = _spacing(period, rate)
    return nearest_indices(times, start, end, spacing), 1 / spacing


def nearest_indices(times: NDArray[np.float64], start: int, end: int, spacing: float) -> NDArray[np.int64]:
    """The frames nearest to moments `spacing` seconds apart, from the first of a part of a video to its last.

    Args:
        times: [F] seconds of every frame of the video, increasing.
        start, end: frames of the part, end exclusive; at least one.
    """
    period, part = frame_period(times), times[start:end]
    last = times[end] if end < len(times) else times[-1] + period
    count = max(1, int(np.ceil((last - part[0] - period / 2) / spacing)))
    moments = part[0] + spacing * np.arange(count)
    return start + np.searchsorted((part[1:] + part[:-1]) / 2, moments)


def _spacing(period: float, rate: float) -> float:
    """Seconds between samples: the whole number of frame periods nearest to `rate` samples a second."""
    return period * max(1, round(1 / (rate * period) - 0.01))  # of two nearly as near the denser: times are rounded
