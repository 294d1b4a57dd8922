"""The ways of curating that `benchmarks.curate` compares. Each runs in a process of its own (`in_new_process`).

- `run_ray`     ours: pipelines.measuring.measure on a local Ray, two actors
- `run_pool`    the same functions in multiprocessing.Pool(2)
- `run_public`  what people do by hand: sampled frames to PNG files, then the networks file by file, in one process
- `run_bare`    decoding and networks with nothing around them, in one process, on squares as the public workflow shows
                them to the face detector, or on the smaller inputs that ours does
- `run_memory`  one video in one process, for its peak memory
"""

from __future__ import annotations

import logging
import multiprocessing
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.curation import CurateSettings
from pipelines.measures.people import keep_people
from pipelines.measuring.bad_video_cap import BadVideoCap
from pipelines.measuring.measure_cache import Keys, measure_keys, missing_of, read_cached, read_numbers
from pipelines.measuring.shot_run import VideoResult
from pipelines.measuring.video_measures import Video, VideoMeasurer
from pipelines.storage.compaction import settle
from pipelines.storage.store import Store, media_path
from stableanimator.media.video import VideoReader
from stableanimator.paths import local_path
from stableanimator.perception.settings import PerceptionSettings

Result = TypeVar("Result")
Samples = Mapping[str, list[int]]
"""Sampled frames by video_id."""

_LOOK_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What a variant is given."""

    root: str
    """Of a store with the media and no measures."""
    videos: list[Video]
    settings: CurateSettings
    perception: PerceptionSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a variant took, in seconds."""

    whole: float
    """From a fresh process with its libraries imported to the last result."""
    work: float = 0.0
    """Without loading models; 0 where processes overlap and it cannot be told."""
    steps: dict[str, float] = field(default_factory=dict)
    """Parts of the work."""
    megabytes: float = 0.0
    """Peak resident memory of the process."""


def in_new_process(variant: Callable[..., Result], *arguments: Any) -> Result:
    """Run a variant in a fresh interpreter: nothing that another one loaded or cached is there."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(variant, *arguments).result()


def run_ray(work: Work) -> Outcome:
    """Ours, as jobs.curate does it, on a local Ray that is started for it."""
    import ray

    from pipelines.measuring.measure import measure_videos

    started = time.perf_counter()
    ray.init("local", num_cpus=work.settings.actors, logging_level=logging.WARNING, log_to_driver=False)
    measured = measure_videos(Store(work.root), work.videos, work.settings, work.perception)
    ray.shutdown()
    _require_all(work, measured.failures, measured.videos_now)
    return Outcome(whole=time.perf_counter() - started, steps=measured.seconds)


def run_pool(work: Work) -> Outcome:
    """The same work on the same videos in the same order, by the standard library's pool of processes."""
    started = time.perf_counter()
    keys = measure_keys(work.settings, work.perception)
    cached = read_numbers(Store(work.root), keys, [video.video_id for video in work.videos])
    missing = missing_of(cached, keys, [video.video_id for video in work.videos])
    todo = BadVideoCap(work.settings, len(work.videos)).order(work.videos)
    with multiprocessing.get_context("fork").Pool(work.settings.actors, _load, (work, keys)) as pool:
        results = list(pool.imap_unordered(_measure, [(video, missing[video.video_id]) for video in todo]))
    settle(Store(work.root), keys.families())
    read_numbers(Store(work.root), keys, [video.video_id for video in work.videos])
    _require_all(work, [failure for result in results for failure in result.failures], len(results))
    return Outcome(whole=time.perf_counter() - started)


_measurer: VideoMeasurer  # of a process of the pool


def _load(work: Work, keys: Keys) -> None:
    global _measurer
    needed = ["shots", *keys.measures, "thumbnails"]
    _measurer = VideoMeasurer(Store(work.root), work.settings, work.perception, keys, needed)


def _measure(task: tuple[Video, set[str]]) -> VideoResult:
    return _measurer.measure(*task)


def _require_all(work: Work, failures: list[dict[str, str]], videos: int) -> None:
    """A variant that fails is fast, and no measurement."""
    if failures or videos != len(work.videos):
        raise RuntimeError(f"{videos} of {len(work.videos)} videos measured; {failures[:1]}")


def run_public(work: Work, samples: Samples, threads: int) -> Outcome:
    """The workflow that StableAnimator and its peers describe, in one process and without a pass too many.

    First every sampled frame is decoded (OpenCV, one thread) and written as a PNG. Then each PNG is read once,
    InsightFace detects and recognises faces, YOLOX detects people, and the pose network looks at each of them. What
    is found is kept. The scripts that people have read the files twice and with a slower PNG writer.

    Args:
        threads: of each ONNX session; 0 for onnxruntime's choice, one for each core.
    """
    from insightface.app import FaceAnalysis

    from stableanimator.perception.dwpose import PersonDetector, WholeBodyPose
    from stableanimator.perception.onnx_session import session_options

    # InsightFace calls scikit-image by a deprecated name.
    warnings.filterwarnings("ignore", message=".estimate. is deprecated", category=FutureWarning)
    began = time.perf_counter()
    cv2.setNumThreads(1)
    faces = work.perception.faces
    analysis = FaceAnalysis(
        str(local_path(faces.pack_root) / "models" / faces.pack),
        allowed_modules=["detection", "recognition"],
        providers=["CPUExecutionProvider"],
        sess_options=session_options(threads),
    )
    analysis.prepare(ctx_id=0, det_thresh=faces.min_score, det_size=[(side, side) for side in faces.detector_sizes])
    detector = PersonDetector.from_settings(work.perception.pose, threads)
    pose = WholeBodyPose.from_settings(work.perception.pose, threads)
    started = time.perf_counter()
    found = []
    with tempfile.TemporaryDirectory(dir=work.root) as folder:
        for video in work.videos:
            _write_pngs(_path(work, video), samples[video.video_id], Path(folder) / video.video_id)
        written = time.perf_counter()
        for path in sorted(Path(folder).rglob("*.png")):
            bgr = np.asarray(cv2.imread(str(path)), np.uint8)
            image = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
            boxes, _ = detector(image)
            found.append((analysis.get(bgr), boxes, pose(image, boxes)))
    ended = time.perf_counter()
    steps = {"png": written - started, "networks": ended - written}
    return Outcome(whole=ended - began, work=ended - started, steps=steps)


