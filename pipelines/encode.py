"""Release -> training shards: Ray actors hold the encoders, decode a video, and commit its rows.

The unit is one video. Its rows are one part of the family `shards`; when that part is written, the video's lines of
the report are committed as a part of the family `encode_report`, which names it. A video with a readable report is
done: a job that was stopped anywhere goes on with the rest, and one that is run again does nothing. The key of both
parts is a fingerprint of everything that rows depend on: settings, encoders, the video's clips and measured frames.

Pixels do not leave the actor that decoded them; what travels is a video's few rows of the release.
"""

from __future__ import annotations

import hashlib
import logging
import platform
import time
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray

from pipelines.actor_pool import require_resources, run_actors
from pipelines.encode_settings import EncodeSettings
from pipelines.shard_rows import encode_clip
from pipelines.store import Collection, Store, fingerprint, parquet_bytes
from pipelines.tables import ENCODE_REPORT, SHARDS
from stableanimator.errors import RowError
from stableanimator.models.encoders import Encoders, EncoderSettings
from stableanimator.video import VideoReader

log = logging.getLogger(__name__)

VERSION = 1
"""Raised by hand when the meaning of a shard row changes."""

_DONE = pa.schema(  # a report part: one row for each accepted shot of one video
    [
        *ENCODE_REPORT,
        ("path", pa.string()),  # of the video's shard part; null where no shot gave a row, as the next three
        ("sha256", pa.string()),
        ("split", pa.string()),
        ("bucket", pa.string()),
    ]
)


def encode_release(release: Collection, settings: EncodeSettings, encoder_settings: EncoderSettings) -> Collection:
    """Encode what is missing of a release and commit the collection `shards`.

    Its manifest lists the parts ({path, sha256, rows, split, bucket}), the release, the encoders and the counts; its
    table `report` has one row for each accepted shot. Equal inputs give an equal id.

    Raises:
        ConfigError: the cluster does not have what one actor reserves.
        WeightsError: the encoders cannot be loaded.
    """
    started = time.monotonic()
    require_resources("encode", settings.cpus_per_actor, settings.gpus_per_actor)
    encoders = ray.get(_encoder_fingerprint.options(num_cpus=settings.cpus_per_actor).remote(encoder_settings))
    store = release.store
    videos = _videos(release, settings, encoders)
    missing = [video for video in videos if _done(store, video["key"], video["video_id"]) is None]
    log.info("%d of %d videos are encoded already", len(videos) - len(missing), len(videos))
    _encode_missing(store, missing, settings, encoder_settings)
    done = [_done(store, video["key"], video["video_id"]) for video in videos]
    report = pa.concat_tables([_DONE.empty_table(), *(rows for rows in done if rows is not None)])
    return _commit(release, settings, encoders, report.sort_by("shot_id"), time.monotonic() - started)


@ray.remote
def _encoder_fingerprint(settings: EncoderSettings) -> str:
    """In a task, so that the driver does not keep the weights."""
    return Encoders(settings).fingerprint


def _videos(release: Collection, settings: EncodeSettings, encoders: str) -> list[dict[str, Any]]:
    """One item for each video with accepted clips: its rows of the release, and the key of what is made of them."""
    clips, frames = release.table("clips"), release.table("frames")
    content = {
        "version": VERSION,
        "encoders": encoders,
        **{name: getattr(settings, name) for name in _CONTENT},
    }
    videos = []
    for video_id in pc.unique(clips["video_id"]).sort().to_pylist():
        of_video = clips.filter(pc.field("video_id") == video_id)
        measured = frames.filter(pc.field("shot_id").isin(of_video["shot_id"]))
        clip_bytes, frame_bytes = parquet_bytes(of_video), parquet_bytes(measured)
        rows = [hashlib.sha256(data).hexdigest() for data in (clip_bytes, frame_bytes)]
        key = fingerprint({**content, "rows": rows})
        videos.append({"video_id": video_id, "key": key, "clips": of_video, "frames": measured})
    return videos


_CONTENT = ("buckets", "frames_per_row", "references", "max_people", "reference_noise")
"""The settings on which rows depend; the others say how they are made."""


