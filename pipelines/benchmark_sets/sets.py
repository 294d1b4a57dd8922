"""Benchmark sets: pairs of a reference picture and a driving video, with the truth, from held-out clips.

Self-driven, as the papers' MisAlign100 and Unseen100: the reference is a frame with a face of the clip that drives, so
the true frames are known. For MisAlign100 the driven poses are rotated, scaled and moved at random; for Unseen100 not.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.benchmark_sets.self_driven import ALIGNED, draw_of, drawn_among, misaligned, pair_row
from pipelines.benchmark_sets.settings import BenchmarkSettings
from pipelines.storage.pair_tables import PAIRS
from pipelines.storage.store import Collection

log = logging.getLogger(__name__)


def make_benchmark(release: Collection, settings: BenchmarkSettings) -> Collection:
    """Commit a collection `benchmarks` with a table `pairs`, possibly empty, made from a release.

    Its manifest names the release, the settings, and the held-out clips that have no frame with a face.
    """
    clips = release.table("clips").filter(pc.field("split") == "heldout").to_pylist()
    faces = _frames_with_face(release, [clip["shot_id"] for clip in clips])
    usable = [clip for clip in clips if clip["shot_id"] in faces]
    rows = [
        _pair(clip, faces[clip["shot_id"]], number, settings)
        for number in range(settings.pairs_per_clip)
        for clip in usable
    ][: settings.pairs]
    if not clips:
        log.warning("the release has no held-out clip, so the benchmark set is empty; raise select.heldout_share")
    elif len(rows) < settings.pairs:
        log.info("%d held-out clips with a face give %d of %d pairs", len(usable), len(rows), settings.pairs)
    return release.store.commit(
        "benchmarks",
        content={
            "release": release.id,
            "settings": asdict(settings),
            "heldout_clips": len(clips),
            "clips_without_face": sorted(clip["shot_id"] for clip in clips if clip["shot_id"] not in faces),
        },
        tables={"pairs": pa.Table.from_pylist(rows, schema=PAIRS)},
        build={},
    )


def _frames_with_face(release: Collection, shots: list[str]) -> dict[str, list[int]]:
    """Frames with a face by shot, of these shots."""
    found: dict[str, list[int]] = {}
    wanted = pc.field("shot_id").isin(pa.array(shots, pa.string()))
    for frames in release.batches("frames", ["shot_id", "frame_index", "face_boxes"]) if shots else ():
        with_face = frames.filter(wanted & (pc.list_value_length(pc.field("face_boxes")) > 0))
        for shot, frame in zip(*(with_face[name].to_pylist() for name in ("shot_id", "frame_index")), strict=True):
            found.setdefault(shot, []).append(frame)
    return found


def _pair(clip: Mapping[str, Any], faces: list[int], number: int, settings: BenchmarkSettings) -> dict[str, Any]:
    draw = draw_of(settings.seed, clip["shot_id"], number)
    reference = faces[drawn_among(len(faces), draw)]
    moved = misaligned(settings.misalignment, draw) if settings.misaligned else ALIGNED
    length = max(1, round(settings.seconds * clip["fps"]))
    span = clip["start"], min(clip["end"], clip["start"] + length)
    pair_id = f"{clip['video_id'][:12]}-{clip['start']}-{clip['end']}-{number}"
    row = pair_row(pair_id, clip["media"], reference, span, moved, draw)
    return row | {"licence": clip["licence"], "consent": clip["consent"]}
