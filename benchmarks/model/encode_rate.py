"""How fast encode is beside a loop that does nothing but decode and encode, and what a long video takes in memory.

Called by a benchmark of the models: `figures(work, quick)`. Clips are drawn; the encoders have random weights and are
narrow, yet wide enough for the size of the pictures that encoding is the work, as it is at full size.
"""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import torch

from benchmarks.curate.variants import in_new_process, peak_megabytes
from benchmarks.curate.world import endless_clip, filled_store
from benchmarks.drawn import clips as drawn_clips
from benchmarks.harness import Figure, ratio
from pipelines.releases import select
from pipelines.shards.encode import EncodeVideo, encode_release
from pipelines.shards.settings import EncodeSettings
from pipelines.shards.videos import videos_of
from pipelines.storage.inputs import Inputs
from pipelines.storage.store import Collection, Store, media_path
from pipelines.storage.tables import CLIPS, FRAMES, KEYPOINT_COUNT
from stableanimator.media.tensors import to_tensor
from stableanimator.media.video import VideoReader
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import CLIPSettings, EncoderSettings, VAESettings

_CLIP = CLIPSettings(
    hidden_size=32, intermediate_size=64, layers=1, heads=2, image_size=32, patch_size=8, projection_dim=32
)
ENCODERS = EncoderSettings(vae=VAESettings(block_out_channels=(32, 64, 64, 64), layers_per_block=1), clip=_CLIP)
NARROW = EncoderSettings(vae=VAESettings(block_out_channels=(32, 32, 32, 32), layers_per_block=1), clip=_CLIP)
"""For memory: what matters is how many frames there are."""
SETTINGS = EncodeSettings(buckets=((128, 128),), frames_per_row=8, gpus_per_actor=0, sheet_rows=0, free_gib=0.0)
_RATIOS = (("one", "plain"), ("two", "plain"), ("two", "one"))
SAMPLE_FPS = 8.0
"""Measured frames a second."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How much is measured."""

    repeats: int
    clip_seconds: float
    videos: int
    long_seconds: tuple[float, float]


FULL = Size(repeats=3, clip_seconds=8.0, videos=12, long_seconds=(60.0, 600.0))
QUICK = Size(repeats=1, clip_seconds=1.0, videos=4, long_seconds=(2.0, 4.0))


def figures(work: Path, quick: bool) -> list[Figure]:
    """Throughput of one actor and of two, and memory. `work` is an empty folder, or one of an earlier call."""
    size = QUICK if quick else FULL
    drawn = drawn_clips.draw(drawn_clips.unseen_clips(1, ("dance",), (4.0, 6.0)), work / "drawn", workers=1)[0]
    return [*_throughput(drawn, work, size), _memory(drawn, work, size)]


def _throughput(drawn: Path, work: Path, size: Size) -> list[Figure]:
    """Frames a second by turns: a plain loop, one actor, two actors; each in a process of its own."""
    clip = endless_clip(drawn, work / "clip.mp4", size.clip_seconds)
    rates: dict[str, list[float]] = {"plain": [], "one": [], "two": []}
    variants = {"plain": (plain_rate, 1), "one": (actor_rate, 1), "two": (actor_rate, 2)}
    for turn in range(size.repeats):
        names = list(variants)
        for name in names[turn % 3 :] + names[: turn % 3]:
            root = _new_folder(work / name)
            _release(root, clip, size.videos)
            variant, actors = variants[name]
            rates[name].append(in_new_process(variant, str(root), actors))
            print(f"  {name}: {rates[name][-1]:.1f} frames a second", flush=True)
    note = f"{size.videos} drawn videos of {size.clip_seconds:g} s at 128x128; once each actor has ended a video"
    one, two, more = (ratio(rates[over], rates[under]) for over, under in _RATIOS)
    return [
        Figure("encode throughput over a plain loop, one actor", one[0], 0.9, "higher", spread=one[1],
               note=f"{note}; loop and job on one core; the loop decodes and encodes the same, and writes nothing"),
        Figure("encode throughput over a plain loop, two actors", two[0], 1.7, "higher", spread=two[1],
               note=f"{note}; the job on two cores"),
        Figure("encode throughput, two actors over one", more[0], None, "higher", spread=more[1], note=note),
    ]  # fmt: skip


