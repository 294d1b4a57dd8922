"""Drawn clips through the real curation: draw, store, measure, judge. Kept in a folder, so that a second run is quick.

Clips are kept under the checksum of the code that draws them; measures are kept by the store itself, under the
checksums of the networks and the settings.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import cv2

from benchmarks.processes import spread
from pipelines.curation import CurateSettings, MeasureName
from pipelines.measuring.measure import Measured
from pipelines.measuring.measure_cache import UPSTREAM, Keys, measure_keys, missing_of, read_cached
from pipelines.measuring.video_measures import Video, VideoMeasurer, VideoResult
from pipelines.releases.select import judge
from pipelines.storage.store import Store
from stableanimator import synthetic
from stableanimator.perception.settings import FaceSettings, PerceptionSettings, PoseSettings
from stableanimator.synthetic.clips import KINDS, write_clip
from stableanimator.synthetic.render import file_names, render_folder
from stableanimator.synthetic.script import Clip, ClipSettings
from stableanimator.synthetic.truth import Truth, truth_path

FIRST_SEED = 5_000_000
"""Networks are trained on clips with seeds below 1,000,000."""
WEIGHTS = Path(synthetic.__file__).parent / "weights"
"""The networks trained on the drawn world."""

_MORE_OFTEN = (
    *("empty", "statue", "cut_short", "cut_inside", "roll", "zoom"),
    *("pan", "shake", "turn_away", "cut_sets", "empty", "statue"),
)
"""Kinds drawn more often than the rest, so that each rule has something to find."""
_SMALLER = ((224, 256), (256, 224))
"""Width and height of the clips that are too small for training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredClip:
    """A drawn clip, its truth, and what curation says of it."""

    clip: Clip
    path: Path
    """Of the mp4."""
    truth: Truth
    shots: list[dict[str, Any]]
    """Rows of VERDICTS, in the order of the video."""
    measures: dict[str, dict[str, dict[str, Any]]]
    """Rows by measure and shot_id."""


def unseen_clips(
    count: int, kinds: Sequence[str] = (*KINDS, *_MORE_OFTEN), seconds: tuple[float, float] = (3.0, 6.0)
) -> list[Clip]:
    """Scripts of `count` clips that no network was trained on, through `kinds` in turn; one in ten is too small a
    picture to train on.

    A clip depends on its number alone: the first 24 of 200 are the 24 of 24.
    """
    clips = []
    for number in range(count):
        width, height = _SMALLER[number // 10 % 2] if number % 10 == 9 else (256, 256)
        settings = ClipSettings(width=width, height=height, min_seconds=seconds[0], max_seconds=seconds[1])
        clips.append(write_clip(kinds[number % len(kinds)], FIRST_SEED + number, settings))
    return clips


def drawn_perception(weights: Path = WEIGHTS) -> PerceptionSettings:
    """The networks of a folder laid out as `WEIGHTS`, as jobs/configs/tiny.yaml uses them."""
    pose = weights / "dwpose"
    return PerceptionSettings(
        faces=FaceSettings(pack_root=str(weights / "insightface"), pack="drawn", detector_sizes=(320,)),
        pose=PoseSettings(detector=str(pose / "person_detector.onnx"), pose=str(pose / "pose.onnx")),
    )


def default_folder() -> Path:
    """Where clips are kept when nobody says where."""
    return Path(tempfile.gettempdir()) / "stableanimator-drawn"


def draw(clips: Sequence[Clip], folder: Path, workers: int) -> list[Path]:
    """The mp4 files of the clips, each with its truth beside it; draws those that the folder lacks."""
    homes = [folder / _drawing_code() / _name(clip) for clip in clips]
    # The tables are written last: with them a clip is complete.
    lacking = [one for one in zip(clips, homes, strict=True) if not (one[1] / "clips.csv").exists()]
    for _ in spread(_draw, lacking, "drawing clips", workers):
        pass
    return [home / file_names([clip])[0] for clip, home in zip(clips, homes, strict=True)]


def _draw(clip_and_home: tuple[Clip, Path]) -> None:
    cv2.setNumThreads(1)
    clip, home = clip_and_home
    render_folder(home, [clip])


def _name(clip: Clip) -> str:
    frames, settings = clip.frame_count, clip.settings
    return f"{clip.kind}_{clip.seed}_{settings.width}x{settings.height}_{frames}"


def _drawing_code() -> str:
    """Checksum of the modules that clips are drawn with."""
    world = Path(synthetic.__file__).parent
    sources = [source for room in ("", "figure", "scene") for source in sorted((world / room).glob("*.py"))]
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]


