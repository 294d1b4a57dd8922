"""The work on one video: find its shots, run every missing measure on frames decoded once, commit the rows.

A `VideoMeasurer` holds the models and is what an actor of pipelines.measuring.measure wraps; it needs no Ray. Whatever
goes wrong with a video stays with it: what its content causes becomes rows with a reason, anything else is handed back
as a failure and not remembered, so that the next run tries again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.curation import CurateSettings
from pipelines.measures.camera_motion import CameraMotion, tracker_maker
from pipelines.measures.face_quality import FaceQuality
from pipelines.measures.frames import Frame
from pipelines.measures.keypoints import KeypointMeasure
from pipelines.measures.people import People
from pipelines.measures.picture import Picture
from pipelines.measures.picture_hash import PictureHash
from pipelines.measures.shots import CutFinder, bad_video_row, shot_id, shot_rows
from pipelines.measures.thumbnail import Thumbnail
from pipelines.measuring.first_pass import FirstPass
from pipelines.measuring.measure_cache import Keys, read_cached
from pipelines.measuring.shot_run import FAILED, Sampler, Session, ShotRun, VideoResult
from pipelines.storage.inputs import Inputs
from pipelines.storage.store import Store, media_path
from pipelines.storage.tables import SHOTS
from stableanimator.errors import RowError, row_error
from stableanimator.media.video import VideoReader
from stableanimator.perception.settings import PerceptionSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Video:
    """A stored video."""

    video_id: str
    extension: str
    """With its dot."""
    size: int
    """Bytes."""


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
        self._store, self._inputs = store, Inputs(store)
        self._settings = settings
        self._keys = keys
        cv2.setNumThreads(1)  # actors share the cores
        self._new_session = _session_makers(settings, perception, needed)

    def measure(self, video: Video, missing: Collection[str]) -> VideoResult:
        """Make and commit what is missing of a video (see measure_cache.missing_of).

        Raises:
            StorageError: the disk is full.
        """
        result = VideoResult(video.video_id)
        try:
            self._measure(video, missing, result)
        except Exception as error:  # a defect or a passing trouble: no row may take its neighbours with it
            failure = row_error(error, FAILED)
            log.exception("video %s", video.video_id)
            result.fail(shot_id(video.video_id, 0, 0), "decode", failure)
        return result

    def _measure(self, video: Video, missing: Collection[str], result: VideoResult) -> None:
        cached = read_cached(self._store, self._keys, [video.video_id])
        known: dict[str, dict[str, Any]] = {
            name: {row["shot_id"]: row for row in table.to_pylist()} for name, table in cached.measures.items()
        }
        known["thumbnails"] = {shot: {} for shot in cached.thumbnails["shot_id"].to_pylist()}
        shots = cached.shots.to_pylist()
        path = media_path(video.video_id, video.extension)
        made = _Made()
        with self._inputs.opened(path) as local:
            try:
                with VideoReader(local, timeout_s=self._settings.decode_timeout_s) as reader:
                    if shots:
                        self._measure_known(reader, shots, known, missing, made, result)
                    else:
                        shots = self._measure_new(video, reader, list(known), made, result)
            except RowError as error:
                if shots:  # they are known, so this frame could be decoded before
                    raise
                # Without the root: the same video gives the same row anywhere.
                result.bad = error.reason, error.detail.replace(local, path)
                shots = [bad_video_row(video.video_id, *result.bad)]
                made = _Made()
        result.shots = len(shots)
        if cached.shots.num_rows == 0:
            self._store.write_part("shots", self._keys.shots, video.video_id, pa.Table.from_pylist(shots, SHOTS))
        for name, table in made.tables():
            family = ("thumbnails", self._keys.thumbnails) if name == "thumbnails" else self._keys.family(name)
            self._store.write_part(*family, video.video_id, table)

    def _measure_new(
        self, video: Video, reader: VideoReader, lacking: list[str], made: _Made, result: VideoResult
    ) -> list[dict[str, Any]]:
        """Find and measure the shots of a video in one decode; their rows of SHOTS."""
        info, sampler = reader.info, Sampler(reader.info.times, self._settings)

        def begin(start: int) -> ShotRun:
            return ShotRun(lacking, {}, self._new_session, sampler.of_shot(start), result)

        def end_shot(run: ShotRun, start: int, end: int) -> None:
            made.add(run.tables(shot_id(video.video_id, start, end), end, info.times))

        passing = FirstPass(CutFinder(info.fps, self._settings.shots), begin, end_shot, result)
        for frame in _frames(reader, range(info.frame_count), result):
            passing.add(frame)
        cuts = passing.finish()
        return shot_rows(video.video_id, cuts, info.frame_count, info.fps, info.width, info.height, info.times)

    def _measure_known(
        self,
        reader: VideoReader,
        shots: list[dict[str, Any]],
        known: Mapping[str, Mapping[str, Any]],
        missing: Collection[str],
        made: _Made,
        result: VideoResult,
    ) -> None:
        """Measure what known shots lack on their sampled frames alone."""
        times = reader.info.times
        sampler = Sampler(times, self._settings)
        for shot in shots:
            lacking = [name for name in known if name in missing and shot["shot_id"] not in known[name]]
            if shot["error"] is not None or not lacking:
                continue
            of_shot = {name: rows.get(shot["shot_id"]) for name, rows in known.items()}
            samples = sampler.of_shot(shot["start"], shot["end"])
            run = ShotRun(lacking, of_shot, self._new_session, samples, result)
            for frame in _frames(reader, run.indices, result):
                run.add(frame)
            made.add(run.tables(shot["shot_id"], shot["end"], times))


class _Made:
    """New rows of a video, as Arrow tables: as Python numbers they would take ten times the memory."""

    def __init__(self) -> None:
        self._tables: dict[str, list[pa.Table]] = {}

    def add(self, tables: Mapping[str, pa.Table]) -> None:
        for name, table in tables.items():
            self._tables.setdefault(name, []).append(table)

    def tables(self) -> Iterator[tuple[str, pa.Table]]:
        """(measure, its rows), in one chunk each: the bytes of a part depend on it."""
        for name, tables in self._tables.items():
            yield name, pa.concat_tables(tables).combine_chunks()


def _frames(reader: VideoReader, indices: Iterable[int] | NDArray[np.integer], result: VideoResult) -> Iterator[Frame]:
    """Frames of a video; they are counted, and so is the time for which one waits for them."""
    started = time.perf_counter()
    for index, image in reader.frames(indices):
        result.frames_decoded += 1
        result.add_seconds("decode", started)
        interlaced = bool(reader.interlaced[index])
        yield Frame(index=index, time=float(reader.info.times[index]), image=image, interlaced=interlaced)
        started = time.perf_counter()


def _session_makers(
    settings: CurateSettings, perception: PerceptionSettings | None, needed: Collection[str]
) -> dict[str, Callable[[], Session]]:
    """How to begin each needed measure of a shot; loads the models of those measures."""
    makers: dict[str, Callable[[], Session]] = {"thumbnails": Thumbnail}
    if "picture" in needed:
        makers["picture"] = lambda: Picture(settings.picture)
    if "picture_hash" in needed:
        makers["picture_hash"] = lambda: PictureHash(settings.picture_hash)
    if "camera_motion" in needed:
        camera = settings.camera_motion
        new_tracker = tracker_maker(camera, "cpu" if perception is None else perception.device)
        makers["camera_motion"] = lambda: CameraMotion(camera, new_tracker)
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
