"""Another threshold over ten thousand stored shots: how long the new release takes, with files cached and not.

Measured rows of made-up videos are written as an actor writes them, one part for each video and measure, with arrays as
large as those of the paper's networks, and merged as `jobs.curate` merges them. Then the rules are changed and the
release is made again: no video exists, so nothing could be decoded.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.harness import RESULTS, Figure, half_range, report
from pipelines.benchmark_sets.sets import make_benchmark
from pipelines.curation import CurateSettings
from pipelines.measures.shots import shot_rows
from pipelines.measuring.measure import Measured
from pipelines.measuring.measure_cache import Keys, missing_of, read_numbers
from pipelines.releases.select import make_release
from pipelines.releases.settings import SelectSettings
from pipelines.storage.compaction import settle
from pipelines.storage.store import Collection, Store
from pipelines.storage.tables import KEYPOINT_COUNT, MEASURES, SHOTS, SOURCES, THUMBNAILS

FPS = 8.0
FACE_WIDTH = 512  # of the released face encoder
KEYS = Keys(shots="s", thumbnails="t", measures=dict.fromkeys(MEASURES, "m"), weights={})


def write_measures(store: Store, videos: int, shots: int, frames: int, seed: int = 0) -> pa.Table:
    """Rows of `shots` shots in all, each with a person and a face in `frames` sampled frames. Returns SOURCES."""
    sources = []
    for number in range(videos):
        random = np.random.default_rng([seed, number])
        video_id = hashlib.sha256(f"{seed}:{number}".encode()).hexdigest()
        count = shots * (number + 1) // videos - shots * number // videos
        total = count * frames
        cuts = list(range(frames, total, frames))
        rows = shot_rows(video_id, cuts, total, FPS, 1080, 1920, np.arange(total) / FPS)
        store.write_part("shots", KEYS.shots, video_id, pa.Table.from_pylist(rows, schema=SHOTS))
        ids = [row["shot_id"] for row in rows]
        jpegs = [random.bytes(6000) for _ in ids]
        store.write_part("thumbnails", KEYS.thumbnails, video_id, pa.table([ids, jpegs], schema=THUMBNAILS))
        for measure in MEASURES:
            store.write_part(*KEYS.family(measure), video_id, _measure_rows(measure, ids, frames, random))
        row = {**dict.fromkeys(SOURCES.names), "source_uri": f"https://example.org/{number}.mp4", "status": "fetched"}
        sources.append({**row, "video_id": video_id, "extension": ".mp4", "bytes": 1})
    return pa.Table.from_pylist(sources, schema=SOURCES)


def _measure_rows(measure: str, ids: Sequence[str], frames: int, random: np.random.Generator) -> pa.Table:
    """One row for each shot, with numbers between 0 and 1, and one value, person or face in each frame."""
    schema, shots = MEASURES[measure], len(ids)
    columns: dict[str, Any] = {"shot_id": pa.array(ids), **dict.fromkeys(("error", "detail"), pa.nulls(shots))}
    index = np.concatenate([np.arange(frames) + frames * number for number in range(shots)])
    columns["frame_index"] = _lists(pa.array(index, pa.int32()), frames)
    columns["time"] = _lists(pa.array(index / FPS), frames)
    for field in schema:
        if field.name not in columns:
            scalar = field.type == pa.float64()
            values = pa.array(random.uniform(0, 1, shots)) if scalar else _per_frame(field, shots * frames, random)
            columns[field.name] = values if scalar else _lists(values, frames)
    return pa.table([columns[name] for name in schema.names], names=schema.names).cast(schema)


def _per_frame(field: pa.Field, frames: int, random: np.random.Generator) -> pa.Array:
    """One entry for each frame; one person in all of a video's, and hashes that nothing else has."""
    of_frame = field.type.value_type
    if field.name == "face_embedding":
        faces = random.normal(size=FACE_WIDTH) + 0.3 * random.normal(size=(frames, FACE_WIDTH))
        return _lists(pa.array(faces.astype(np.float32).ravel()), FACE_WIDTH)
    if field.name.endswith(("_hash", "_hashes")):
        cuts = of_frame.list_size if pa.types.is_fixed_size_list(of_frame) else 0
        hashes = pa.array(random.integers(2**64, size=frames * max(1, cuts), dtype=np.uint64))
        return pa.FixedSizeListArray.from_arrays(hashes, cuts) if cuts else hashes
    width = {"keypoints": KEYPOINT_COUNT * 3, "face_landmarks": 10}.get(field.name, 1)
    width = 4 if field.name.endswith("boxes") else width
    values = pa.array(random.uniform(0, 1000, frames * width).astype(np.float32))
    if not pa.types.is_list(of_frame):  # of the camera
        return values
    if pa.types.is_fixed_size_list(of_frame.value_type):
        return _lists(pa.FixedSizeListArray.from_arrays(values, width), 1)
    return _lists(values, width)


