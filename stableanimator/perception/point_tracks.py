"""Tracks of points through consecutive frames, outside excluded boxes: what camera motion is measured from.

    F frames   T tracks   P boxes in a frame

A tracker is anything that returns `Tracks`; here it is OpenCV's pyramidal Lucas-Kanade (Bouguet 2000) with a check that
each point finds its way back (Kalal et al., ICPR 2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stableanimator.perception.settings import KltSettings

_BLOCK = 3  # pixels over which OpenCV sums gradients
# A 3x3 Sobel filter gives 8 times the gradient; OpenCV divides by 4, by the block and by white.
_SOBEL_GAIN, _SOBEL_SCALE = 8, 4


@dataclass(frozen=True, slots=True)
class Tracks:
    """Points followed through frames."""

    points: NDArray[np.float32]
    """[F, T, 2] x, y in pixels of the frame; NaN where a track has not begun, is lost, or is in an excluded box."""

    def step(self, frame: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Places [N, 2] in `frame` and in `frame + 1` of the points that are seen in both."""
        before, after = self.points[frame], self.points[frame + 1]
        seen = np.isfinite(before).all(-1) & np.isfinite(after).all(-1)
        return before[seen], after[seen]


def track_klt(
    frames: NDArray[np.uint8], boxes: Sequence[NDArray[np.floating]], settings: KltSettings | None = None
) -> Tracks:
    """Track points through RGB frames [F, H, W, 3], outside `boxes`: F arrays [P, 4] (x0, y0, x1, y1 in pixels)."""
    return KltTracker(settings).push(frames, boxes)


