"""The work on one video: find its shots, run every missing measure on frames decoded once, commit the rows.

A `VideoMeasurer` holds the models and is what an actor of pipelines.measure wraps; it needs no Ray. Whatever goes
wrong with a video stays with it: what its content causes becomes rows with a reason, anything else is handed back as a
failure and not remembered, so that the next run tries again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Protocol

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.camera_motion import CameraMotion
from pipelines.curation import CurateSettings
from pipelines.face_quality import FaceQuality
from pipelines.frames import Frame, sample_indices
from pipelines.keypoints import KeypointMeasure
from pipelines.measure_cache import UPSTREAM, Keys, read_cached
from pipelines.people import People
from pipelines.shots import bad_video_row, find_cuts, shot_rows
from pipelines.store import Store, media_path
from pipelines.tables import KEYPOINT_COUNT, MEASURES, SHOTS, THUMBNAILS
from stableanimator.errors import RowError
from stableanimator.perception.settings import PerceptionSettings
from stableanimator.video import VideoReader

log = logging.getLogger(__name__)

_THUMBNAIL_SIDE = 192  # pixels
_THUMBNAIL_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Video:
    """A stored video."""

    video_id: str
    extension: str
    """With its dot."""
    size: int
    """Bytes."""


@dataclass(slots=True)
class VideoResult:
    """What was done with one video: counts for people, and failures that are not remembered."""

    video_id: str
    shots: int = 0
    frames_decoded: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    """By step: "shots", "decode", and the measures."""
    failures: list[dict[str, str]] = field(default_factory=list)
    """{shot_id, measure, reason, detail}; measure "decode" is the video itself."""


class _Session(Protocol):
    """One measure of one shot."""

    def add(self, frame: Frame) -> None: ...
    def columns(self) -> dict[str, Any]: ...


class VideoMeasurer:
    """Measures videos with models that are loaded once.

    `needed` names the measures that any video lacks; models of others are not loaded.

    Raises:
        WeightsError: a model cannot be loaded.
    """

    def __init__(
        self,
        store: Store,
        settings: CurateSettings,
        perception: PerceptionSettings | None,
        keys: Keys,
        needed: Collection[str],
    ) -> None:
        self._store = store
        self._settings = settings
        self._keys = keys
        cv2.setNumThreads(1)  # actors share the cores
        self._new_session = _session_makers(settings, perception, needed)

    def measure(self, video: Video, missing: Collection[str]) -> VideoResult:
        """Make and commit what is missing of a video (see measure_cache.missing_of)."""
        result = VideoResult(video.video_id)
        try:
            self._measure(video, missing, result)
        except Exception as error:  # a defect or a passing trouble: no row may take its neighbours with it
            log.exception("video %s", video.video_id)
            row = bad_video_row(video.video_id, "measure_failed", _one_line(error))
            failure = {"measure": "decode", "reason": row["error"], "detail": row["detail"]}
            result.failures.append({"shot_id": row["shot_id"], **failure})
        return result

    def _measure(self, video: Video, missing: Collection[str], result: VideoResult) -> None:
        cached = read_cached(self._store, self._keys, [video.video_id])
        known = {name: {row["shot_id"]: row for row in table.to_pylist()} for name, table in cached.measures.items()}
        known["thumbnails"] = {shot: {} for shot in cached.thumbnails["shot_id"].to_pylist()}
        rows = cached.shots.to_pylist()
        new: dict[str, list[dict[str, Any]]] = {name: [] for name in known}
        path = media_path(video.video_id, video.extension)
        if not self._store.exists(path):
            raise FileNotFoundError(self._store.uri(path))
        local = self._store.local_file(path)
        try:
            with VideoReader(local) as reader:
                if not rows:
                    rows = self._find_shots(video, reader, result)
                for shot in rows:
                    if shot["error"] is None:
                        lacking = [name for name in known if name in missing and shot["shot_id"] not in known[name]]
                        of_shot = {name: known[name].get(shot["shot_id"]) for name in known}
                        self._measure_shot(reader, shot, lacking, of_shot, new, result)
        except RowError as error:
            if rows:  # its shots are known, so this frame could be decoded before
                raise
            # Without the root: the same video gives the same row anywhere.
            rows = [bad_video_row(video.video_id, error.reason, error.detail.replace(local, path))]
        result.shots = len(rows)
        if cached.shots.num_rows == 0:
            self._commit("shots", self._keys.shots, video, rows, SHOTS)
        for name, made in new.items():
            if name == "thumbnails":
                self._commit(name, self._keys.thumbnails, video, made, THUMBNAILS)
            else:
                self._commit(*self._keys.family(name), video, made, MEASURES[name])

    def _commit(self, family: str, key: str, video: Video, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
        if rows:
            self._store.write_part(family, key, video.video_id, pa.Table.from_pylist(rows, schema=schema))

    def _find_shots(self, video: Video, reader: VideoReader, result: VideoResult) -> list[dict[str, Any]]:
        started = time.perf_counter()
        info = reader.info
        windows = reader.windows(np.arange(info.frame_count), self._settings.shots.frames_per_read)
        frames = (frame for _, window in windows for frame in window)
        cuts, count = find_cuts(frames, info.fps, self._settings.shots)
        result.frames_decoded += count
        result.seconds["shots"] = time.perf_counter() - started
        return shot_rows(video.video_id, cuts, count, info.fps, info.width, info.height, info.times)

    def _measure_shot(
        self,
        reader: VideoReader,
        shot: dict[str, Any],
        lacking: list[str],
        known: dict[str, dict[str, Any] | None],
        new: dict[str, list[dict[str, Any]]],
        result: VideoResult,
    ) -> None:
        """Run the lacking measures of one shot; append their rows to `new`."""
        if not lacking:
            return
        run = _ShotRun(shot, lacking, known, self._new_session, self._samples(reader, shot), result)
        started = time.perf_counter()
        for indices, images in reader.windows(run.indices, self._settings.frames_per_read):
            result.frames_decoded += len(indices)
            _add_seconds(result, "decode", started)
            for index, image in zip(indices.tolist(), images, strict=True):
                run.add(Frame(index=index, time=float(reader.info.times[index]), image=image))
            started = time.perf_counter()
        for name, row in run.rows(reader.info.times).items():
            new[name].append(row)

    def _samples(self, reader: VideoReader, shot: dict[str, Any]) -> dict[str, NDArray[np.int64]]:
        """Which frames each measure sees."""
        times, start, end = reader.info.times, shot["start"], shot["end"]
        sampled = sample_indices(times, start, end, self._settings.sample_fps)
        moving = sample_indices(times, start, end, self._settings.camera_motion.motion_fps)
        thumbnail = sampled[len(sampled) // 2 : len(sampled) // 2 + 1]
        return {**dict.fromkeys(MEASURES, sampled), "camera_motion": moving, "thumbnails": thumbnail}


class _ShotRun:
    """The lacking measures of one shot while its frames come in."""

    def __init__(
        self,
        shot: dict[str, Any],
        lacking: list[str],
        known: dict[str, dict[str, Any] | None],
        new_session: dict[str, Callable[[], _Session]],
        samples: dict[str, NDArray[np.int64]],
        result: VideoResult,
    ) -> None:
        self._shot = shot
        self._known = known
        self._samples = samples
        self._result = result
        self._errors: dict[str, tuple[str, str] | None] = {}  # None: a failure that is not remembered
        self._sessions: dict[str, _Session] = {}
        for name in lacking:
            upstream = [one for one in UPSTREAM.get(name, ()) if (row := known.get(one)) is not None and row["error"]]
            if upstream:
                self._errors[name] = (f"{upstream[0]}_failed", "a measure that it reads failed")
            else:
                self._sessions[name] = new_session[name]()
        wanted = [samples[name] for name in self._sessions]
        self.indices = np.unique(np.concatenate(wanted)) if wanted else np.zeros(0, np.int64)
        self._sees = {name: set(samples[name].tolist()) for name in self._sessions}
        self._remembered = _remembered_people(known)
        self._people: NDArray[np.float32] | None = None
        self._keypoints: NDArray[np.float32] | None = None

    def add(self, frame: Frame) -> None:
        """Show a frame to the measures that sample it, in their order."""
        frame.people, frame.keypoints = self._remembered.get(frame.index, (self._people, self._keypoints))
        for name in (*MEASURES, "thumbnails"):
            if name not in self._sessions or frame.index not in self._sees[name]:
                continue
            started = time.perf_counter()
            try:
                self._sessions[name].add(frame)
            except Exception as error:
                self._fail(name, error)
            _add_seconds(self._result, name, started)
        self._people, self._keypoints = frame.people, frame.keypoints

    def _fail(self, name: str, error: Exception) -> None:
        del self._sessions[name]
        if isinstance(error, RowError):
            self._errors[name] = (error.reason, error.detail)
        else:
            log.exception("%s of %s", name, self._shot["shot_id"])
            self._errors[name] = None
            failure = {"measure": name, "reason": "measure_failed", "detail": _one_line(error)}
            self._result.failures.append({"shot_id": self._shot["shot_id"], **failure})
        for reader in [other for other in self._sessions if name in UPSTREAM.get(other, ())]:
            self._fail(
                reader, RowError(f"{name}_failed", "a measure that it reads failed") if self._errors[name] else error
            )

    def rows(self, times: NDArray[np.float64]) -> dict[str, dict[str, Any]]:
        """One row for each measure; those with failures that are not remembered are left out."""
        rows: dict[str, dict[str, Any]] = {}
        for name in (*MEASURES, "thumbnails"):
            columns: dict[str, Any] = {"error": None, "detail": None}
            if name in self._sessions:
                try:
                    columns.update(self._sessions[name].columns())
                except Exception as error:
                    self._fail(name, error)
            if name not in self._sessions:
                reason = self._errors.get(name)
                if reason is None:
                    continue
                columns = {"error": reason[0], "detail": reason[1]}
            indices = self._samples[name]
            head = {"shot_id": self._shot["shot_id"], "frame_index": indices.tolist(), "time": times[indices].tolist()}
            rows[name] = {**head, **columns}
        return rows


def _remembered_people(
    known: dict[str, dict[str, Any] | None],
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


class Thumbnail:
    """A small picture of the shot for the report."""

    def __init__(self) -> None:
        self._jpeg = b""

    def add(self, frame: Frame) -> None:
        """Take the frame's picture."""
        height, width = frame.image.shape[:2]
        scale = min(1.0, _THUMBNAIL_SIDE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
        bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
        self._jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _THUMBNAIL_QUALITY])[1].tobytes()

    def columns(self) -> dict[str, Any]:
        """The column of THUMBNAILS behind the shot's id."""
        return {"jpeg": self._jpeg}