def measuring(measures: Collection[str]) -> CurateSettings:
    """Curation's settings with these measures, and those that they read, alone."""
    needed = {*measures, *(one for measure in measures for one in UPSTREAM[measure])}
    return CurateSettings(measures=tuple(name for name in get_args(MeasureName) if name in needed))


def measure(
    clips: Sequence[Clip],
    paths: Sequence[Path],
    folder: Path,
    perception: PerceptionSettings,
    settings: CurateSettings,
    workers: int,
) -> list[MeasuredClip]:
    """Run curation's shots, measures and rules on drawn clips.

    Raises:
        WeightsError: a network is missing or unusable.
        RuntimeError: a measure failed for another reason than the content of a clip.
    """
    store = Store(str(folder / "store"))
    videos, measured = measure_files(store, paths, settings, perception, workers)
    cached = measured.cached
    verdicts = sorted(judge(measured, settings), key=lambda row: int(row["start"]))
    rows = {name: {row["shot_id"]: row for row in table.to_pylist()} for name, table in cached.measures.items()}
    return [
        MeasuredClip(
            clip=clip,
            path=path,
            truth=Truth.load(truth_path(path)),
            shots=(shots := [row for row in verdicts if row["video_id"] == video.video_id]),
            measures={
                name: {shot["shot_id"]: of_measure[shot["shot_id"]] for shot in shots if shot["shot_id"] in of_measure}
                for name, of_measure in rows.items()
            },
        )
        for clip, path, video in zip(clips, paths, videos, strict=True)
    ]


def measure_files(
    store: Store, paths: Sequence[Path], settings: CurateSettings, perception: PerceptionSettings, workers: int
) -> tuple[list[Video], Measured]:
    """Store videos and measure what is missing of them; returns them in the order of their files, and all rows.

    Raises:
        WeightsError: a network is missing or unusable.
        RuntimeError: a measure failed for another reason than the content of a video.
    """
    keys, videos = measure_keys(settings, perception), []
    for path in paths:
        video_id, _ = store.put_media(path, path.suffix)
        videos.append(Video(video_id, path.suffix, path.stat().st_size))
    ids = [video.video_id for video in videos]
    missing = missing_of(read_cached(store, keys, ids), keys, ids)
    todo = [(video, missing[video.video_id]) for video in videos if video.video_id in missing]
    needed = sorted(set().union(*(lacking for _, lacking in todo)))
    prepare = partial(_open_measurer, store, settings, perception, keys, needed)
    for result in spread(_measure, todo, "measuring clips", workers, prepare):
        if result.failures:
            raise RuntimeError(f"measuring {result.video_id} failed: {result.failures[0]['detail']}")
    return videos, Measured(keys=keys, cached=read_cached(store, keys, ids), failures=[])


_measurers: list[VideoMeasurer] = []  # of this process


def _open_measurer(
    store: Store, settings: CurateSettings, perception: PerceptionSettings, keys: Keys, needed: list[str]
) -> None:
    _measurers[:] = [VideoMeasurer(store, settings, perception, keys, needed)]


def _measure(video_and_missing: tuple[Video, set[str]]) -> VideoResult:
    return _measurers[0].measure(*video_and_missing)