class KltTracker:
    """The same for a video that comes in windows, so that memory stays bounded.

        tracker = KltTracker(KltSettings())
        for frames, boxes in windows:
            tracks = tracker.push(frames, boxes)

    From the second window on, the first row of `Tracks` is the last frame of the window before: the steps of all
    windows together are the steps of the video, and equal those of `track_klt` on the whole.
    """

    def __init__(self, settings: KltSettings | None = None) -> None:
        self.settings = settings or KltSettings()
        self._grey: NDArray[np.uint8] | None = None
        self._places = np.zeros((0, 2), np.float32)  # live points of the last frame, pixels of the shrunk frame

    def push(self, frames: NDArray[np.uint8], boxes: Sequence[NDArray[np.floating]]) -> Tracks:
        """Track through the next window; arguments as `track_klt`.

        Raises:
            ValueError: the counts of frames and boxes differ.
        """
        if len(frames) != len(boxes):
            raise ValueError(f"{len(frames)} frames, but boxes for {len(boxes)}")
        rows: list[dict[int, NDArray[np.float32]]] = []
        names = list(range(len(self._places)))  # of the live points
        if self._grey is not None:
            rows.append(dict(zip(names, self._places, strict=True)))
        used = len(names)
        scale = np.ones(2)
        for frame, excluded in zip(frames, boxes, strict=True):
            grey = self._shrink(frame)
            scale = np.array(grey.shape[::-1]) / (frame.shape[1], frame.shape[0])
            allowed = self._allowed(grey.shape, excluded, scale)
            if self._grey is not None:
                kept = self._follow(self._grey, grey, allowed)
                names = [names[place] for place in kept]
            fresh = self._seed(grey, allowed)
            names += range(used, used + fresh)
            used += fresh
            self._grey = grey
            rows.append(dict(zip(names, self._places, strict=True)))
        return Tracks(_table(rows, used, scale))

    def _shrink(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        height, width = grey.shape
        scale = self.settings.longer_side / max(height, width)
        if scale < 1.0:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        return np.asarray(grey, np.uint8)

    def _allowed(
        self, shape: tuple[int, ...], excluded: NDArray[np.floating], scale: NDArray[np.float64]
    ) -> NDArray[np.uint8]:
        """[h, w] 255 where points may be."""
        mask = np.full(shape, 255, np.uint8)
        for x0, y0, x1, y1 in np.asarray(excluded, np.float64).reshape(-1, 4) * np.tile(scale, 2):
            margin_x, margin_y = (x1 - x0) * self.settings.box_margin, (y1 - y0) * self.settings.box_margin
            left, top = max(0, int(x0 - margin_x)), max(0, int(y0 - margin_y))
            mask[top : max(0, int(np.ceil(y1 + margin_y))), left : max(0, int(np.ceil(x1 + margin_x)))] = 0
        return mask

    def _follow(
        self, before: NDArray[np.uint8], after: NDArray[np.uint8], allowed: NDArray[np.uint8]
    ) -> NDArray[np.int64]:
        """Move the live points into the next frame; returns which survived."""
        if len(self._places) == 0:
            return np.zeros(0, np.int64)
        start = self._places[:, None]
        moved, found = self._flow(before, after, start)
        back, found_back = self._flow(after, before, moved)
        error = np.linalg.norm(back - start, axis=-1)[:, 0]
        good = found & found_back & (error <= self.settings.max_return_error)
        places = moved[:, 0]
        rows, columns = np.round(places[:, 1]).astype(int), np.round(places[:, 0]).astype(int)
        height, width = allowed.shape
        good &= (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        good[good] = allowed[rows[good], columns[good]] > 0
        self._places = places[good]
        return np.flatnonzero(good)

    def _flow(
        self, before: NDArray[np.uint8], after: NDArray[np.uint8], places: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Lucas-Kanade: places [N, 1, 2] in the other frame, and whether they were found [N]."""
        window = (self.settings.window, self.settings.window)
        # OpenCV's stubs forbid the None that asks for a new array.
        moved, found, _ = cv2.calcOpticalFlowPyrLK(  # type: ignore[call-overload]
            before, after, places, None, winSize=window, maxLevel=self.settings.levels
        )
        return moved, found[:, 0] == 1

    def _seed(self, grey: NDArray[np.uint8], allowed: NDArray[np.uint8]) -> int:
        """Look for new points where too few are left, away from those; returns how many were found."""
        wanted = self.settings.max_points - len(self._places)
        if len(self._places) >= self.settings.reseed_share * self.settings.max_points:
            return 0
        free = allowed.copy()
        for x, y in self._places:
            cv2.circle(free, (round(float(x)), round(float(y))), int(self.settings.min_distance), 0, -1)
        quality = max(self.settings.quality, self._least_quality(grey, free))
        if quality >= 1:
            return 0
        corners = cv2.goodFeaturesToTrack(grey, wanted, quality, self.settings.min_distance, mask=free)
        if corners is None:
            return 0
        self._places = np.concatenate([self._places, corners.reshape(-1, 2).astype(np.float32)])
        return len(corners)

    def _least_quality(self, grey: NDArray[np.uint8], allowed: NDArray[np.uint8]) -> float:
        """`min_gradient` as a share of the strongest corner's strength."""
        if self.settings.min_gradient == 0 or not allowed.any():
            return 0.0
        strongest = float(cv2.cornerMinEigenVal(grey, _BLOCK)[allowed > 0].max())
        return _corner_strength(self.settings.min_gradient) / strongest if strongest > 0 else 1.0


def _corner_strength(gradient: float) -> float:
    """What `cv2.cornerMinEigenVal` gives over 3x3 pixels where both directions have this gradient (levels/pixel)."""
    return _BLOCK**2 * (_SOBEL_GAIN * gradient / (_SOBEL_SCALE * _BLOCK * 255)) ** 2


def _table(
    rows: Sequence[dict[int, NDArray[np.float32]]], tracks: int, scale: NDArray[np.float64]
) -> NDArray[np.float32]:
    """[F, T, 2] in pixels of the full frame: OpenCV counts from the first pixel's centre, we from its corner."""
    points = np.full((len(rows), tracks, 2), np.nan, np.float32)
    for row, places in zip(points, rows, strict=True):
        for name, place in places.items():
            row[name] = (place + 0.5) / scale
    return points