def _session_makers(
    settings: CurateSettings, perception: PerceptionSettings | None, needed: Collection[str]
) -> dict[str, Callable[[], _Session]]:
    """How to begin each needed measure of a shot; loads the models of those measures."""
    makers: dict[str, Callable[[], _Session]] = {"thumbnails": Thumbnail}
    if "camera_motion" in needed:
        from stableanimator.perception.point_tracks import KltTracker

        camera = settings.camera_motion
        makers["camera_motion"] = lambda: CameraMotion(camera, lambda: KltTracker(camera.klt))
    if perception is None:
        return makers
    threads, device = perception.threads, perception.device
    # Imported here: the models' libraries take seconds, and a run may need none of them.
    if "people" in needed:
        from stableanimator.perception.dwpose import PersonDetector

        detector = PersonDetector.from_settings(perception.pose, threads, device)
        makers["people"] = lambda: People(settings.people, detector)
    if "keypoints" in needed:
        from stableanimator.perception.dwpose import WholeBodyPose
        from stableanimator.perception.skeleton import to_openpose18

        pose = WholeBodyPose.from_settings(perception.pose, threads, device)
        makers["keypoints"] = lambda: KeypointMeasure(settings.keypoints, pose, to_openpose18)
    if "face_quality" in needed:
        from stableanimator.perception.faces import FaceAnalyser, head_yaw

        analyser = FaceAnalyser(perception.faces, threads, device)
        makers["face_quality"] = lambda: FaceQuality(settings.face_quality, analyser, head_yaw)
    return makers


def _add_seconds(result: VideoResult, step: str, started: float) -> None:
    result.seconds[step] = result.seconds.get(step, 0.0) + time.perf_counter() - started


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
