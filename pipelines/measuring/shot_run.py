"""The measures of one shot while its frames come in, and which frames each of them sees."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.curation import CurateSettings
from pipelines.measures.frames import Frame, frame_period, sample_indices
from pipelines.measures.thumbnail import middle_sample
from pipelines.measuring.measure_cache import UPSTREAM
from pipelines.storage.tables import KEYPOINT_COUNT, MEASURES, THUMBNAILS
from stableanimator.errors import RowError, row_error

log = logging.getLogger(__name__)

FAILED = "measure_failed"
"""Reason of what a defect or a passing trouble left unmeasured."""

IN_ORDER = (*MEASURES, "thumbnails")
"""What is made of a shot, in the order in which a frame is shown to it."""


class Session(Protocol):
    """One measure of one shot."""

    def add(self, frame: Frame) -> None: ...
    def columns(self) -> dict[str, Any]: ...


Known = Mapping[str, Mapping[str, Any] | None]
"""Rows of a shot that are in the store, by measure."""


@dataclass(slots=True)
class VideoResult:
    """What was done with one video: counts for people, and failures that are not remembered."""

    video_id: str
    shots: int = 0
    frames_decoded: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    """By step: "decode" (waiting for frames), "shots", and the measures."""
    failures: list[dict[str, str]] = field(default_factory=list)
    """{shot_id, measure, reason, detail}; measure "decode" is the video itself."""
    bad: tuple[str, str] | None = None
    """Reason and detail, where the video cannot be decoded at all; its row says so too."""

    def add_seconds(self, step: str, started: float) -> None:
        """Count the time since `started` (time.perf_counter)."""
        self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - started

    def fail(self, shot_id: str, measure: str, error: RowError) -> None:
        """Note what will be tried again by the next run."""
        self.failures.append({"shot_id": shot_id, "measure": measure, "reason": error.reason, "detail": error.detail})


class Sampler:
    """Which frames of a shot each measure sees. `times` [F] are seconds of every frame of the video."""

    def __init__(self, times: NDArray[np.float64], settings: CurateSettings) -> None:
        self.times = times
        self._period = frame_period(times)
        self._rates = dict.fromkeys(IN_ORDER, settings.sample_fps)
        self._rates["camera_motion"] = settings.camera_motion.motion_fps

    def of_shot(self, start: int, end: int | None = None) -> dict[str, NDArray[np.int64]]:
        """By measure. Without an `end`, which is not known yet, they are those of the longest shot that begins here;
        those of a shorter one are the same up to its end (see pipelines.measures.frames.sample_indices)."""
        last = len(self.times) if end is None else end
        of_rate = {rate: sample_indices(self.times, start, last, rate, self._period) for rate in self._rates.values()}
        samples = {name: of_rate[rate] for name, rate in self._rates.items()}
        if end is not None:
            middle = middle_sample(len(samples["thumbnails"]))
            samples["thumbnails"] = samples["thumbnails"][middle : middle + 1]
        return samples


class ShotRun:
    """Runs measures on one shot.

        run = ShotRun(lacking, known, new_session, sampler.of_shot(start), result)
        for frame in frames: run.add(frame)         # those that run.wants(frame.index)
        tables = run.tables(shot_id, end, times)

    Args:
        lacking: names of the measures to run ("thumbnails" is one of them).
        known: what is in the store already.
        new_session: by name, how to begin a measure.
        samples: by name, the frames that it sees.
        result: times and failures go there.
    """

    def __init__(
        self,
        lacking: Collection[str],
        known: Known,
        new_session: Mapping[str, Callable[[], Session]],
        samples: Mapping[str, NDArray[np.int64]],
        result: VideoResult,
    ) -> None:
        self._samples = samples
        self._result = result
        self._errors: dict[str, Exception] = {}
        self._sessions: dict[str, Session] = {}
        for name in lacking:
            upstream = [one for one in UPSTREAM.get(name, ()) if (row := known.get(one)) is not None and row["error"]]
            try:
                if upstream:
                    raise _failed_before(upstream[0])
                self._sessions[name] = new_session[name]()
            except Exception as error:
                self._errors[name] = error
        for name, cause in list(self._errors.items()):
            self._fail(name, cause)
        self._remembered = _remembered_people(known)
        self._people: NDArray[np.float32] | None = None
        self._keypoints: NDArray[np.float32] | None = None

    @property
    def indices(self) -> NDArray[np.int64]:
        """All frames that any running measure wants."""
        wanted = [self._samples[name] for name in self._sessions]
        return np.unique(np.concatenate(wanted)) if wanted else np.zeros(0, np.int64)

    def wants(self, index: int) -> bool:
        """Whether any running measure samples this frame."""
        return any(self._sees(name, index) for name in self._sessions)

    def _sees(self, name: str, index: int) -> bool:
        samples = self._samples[name]
        place = int(np.searchsorted(samples, index))
        return place < len(samples) and samples[place] == index

    def add(self, frame: Frame) -> None:
        """Show a frame to the measures that sample it, in their order."""
        frame.people, frame.keypoints = self._remembered.get(frame.index, (self._people, self._keypoints))
        for name in IN_ORDER:
            if name not in self._sessions or not self._sees(name, frame.index):
                continue
            started = time.perf_counter()
            try:
                self._sessions[name].add(frame)
            except Exception as error:
                self._fail(name, error)
            self._result.add_seconds(name, started)
        self._people, self._keypoints = frame.people, frame.keypoints

    def _fail(self, name: str, error: Exception) -> None:
        """End a measure, and with it all that read it, directly or through another that does."""
        if not isinstance(error, RowError):
            log.error("%s of %s", name, self._result.video_id, exc_info=error)
        ended = {name: error}
        for other in IN_ORDER:  # what a measure reads stands before it
            failed = [one for one in UPSTREAM.get(other, ()) if one in ended]
            if failed and other in self._sessions:
                ended[other] = _failed_before(failed[0]) if isinstance(error, RowError) else error
        for each in ended:
            self._sessions.pop(each, None)
        self._errors |= ended

    def tables(self, shot_id: str, end: int, times: NDArray[np.float64]) -> dict[str, pa.Table]:
        """The row of each measure; what failed by a defect has none and is noted as a failure."""
        tables: dict[str, pa.Table] = {}
        for name in IN_ORDER:
            indices = self._samples[name][self._samples[name] < end]
            head = {"shot_id": shot_id, "frame_index": indices.tolist(), "time": times[indices].tolist()}
            schema = MEASURES.get(name, THUMBNAILS)
            if name in self._sessions:
                started = time.perf_counter()
                try:
                    tables[name] = pa.Table.from_pylist([head | self._sessions[name].columns()], schema=schema)
                except Exception as error:
                    self._fail(name, error)
                self._result.add_seconds(name, started)
            failed = self._errors.get(name)
            if isinstance(failed, RowError):
                row = head | {"error": failed.reason, "detail": failed.detail}
                tables[name] = pa.Table.from_pylist([row], schema=schema)
            elif failed is not None:
                self._result.fail(shot_id, name, row_error(failed, FAILED))
        return tables


def _failed_before(name: str) -> RowError:
    return RowError(f"{name}_failed", "a measure that it reads failed")


def _remembered_people(
    known: Known,
) -> dict[int, tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]]:
    """People and keypoints by frame, of measures that are in the store already."""
    people, keypoints = known.get("people"), known.get("keypoints")
    if people is None or people["error"]:
        return {}
    boxes = [np.array(row, np.float32).reshape(-1, 4) for row in people["person_boxes"]]
    joints: list[NDArray[np.float32] | None] = [None] * len(boxes)
    if keypoints is not None and not keypoints["error"]:
        joints = [np.array(row, np.float32).reshape(-1, KEYPOINT_COUNT, 3) for row in keypoints["keypoints"]]
    return dict(zip(people["frame_index"], zip(boxes, joints, strict=True), strict=True))
