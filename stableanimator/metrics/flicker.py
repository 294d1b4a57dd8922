"""What is wrong between frames: noise that comes and goes, and seams where one window of frames meets the next.

    flicker         temporal noise of what stands still, without looking at the truth
    flicker_truth   temporal noise that the truth does not have
    seam            how much larger a jump is at a window's border than elsewhere

Both kinds of flicker are the standard deviation, in grey levels of 0 to 255, of noise in brightness that would give as
much: noise of 4 grey levels in each frame, the same in all channels, has 4. Frames are read once, in order; three are
kept.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.float32]
"""A frame's brightness [H, W], 0 to 255."""

_MEDIAN_TO_SIGMA = 1.4826
"""Of a normal distribution, from the median of absolute values."""
_NEIGHBOURS = 8
"""Jumps on either side that say what is usual here."""
_LEAST_JUMP = 0.1
"""Grey levels, added to both sides of a ratio of jumps, so that still pictures have the ratio 1 and not 0 / 0."""


def still_noise(before: Grey, now: Grey, after: Grey) -> float:
    """Standard deviation of the noise of places that do not move, from three frames in a row.

    A place that stands still, or changes evenly, has no second difference but noise, whose variance is six times a
    frame's (1 + 4 + 1). The median over the picture leaves out what moves, as long as that is less than half of it.
    """
    second = before - 2 * now + after
    return _MEDIAN_TO_SIGMA * float(np.median(np.abs(second))) / 6**0.5


def unexplained_noise(error_before: Grey, error: Grey) -> float:
    """Standard deviation of what changes in the error (generated less true) from one frame to the next, over the
    picture: dtSSD (Erofeev et al., BMVC 2015), over the root of 2 as two frames' noise is in it."""
    return float(np.sqrt(np.square(error - error_before).mean() / 2))


class Flicker:
    """Sums over the frames of one result.

    flicker = Flicker()
    flicker.add(grey, true_grey)      # of each frame, [H, W] of equal size; None without truth
    flicker.still, flicker.unexplained, flicker.seam(borders)
    """

    def __init__(self) -> None:
        self._last: list[Grey] = []
        self._error: Grey | None = None
        self._still: list[float] = []
        self._unexplained: list[float] = []
        self.jumps: list[float] = []
        """Mean absolute difference of each frame but the first to the one before, grey levels."""

    def add(self, grey: Grey, true_grey: Grey | None) -> None:
        """The next frame."""
        if self._last:
            self.jumps.append(float(np.abs(grey - self._last[-1]).mean()))
        if len(self._last) == 2:
            self._still.append(still_noise(self._last[0], self._last[1], grey))
        self._last = [*self._last[-1:], grey]
        error = None if true_grey is None else grey - true_grey
        if error is not None and self._error is not None:
            self._unexplained.append(unexplained_noise(self._error, error))
        self._error = error

    @property
    def still(self) -> float | None:
        """Mean over frames of `still_noise`; None for fewer than three."""
        return float(np.mean(self._still)) if self._still else None

    @property
    def unexplained(self) -> float | None:
        """Root mean square over frames of `unexplained_noise`; None for fewer than two frames with a truth."""
        return float(np.sqrt(np.mean(np.square(self._unexplained)))) if self._unexplained else None

    def seam(self, borders: Collection[int]) -> float | None:
        """`seam` of these jumps; None where there is nothing to compare."""
        return seam(np.array(self.jumps), borders)


def seam(jumps: npt.NDArray[np.float64], borders: Collection[int]) -> float | None:
    """How much larger a jump is at a border than elsewhere; about 1 without seams.

    Args:
        jumps: [F - 1], from frame 0 to 1, 1 to 2, ….
        borders: frames with which a window begins. With none, the largest ratio of any jump to the median of the up to
            eight before it and the eight behind it is taken: at least 1, and about 1.5 where people dance.

    Returns:
        Mean of the jumps into a border over the mean of the others; None where either are missing.
    """
    if not borders:
        ratios = [(jump + _LEAST_JUMP) / (np.median(near) + _LEAST_JUMP) for jump, near in _with_neighbours(jumps)]
        return float(max(ratios)) if ratios else None
    into = np.isin(np.arange(1, len(jumps) + 1), list(borders))
    if into.all() or not into.any():
        return None
    return float((jumps[into].mean() + _LEAST_JUMP) / (jumps[~into].mean() + _LEAST_JUMP))


def _with_neighbours(jumps: npt.NDArray[np.float64]) -> list[tuple[float, npt.NDArray[np.float64]]]:
    """Each jump with those around it, where there are any."""
    if len(jumps) < 2:
        return []
    return [
        (jump, np.concatenate([jumps[max(0, at - _NEIGHBOURS) : at], jumps[at + 1 : at + 1 + _NEIGHBOURS]]))
        for at, jump in enumerate(jumps)
    ]