def _lists(values: pa.Array, length: int) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(np.arange(0, len(values) + 1, length, dtype=np.int32)), values)


def forget_files(folder: Path) -> None:
    """Take the files below a folder out of the machine's cache, as far as the system follows the advice."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def select(store: Store, sources: pa.Table, accepted: float) -> tuple[Collection, dict[str, float]]:
    """What `jobs.curate` does where nothing is missing, with a rule that lets this share pass. Seconds by step."""
    rules = {name: None for name in SelectSettings.__dataclass_fields__ if name.startswith(("min_", "max_"))}
    settings = CurateSettings(select=SelectSettings(**rules, heldout_share=0.02))  # type: ignore[arg-type]
    settings = replace(settings, select=replace(settings.select, min_face_score=1 - accepted))
    clock = [time.perf_counter()]
    videos = sources["video_id"].to_pylist()
    cached = read_numbers(store, KEYS, videos)
    assert not missing_of(cached, KEYS, videos)
    clock.append(time.perf_counter())
    release = make_release(store, sources, Measured(keys=KEYS, cached=cached, failures=[]), settings, {})
    clock.append(time.perf_counter())
    make_benchmark(release, settings.benchmark)
    clock.append(time.perf_counter())
    seconds = dict(zip(("numbers", "release", "benchmark"), np.diff(clock).tolist(), strict=True))
    return release, seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report. Returns 0, or 1 where the bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reselect", description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=5000)
    parser.add_argument("--shots", type=int, default=10_000)
    parser.add_argument("--frames", type=int, default=16, help="sampled frames of a shot")
    parser.add_argument("--accepted", type=float, default=0.5, help="share of the shots")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sa-reselect-") as folder:
        store = Store(folder)
        sources = write_measures(store, options.videos, options.shots, options.frames)
        loose = sum(1 for path in Path(folder).rglob("*.parquet") if path.is_file())
        _, before = select(store, sources, options.accepted)
        started = time.perf_counter()
        merges = settle(store, KEYS.families())
        settling = time.perf_counter() - started
        cold: list[float] = []
        warm: list[float] = []
        busy = time.process_time()
        for number in range(options.repeats):
            for seconds, share in ((cold, 0.001), (warm, 0.002)):
                if seconds is cold:
                    forget_files(Path(folder))
                release, steps = select(store, sources, options.accepted + share * (number + 1))
                seconds.append(sum(steps.values()))
                print({name: round(value, 2) for name, value in steps.items()}, flush=True)
        busy = (time.process_time() - busy) / (2 * options.repeats)
        size = sum(os.path.getsize(path) for path in release.files("frames"))
    merged = sum(merge.after for merge in merges)
    what = f"{options.shots} shots, {options.frames} frames each, {size / 1e6:.0f} MB of frames written"
    return report(
        "reselect",
        [
            Figure("re-select, warm", float(np.median(warm)), 5.0, "lower", "s", half_range(warm), what),
            Figure("re-select, cold", float(np.median(cold)), 5.0, "lower", "s", half_range(cold), "files not cached"),
            Figure("processor time", busy, None, "lower", "s", None, "of one re-select, over all cores"),
            Figure("before merging", sum(before.values()), None, "lower", "s", None, f"{loose} parts"),
            Figure("merging", settling, None, "lower", "s", None, f"once, to {merged} parts"),
        ],
        folder=RESULTS if options.shots >= parser.get_default("shots") else None,
    )


if __name__ == "__main__":
    sys.exit(main())
