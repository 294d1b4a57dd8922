"""The one decode of a new video: its cuts are found while the measures of its shots run, a quarter second behind.

Whether a frame begins a shot is certain only when some more have been seen, so a frame that is sampled waits until
then. Where no cut is possible only the samples wait; from a step that may be one on, all frames do, since each may be
a sample of the shot that would begin there. So memory holds the frames of `shots.window_s` at most, however long the
video is, and every shot is measured on the frames that it would be if its end had been known.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from pipelines.measures.frames import Frame
from pipelines.measures.shots import CutFinder
from pipelines.measuring.shot_run import ShotRun, VideoResult


class FirstPass:
    """Takes every frame of a video in order.

        passing = FirstPass(finder, begin, end_shot, result)
        for frame in frames: passing.add(frame)
        cuts = passing.finish()

    Args:
        finder: has seen nothing yet.
        begin: makes the run of a shot from its first frame.
        end_shot: is called with a run, the shot's first frame, and one past its last.
        result: times go there.
    """

    def __init__(
        self,
        finder: CutFinder,
        begin: Callable[[int], ShotRun],
        end_shot: Callable[[ShotRun, int, int], None],
        result: VideoResult,
    ) -> None:
        self._finder, self._result = finder, result
        self._begin, self._end_shot = begin, end_shot
        self._start, self._run = 0, begin(0)
        self._cuts: list[int] = []
        self._waiting: deque[Frame] = deque()

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        started = time.perf_counter()
        new_cuts = self._finder.add(frame.image)
        self._result.add_seconds("shots", started)
        self._waiting.append(frame)
        self._show(new_cuts)
        if not self._finder.in_doubt and not self._run.wants(frame.index):
            self._waiting.pop()  # this frame: it is too new to have been shown

    def finish(self) -> list[int]:
        """The cuts of the video, after its last frame."""
        self._show(self._finder.finish())
        self._end_shot(self._run, self._start, self._finder.count)
        return self._cuts

    def _show(self, new_cuts: list[int]) -> None:
        """Show the frames whose shot is certain now to its measures."""
        cuts = deque(new_cuts)
        while self._waiting and self._waiting[0].index < self._finder.certain:
            frame = self._waiting.popleft()
            if cuts and frame.index == cuts[0]:  # the first frame of a shot is always among those that wait
                self._end_shot(self._run, self._start, frame.index)
                self._start, self._run = frame.index, self._begin(frame.index)
                self._cuts.append(cuts.popleft())
            if self._run.wants(frame.index):
                self._run.add(frame)