def _memory(drawn: Path, work: Path, size: Size) -> Figure:
    peaks = []
    for seconds in size.long_seconds:
        clip = endless_clip(drawn, work / f"{seconds:g}s.mp4", seconds)
        root = _new_folder(work / f"{seconds:g}s")
        (rows,) = videos_of(_release(root, clip, 1), SETTINGS)
        item = pickle.dumps({"key": "memory", "rows": rows})
        peaks.append(in_new_process(peak_of_an_actor, str(root), item))
    (short, long), (first, second) = peaks, size.long_seconds
    return Figure(f"peak memory of encode, {second:g} s video over {first:g} s video", long / short, 1.2, "lower",
                  note=f"{long:.0f} over {short:.0f} MiB; one shot, one stride, 64x64")  # fmt: skip


def _new_folder(path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    return path


def _release(root: Path, clip: Path, copies: int) -> Collection:
    """A release of so many videos that are one shot each, whose person stands still: truth does not matter here."""
    store, videos = filled_store(root, [clip], copies)
    with VideoReader(clip) as video:
        info = video.info
    step = max(1, round(info.fps / SAMPLE_FPS))
    random = np.random.default_rng(0)
    pose = np.concatenate([random.uniform(40, 200, (KEYPOINT_COUNT, 2)), np.ones((KEYPOINT_COUNT, 1))], 1)
    person = {
        "keypoints": [pose.astype(np.float32).ravel()],
        "face_boxes": [[100.0, 60.0, 140.0, 110.0]],
        "face_embedding": np.ones(512, np.float32) / np.sqrt(512, dtype=np.float32),
    }
    clips, frames = [], []
    for each in videos:
        shot = f"{each.video_id}:0-{info.frame_count}"
        size = {"width": info.width, "height": info.height, "start": 0, "end": info.frame_count, "fps": info.fps}
        where = {"video_id": each.video_id, "media": media_path(each.video_id, each.extension), "split": "train"}
        clips.append({"shot_id": shot, **size, **where})
        frames += [
            {"shot_id": shot, "frame_index": index, "time": index / info.fps, **person}
            for index in range(0, info.frame_count, step)
        ]
    tables = {
        "clips": pa.Table.from_pylist(clips, schema=CLIPS),
        "frames": pa.Table.from_pylist(frames, schema=FRAMES),
    }
    return store.commit("releases", content={"version": select.VERSION}, tables=tables, build={})


def plain_rate(root: str, actors: int) -> float:
    """Frames a second of a loop in this process: what an actor decodes, in its batches through its encoders."""
    _keep_to_cores(actors)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    store, encoders, count = Store(root), Encoders(ENCODERS), 0
    started = 0.0
    for number, rows in enumerate(videos_of(store.open("releases"), SETTINGS)):
        if number == 1:  # the first one warms up
            started = time.perf_counter()
        (plan,) = rows.plans(SETTINGS)
        (crop,), indices = plan.crops, [frame.index for frame in plan.measured]
        references = {each.frame.index for each in crop.candidates}
        with Inputs(store).opened(plan.clip["media"]) as local, VideoReader(local) as video:
            for window, read in video.windows(indices, SETTINGS.batch):
                pictures = to_tensor(crop.framing.pictures(read))
                encoders.encode(pictures)
                for place in np.flatnonzero(np.isin(window, list(references))):
                    encoders.encode(pictures[place][None])
                    encoders.embed(pictures[place][None])
        count += len(indices) if number else 0
    return count / (time.perf_counter() - started)


def actor_rate(root: str, actors: int) -> float:
    """Frames a second of `actors` on a local Ray that has as many cores, once each of them has ended a video."""
    import ray

    _keep_to_cores(actors)
    ray.init("local", num_cpus=actors, logging_level=logging.WARNING, log_to_driver=False)
    shards = encode_release(Store(root).open("releases"), replace(SETTINGS, actors=actors), ENCODERS)
    ray.shutdown()
    ended = sorted(path.stat().st_mtime for path in Path(root, "parts", "encode_report").rglob("*.parquet"))
    release = Store(root).open("releases")
    frames = release.manifest["tables"]["frames"]["rows"] / len(ended)
    assert shards.manifest["counts"]["encoded"] == len(ended)
    return frames * (len(ended) - actors) / (ended[-1] - ended[actors - 1])


def _keep_to_cores(count: int) -> None:
    """For this process and all that it starts."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def peak_of_an_actor(root: str, item: bytes) -> float:
    """Largest resident memory of this process in MiB when it does what an actor does with a video."""
    torch.set_num_threads(1)
    settings = replace(SETTINGS, buckets=((64, 64),))
    encode = EncodeVideo(root, settings, NARROW)
    assert encode(pickle.loads(item))["rows"]
    return peak_megabytes()
