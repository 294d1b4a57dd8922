"""Tracks of points through consecutive frames, outside excluded boxes: what camera motion is measured from.

    F frames   T tracks   P boxes in a frame

A tracker is fed a video in windows (`PointTracker`). Here it is OpenCV's pyramidal Lucas-Kanade (Bouguet 2000) with a
check that each point finds its way back (Kalal et al., ICPR 2010); cotracker_tracks has CoTracker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from stableanimator.perception.point_seeds import free_of_boxes, in_mask, new_corners
from stableanimator.perception.settings import KltSettings

Frames = NDArray[np.uint8] | Sequence[NDArray[np.uint8]]
"""RGB [F, H, W, 3], as one array or frame by frame."""

Boxes = Sequence[NDArray[np.floating]]
"""F arrays [P, 4] x0, y0, x1, y1 in pixels: where no points may be."""


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


class PointTracker(Protocol):
    """Follows points through one video that comes in windows, so that memory stays bounded.

        while frames remain:
            tracks = tracker.push(frames, boxes)    # the next tracker.wanted of them

    From the second push on, the first row of `Tracks` is the last frame of the push before: the steps of all pushes
    together are the steps of the video. Its first tracks are those seen at the end of the push before, in their order.
    """

    @property
    def wanted(self) -> int:
        """Frames of a push; the last may have fewer."""
        ...

    def push(self, frames: Frames, boxes: Boxes) -> Tracks:
        """Track through the next frames.

        Raises:
            ValueError: the counts of frames and boxes differ.
        """
        ...


def track_klt(frames: Frames, boxes: Boxes, settings: KltSettings | None = None) -> Tracks:
    """Track points through all frames of a video at once."""
    return KltTracker(settings).push(frames, boxes)


class KltTracker:
    """Lucas-Kanade as a `PointTracker`. It takes any number of frames; what a push gives does not depend on it."""

    wanted = 1

    def __init__(self, settings: KltSettings | None = None) -> None:
        self.settings = settings or KltSettings()
        self._grey: NDArray[np.uint8] | None = None
        self._places = np.zeros((0, 2), np.float32)  # live points of the last frame, pixels of the shrunk frame

    def push(self, frames: Frames, boxes: Boxes) -> Tracks:
        """Track through the next frames; see `PointTracker.push`."""
        check_counts(frames, boxes)
        rows: list[dict[int, NDArray[np.float32]]] = []
        names = list(range(len(self._places)))  # of the live points
        if self._grey is not None:
            rows.append(dict(zip(names, self._places, strict=True)))
        used = len(names)
        scale = np.ones(2)
        for frame, excluded in zip(frames, boxes, strict=True):
            grey = self._shrink(frame)
            scale = np.array(grey.shape[::-1]) / (frame.shape[1], frame.shape[0])
            mask = free_of_boxes(grey.shape, excluded, scale, self.settings.seeds.box_margin)
            if self._grey is not None:
                kept = self._follow(self._grey, grey, mask)
                names = [names[place] for place in kept]
            fresh = new_corners(grey, mask, self._places, self.settings.seeds)
            self._places = np.concatenate([self._places, fresh])
            names += range(used, used + len(fresh))
            used += len(fresh)
            self._grey = grey
            rows.append(dict(zip(names, self._places, strict=True)))
        return table_of(rows, used, scale)

    def _shrink(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        height, width = grey.shape
        scale = self.settings.longer_side / max(height, width)
        if scale < 1.0:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        return np.asarray(grey, np.uint8)

    def _follow(
        self, before: NDArray[np.uint8], after: NDArray[np.uint8], mask: NDArray[np.uint8]
    ) -> NDArray[np.int64]:
        """Move the live points into the next frame; returns which survived."""
        if len(self._places) == 0:
            return np.zeros(0, np.int64)
        start = self._places[:, None]
        moved, found = self._flow(before, after, start)
        back, found_back = self._flow(after, before, moved)
        error = np.linalg.norm(back - start, axis=-1)[:, 0]
        good = found & found_back & (error <= self.settings.max_return_error) & in_mask(moved[:, 0], mask)
        self._places = moved[:, 0][good]
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


def check_counts(frames: Frames, boxes: Boxes) -> None:
    """Each frame needs its boxes, if only an empty array of them.

    Raises:
        ValueError: the counts differ.
    """
    if len(frames) != len(boxes):
        raise ValueError(f"{len(frames)} frames, but boxes for {len(boxes)}")


def table_of(rows: Sequence[dict[int, NDArray[np.float32]]], tracks: int, scale: NDArray[np.float64]) -> Tracks:
    """Tracks from places by number, frame by frame. Places count from the centre of a shrunk picture's first pixel, as
    OpenCV's do, tracks from its corner in the full frame; `scale` [2] is the size of the one over that of the other."""
    points = np.full((len(rows), tracks, 2), np.nan, np.float32)
    for row, places in zip(points, rows, strict=True):
        for name, place in places.items():
            row[name] = (place + 0.5) / scale
    return Tracks(points)