def _encode_missing(
    store: Store, videos: list[dict[str, Any]], settings: EncodeSettings, encoder_settings: EncoderSettings
) -> None:
    done = run_actors(
        videos,
        EncodeVideo,
        (store.root, settings, encoder_settings),
        what="encoding videos",
        actors=settings.actors,
        cpus=settings.cpus_per_actor,
        gpus=settings.gpus_per_actor,
    )
    for _ in done:
        pass


class EncodeVideo:
    """An actor: holds the encoders, and turns the accepted clips of one video into committed rows."""

    def __init__(self, root: str, settings: EncodeSettings, encoder_settings: EncoderSettings) -> None:
        self.store = Store(root)
        self.settings = settings
        self.encoders = Encoders(encoder_settings).to(settings.device)

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """Commit the rows of an item of `_videos`, then its report. Returns what was done, for the progress bar."""
        clips, frames = item["clips"], item["frames"]
        rows: list[dict[str, Any]] = []
        report: list[dict[str, Any]] = []
        for clip in clips.to_pylist():
            try:
                made = self._clip(clip, frames.filter(pc.field("shot_id") == clip["shot_id"]))
            except RowError as error:
                made = []
                line = {"rows": 0, "reason": error.reason, "detail": error.detail}
            else:
                line = {"rows": len(made), "reason": None, "detail": None}
            report.append({"shot_id": clip["shot_id"], **line})
            rows += made
        part: dict[str, Any] = {}
        if rows:
            written = self.store.write_part(
                "shards", item["key"], item["video_id"], pa.Table.from_pylist(rows, schema=SHARDS)
            )
            part = {"path": written["path"], "sha256": written["sha256"]}
            # A video has one size and one split, so its part has one bucket and one split too.
            part |= {"split": rows[0]["split"], "bucket": rows[0]["bucket"]}
        done = pa.Table.from_pylist([line | part for line in report], schema=_DONE)
        self.store.write_part("encode_report", item["key"], item["video_id"], done)
        return {"video_id": item["video_id"], "rows": len(rows)}

    def _clip(self, clip: dict[str, Any], frames: pa.Table) -> list[dict[str, Any]]:
        # Opened for each clip: a reader that met a damaged frame is not trusted with the next shot.
        with VideoReader(self.store.local_file(clip["media"])) as video:
            return encode_clip(clip, frames, video, self.encoders, self.settings)


def _done(store: Store, key: str, video_id: str) -> pa.Table | None:
    """The report of a video that is encoded, or None. Where two runs made one, the first by name counts."""
    for path in store.part_paths("encode_report", key, video_id):
        report = store.read_part(path)
        if report is None:
            continue
        shards = {shard for shard in report["path"].to_pylist() if shard is not None}
        if all(store.exists(shard) for shard in shards):
            return report.cast(_DONE)
    return None


def _commit(
    release: Collection, settings: EncodeSettings, encoders: str, report: pa.Table, seconds: float
) -> Collection:
    parts: dict[str, dict[str, Any]] = {}
    for line in report.to_pylist():
        if line["path"] is not None:
            part = parts.setdefault(line["path"], {name: line[name] for name in ("path", "sha256", "split", "bucket")})
            part["rows"] = part.get("rows", 0) + line["rows"]
    reasons = pc.value_counts(report["reason"].drop_null()).to_pylist()
    content = {
        "release": release.id,
        "settings": {name: value for name, value in asdict(settings).items() if name in _CONTENT},
        "encoders": encoders,
        "version": VERSION,
        "parts": [parts[path] for path in sorted(parts)],
        "counts": {
            "clips": report.num_rows,
            "encoded": report.num_rows - report["reason"].drop_null().length(),
            "rows": pc.sum(report["rows"]).as_py() or 0,
            "reasons": {each["values"]: each["counts"] for each in reasons},
        },
    }
    build = {"seconds": seconds, "host": platform.node()}
    return release.store.commit(
        "shards", content=content, tables={"report": report.select(ENCODE_REPORT.names)}, build=build
    )