def _write_pngs(video: str, wanted: list[int], folder: Path) -> None:
    folder.mkdir()
    frames = set(wanted)
    capture = cv2.VideoCapture(video, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    for index in range(max(frames) + 1):
        if not capture.grab():
            raise RuntimeError(f"{video}: OpenCV ends before frame {index}")
        if index in frames:
            cv2.imwrite(str(folder / f"{index:06d}.png"), capture.retrieve()[1])
    capture.release()


def run_bare(work: Work, samples: Samples, square: bool) -> Outcome:
    """One decode of every frame, and the networks on the sampled ones, timed alone, in one process.

    Args:
        square: the face detector gets the picture padded to a square, as InsightFace pads it.
    """
    from stableanimator.perception.dwpose import PersonDetector, WholeBodyPose
    from stableanimator.perception.faces import FaceAnalyser

    began = time.perf_counter()
    cv2.setNumThreads(1)
    analyser = FaceAnalyser(work.perception.faces, work.perception.threads)
    detector = PersonDetector.from_settings(work.perception.pose, work.perception.threads)
    pose = WholeBodyPose.from_settings(work.perception.pose, work.perception.threads)
    started = time.perf_counter()
    networks = 0.0
    for video in work.videos:
        wanted = set(samples[video.video_id])
        with VideoReader(_path(work, video)) as reader:
            for index, image in reader.frames(range(reader.info.frame_count)):
                if index in wanted:
                    padded = _padded(image) if square else image
                    before = time.perf_counter()
                    analyser(padded)
                    boxes, _ = keep_people(*detector(image), work.settings.people)
                    pose(image, boxes)
                    networks += time.perf_counter() - before
    ended = time.perf_counter()
    steps = {"decode": ended - started - networks, "networks": networks}
    return Outcome(whole=ended - began, work=ended - started, steps=steps)


def _padded(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """With black on the right and below, so that height and width are the same."""
    height, width = image.shape[:2]
    side = max(height, width)
    return np.asarray(cv2.copyMakeBorder(image, 0, side - height, 0, side - width, cv2.BORDER_CONSTANT), np.uint8)


def run_memory(work: Work) -> Outcome:
    """What an actor does with the videos, in this process."""
    started = time.perf_counter()
    keys = measure_keys(work.settings, work.perception)
    needed = ["shots", *keys.measures, "thumbnails"]
    measurer = VideoMeasurer(Store(work.root), work.settings, work.perception, keys, needed)
    results = [measurer.measure(video, needed) for video in work.videos]
    _require_all(work, [failure for result in results for failure in result.failures], len(results))
    return Outcome(whole=time.perf_counter() - started, megabytes=peak_megabytes())


def peak_megabytes() -> float:
    """Largest resident memory of this process. getrusage would also count that of the process which started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


def _path(work: Work, video: Video) -> str:
    path = Store(work.root).local_path(media_path(video.video_id, video.extension))
    assert path is not None  # its root is a folder
    return path


def sampled_frames(work: Work) -> dict[str, list[int]]:
    """The frames that ours looked at, by video; after a run."""
    keys = measure_keys(work.settings, work.perception)
    people = read_cached(Store(work.root), keys, [video.video_id for video in work.videos]).measures["people"]
    frames: dict[str, list[int]] = {}
    for row in people.select(["shot_id", "frame_index"]).to_pylist():
        frames.setdefault(row["shot_id"].split(":")[0], []).extend(row["frame_index"])
    return frames


@dataclass(frozen=True, kw_only=True, slots=True)
class Steady:
    """The part of a run in which all workers are at work."""

    seconds: float
    frames: int

    @property
    def seconds_per_frame(self) -> float:
        return self.seconds / self.frames


@contextmanager
def end_times(work: Work) -> Iterator[dict[str, float]]:
    """While it is open, notes when each video's rows appear in the store: seconds by video_id."""
    ended: dict[str, float] = {}
    wanted = {video.video_id for video in work.videos}
    closed = threading.Event()

    def look() -> None:
        while not closed.wait(_LOOK_SECONDS):
            now = time.perf_counter()
            for folder in Path(work.root).glob("parts/shots/*/*"):
                if folder.name in wanted:
                    ended.setdefault(folder.name, now)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield ended
    finally:
        closed.set()
        watcher.join()


def steady_state(work: Work, ended: Mapping[str, float], samples: Samples) -> Steady:
    """From when every worker must have ended its second video to when the first of them runs out of videos.

    Args:
        ended: of `end_times`. The last videos may be missing, where their rows were merged before anyone looked.
    """
    order = sorted(ended, key=lambda video_id: ended[video_id])
    workers = work.settings.actors
    inside = order[2 * workers : len(work.videos) - workers + 1]
    if len(inside) != len(work.videos) - 3 * workers + 1:
        raise RuntimeError(f"the end of {len(ended)} of {len(work.videos)} videos was seen")
    return Steady(
        seconds=ended[inside[-1]] - ended[order[2 * workers - 1]],
        frames=sum(len(samples[video_id]) for video_id in inside),
    )
