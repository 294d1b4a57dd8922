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
    people: NDArray[np.float32] | None = None
    """[P, 4] boxes in pixels, the largest first; None when nobody looked for people."""
    keypoints: NDArray[np.float32] | None = None
    """[P, 133, 3] x, y, score, in the order of `people`; None when nobody looked."""


def sample_indices(times: NDArray[np.float64], start: int, end: int, rate: float) -> NDArray[np.int64]:
    """Frames of a shot at about `rate` per second, in order; every frame where the video has no more.

    The spacing is a whole number of mean frame periods, so that a video of constant rate is sampled evenly; where
    the rate varies, the frame nearest to each point in time is taken.

    Args:
        times: [F] seconds of every frame of the video, increasing.
        start, end: the shot's frames, end exclusive.
        rate: samples per second.
    """
    shot = times[start:end]
    if len(shot) < 2:
        return np.arange(start, end, dtype=np.int64)
    period = float(shot[-1] - shot[0]) / (len(shot) - 1)
    if period <= 0:
        return np.arange(start, end, dtype=np.int64)
    spacing = period * max(1, round(1 / (rate * period)))
    wanted = np.arange(shot[0], shot[-1] + period / 2, spacing)
    after = np.clip(np.searchsorted(shot, wanted), 1, len(shot) - 1)
    nearest = np.where(wanted - shot[after - 1] <= shot[after] - wanted, after - 1, after)
    return start + np.unique(nearest).astype(np.int64)
