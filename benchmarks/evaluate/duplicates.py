"""Near-duplicates: `python -m benchmarks.evaluate --parts duplicates`. Copies of every other of 200 drawn videos.

Each is made in one of four ways: encoded again at a low quality, cropped by 5 % (at a random place: up to all of it
at one side), mirrored, trimmed by a third. The rule should reject one of each pair, and no other video.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.drawn.clips import default_folder
from benchmarks.evaluate.drawn_people import JUDGED_ON, drawn_videos, measured_files, release_of, settings_of
from benchmarks.harness import Figure
from benchmarks.processes import spread
from pipelines.storage.store import Store
from stableanimator.media.video import VideoReader, write_mp4

Image = NDArray[np.uint8]
Frames = list[Image]


def encoded_again(frames: Frames, generator: np.random.Generator) -> Frames:
    """The frames as they are: `_QUALITY` does it."""
    return frames


def cropped(frames: Frames, generator: np.random.Generator) -> Frames:
    """Without 5 % of the height and of the width."""
    height, width = frames[0].shape[:2]
    kept = round(0.95 * height / 2) * 2, round(0.95 * width / 2) * 2
    top, left = (int(generator.integers(size - part + 1)) for size, part in zip((height, width), kept, strict=True))
    return [frame[top : top + kept[0], left : left + kept[1]] for frame in frames]


def mirrored(frames: Frames, generator: np.random.Generator) -> Frames:
    """Left for right."""
    return [frame[:, ::-1] for frame in frames]


def trimmed(frames: Frames, generator: np.random.Generator) -> Frames:
    """Two thirds of the frames, from a random one on."""
    start = int(generator.integers(len(frames) // 3 + 1))
    return frames[start : start + len(frames) - len(frames) // 3]


Way = Callable[[Frames, np.random.Generator], Frames]

WAYS: tuple[Way, ...] = (encoded_again, cropped, mirrored, trimmed)
_QUALITY: dict[Way, int] = {encoded_again: 34}
"""x264's crf of a copy; 23 is what people use."""


def figures(arguments: argparse.Namespace) -> list[Figure]:
    """On the judged seed."""
    return duplicate_figures(default_folder(), arguments.workers)


def duplicate_figures(folder: Path, workers: int, seed: int = JUDGED_ON) -> list[Figure]:
    """Recall by way of copying and over all, and precision of the pairs that are called copies.

    Args:
        folder: drawn videos are kept there.
    """
    paths = [one.path for one in drawn_videos(seed, folder, workers)]
    with tempfile.TemporaryDirectory(prefix="sa-copies-") as root:
        jobs = [(path, number, WAYS[number % len(WAYS)], Path(root), seed) for number, path in enumerate(paths[::2])]
        copies = list(spread(_copy, jobs, "copying videos", workers))
        store, settings = Store(f"{root}/store"), settings_of()
        videos, measured = measured_files(store, [*paths, *copies], settings, workers)
        verdicts = release_of(store, videos, measured, settings).table("verdicts").to_pylist()
    ids = [video.video_id for video in videos]
    true = {frozenset((ids[2 * job[1]], ids[len(paths) + job[1]])): job[2].__name__ for job in jobs}
    rejected = [row for row in verdicts if row["verdict"] == "reject"]
    told = {frozenset((row["video_id"], row["near_duplicate_of"].partition(":")[0])) for row in rejected}
    return list(_figures(true, told))


def _figures(true: dict[frozenset[str], str], told: set[frozenset[str]]) -> Iterator[Figure]:
    for way in WAYS:
        of_way = {pair for pair, name in true.items() if name == way.__name__}
        yield Figure(f"recall of copies that are {way.__name__.replace('_', ' ')}", len(of_way & told) / len(of_way),
                     None, "higher", note=f"{len(of_way)} copies")  # fmt: skip
    found = len(told & set(true))
    yield Figure("recall of near-duplicates", found / len(true), 0.95, "higher", note=f"{len(true)} copies")
    yield Figure("precision of near-duplicates", found / max(1, len(told)), 0.95, "higher", note=f"{len(told)} told")


def _copy(job: tuple[Path, int, Way, Path, int]) -> Path:
    path, number, way, folder, seed = job
    with VideoReader(path) as video:
        frames = [frame for _, frame in video.frames(range(video.info.frame_count))]
        fps = video.info.fps
    made = [np.ascontiguousarray(frame) for frame in way(frames, np.random.default_rng([seed, number]))]
    target = folder / f"{number:03d}_{way.__name__}.mp4"
    write_mp4(target, made, fps, crf=_QUALITY.get(way, 23))
    return target
