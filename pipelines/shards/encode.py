"""Release -> training shards: Ray actors hold the encoders, decode a video, and commit its rows.

The unit is one video. Its rows are parts of the family `shards`, one for each bucket, with a row group for each row;
when they are written, the video's lines of the report are committed as a part of the family `encode_report`, which
names them. A video with a readable report is done: a job that was stopped anywhere goes on with the rest, and one that
is run again does nothing. The key of all parts is a fingerprint of everything that
rows depend on: settings, encoders, clips and measured frames of the video, and those of clips that lend it references.

Pixels do not leave the actor that decoded them; what travels is a video's few rows of the release.
"""

from __future__ import annotations

import contextlib
import logging
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import cv2
import pyarrow as pa
import pyarrow.compute as pc
import ray

from pipelines import telemetry
from pipelines.actor_pool import require_resources, run_actors
from pipelines.progress import track
from pipelines.releases import select
from pipelines.shards.encode_plan import (
    Amount,
    amount_of,
    encoder_fingerprint,
    encoder_shapes,
    known_fingerprint,
    require_space,
)
from pipelines.shards.latent_spool import LatentSpool
from pipelines.shards.plan import ClipPlan, lost_line
from pipelines.shards.rows import EncodedClip, EncodedCrop, encode_clip
from pipelines.shards.settings import VERSION, EncodeSettings
from pipelines.shards.sheet import NAME, draw_sheet, spread_lines
from pipelines.shards.videos import VideoRows, videos_of
from pipelines.storage.inputs import Inputs
from pipelines.storage.parquet_files import stream_parquet
from pipelines.storage.store import Collection, Store, fingerprint
from pipelines.storage.tables import ENCODE_REPORT, SHARDS
from stableanimator.errors import GoneError, InputError, RowError
from stableanimator.media.video import VideoReader
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import EncoderSettings

log = logging.getLogger(__name__)


_DONE = pa.schema(  # a report part: one row for each accepted shot of one video, crop and stride
    [
        *ENCODE_REPORT,
        ("path", pa.string()),  # of the shard part; null where there is no row, as the next three
        ("sha256", pa.string()),
        ("split", pa.string()),
        ("bucket", pa.string()),
    ]
)


def encode_release(release: Collection, settings: EncodeSettings, encoder_settings: EncoderSettings) -> Collection:
    """Encode what is missing of a release and commit the collection `shards`.

    Its manifest lists the parts ({path, sha256, rows, split, bucket}), the release, the encoders, the counts, and the
    frame rates ({split, stride, rows, fps}; fps is the median of these rows, frames a second); its table `report` has
    one row for each accepted shot, crop and stride; `contact_sheet.jpg` beside it shows some rows.
    Equal inputs give an equal id.

    Raises:
        InputError: the release was made by another version of curate.
        ConfigError: the cluster does not have what one actor reserves.
        WeightsError: the encoders cannot be loaded.
        StorageError: the root's disk has no room for what would be written, or is full all the same.
    """
    started = time.monotonic()
    if release.manifest.get("version") != select.VERSION:
        raise InputError(f"{release.uri} was made by another version of curate; run curate again")
    require_resources("encode", settings.cpus_per_actor, settings.gpus_per_actor, labels=settings.node_labels)
    store = release.store
    task = _encoder_fingerprint.options(num_cpus=settings.cpus_per_actor, label_selector=settings.node_labels or None)
    encoders = encoder_fingerprint(store, encoder_settings, lambda: str(ray.get(task.remote(encoder_settings))))
    videos = _videos(release, settings, encoders)
    done = _done(store, videos)
    missing = [video for video, rows in zip(videos, done, strict=True) if rows is None]
    log.info("%d of %d videos are encoded already", len(videos) - len(missing), len(videos))
    lost = _encode_missing(store, missing, settings, encoder_settings)
    reports = [rows for rows in [*done, *_done(store, missing)] if rows is not None]
    report = pa.concat_tables([_DONE.empty_table(), *reports, lost])
    report = report.sort_by([(name, "ascending") for name in ("shot_id", "crop", "stride")])
    files = _contact_sheet(store, [video["rows"] for video in videos], report, settings, encoder_settings)
    return _commit(release, settings, encoders, report, files, time.monotonic() - started)


def missing_amount(
    release: Collection, store: Store, settings: EncodeSettings, encoder_settings: EncoderSettings
) -> tuple[Amount, Amount | None, int]:
    """What a whole release gives, what of it `store` lacks, and of how many videos; None and 0 where nobody has
    computed the encoders' fingerprint yet, so that nobody knows. Needs no Ray.

    Raises:
        WeightsError: the folder of Stable Video Diffusion is missing.
    """
    shapes, encoders = encoder_shapes(encoder_settings), known_fingerprint(store, encoder_settings)
    whole, missing, count = Amount(), Amount(), 0
    videos = _videos(release, settings, encoders or "")
    for video, rows in zip(videos, _done(store, videos), strict=True):
        amount = amount_of(video["rows"], shapes, settings)
        whole += amount
        if encoders is not None and rows is None:
            missing, count = missing + amount, count + 1
    return whole, missing if encoders is not None else None, count


@ray.remote
def _encoder_fingerprint(settings: EncoderSettings) -> str:
    """In a task, so that the driver does not keep the weights."""
    return Encoders(settings).fingerprint


def _videos(release: Collection, settings: EncodeSettings, encoders: str) -> list[dict[str, Any]]:
    """One item for each video with accepted clips: what the release says of it, and the key of what is made of that."""
    content = {
        "version": VERSION,
        "encoders": encoders,
        **{name: getattr(settings, name) for name in _CONTENT},
    }
    return [
        {"key": fingerprint({**content, "rows": rows.rows_sha256, "lenders": rows.lenders}), "rows": rows}
        for rows in videos_of(release, settings)
    ]


_CONTENT = (
    "buckets",
    "crops",
    "max_enlargement",
    "frames_per_row",
    "strides",
    "references",
    "reference_count",
    "max_people",
    "reference_noise",
)
"""The settings on which rows depend; the others say how they are made."""


def _encode_missing(
    store: Store, videos: list[dict[str, Any]], settings: EncodeSettings, encoder_settings: EncoderSettings
) -> pa.Table:
    """Returns the lines of videos that were lost: they are not remembered, so that the next run tries again."""

    shapes = encoder_shapes(encoder_settings)
    amounts = {
        video["rows"].video_id: amount_of(video["rows"], shapes, settings)
        for video in track(videos, "planning videos", len(videos))
    }
    require_space(store, sum(amounts.values(), Amount()), settings)
    # The largest first, so that no actor is left alone with it at the end.
    videos = sorted(videos, key=lambda video: -amounts[video["rows"].video_id].bytes)
    done = run_actors(
        videos,
        EncodeVideo,
        (store.root, settings, encoder_settings),
        lost=lambda video, error: {"lost": _lost_lines(video, settings, error)},
        what="encoding videos",
        actors=settings.actors,
        cpus=settings.cpus_per_actor,
        gpus=settings.gpus_per_actor,
        labels=settings.node_labels,
    )
    lost: list[dict[str, Any]] = []
    for video in done:
        telemetry.add("sa_shard_rows", video.get("rows", 0))
        for reason in video.get("reasons", ()):
            telemetry.add("sa_failures", step="encoding clips", reason=reason)
        lost += video.get("lost", ())
    return pa.Table.from_pylist(lost, schema=_DONE)


def _lost_lines(video: dict[str, Any], settings: EncodeSettings, error: RowError) -> list[dict[str, Any]]:
    """Of the report, for a video whose work broke down."""
    clips = video["rows"].clips.to_pylist()
    crops, strides = settings.crops, settings.strides
    return [lost_line(clip, crop, stride, error) for clip in clips for crop in crops for stride in strides]


class EncodeVideo:
    """An actor: holds the encoders, and turns the accepted clips of one video into committed rows."""

    def __init__(self, root: str, settings: EncodeSettings, encoder_settings: EncoderSettings) -> None:
        cv2.setNumThreads(1)  # actors share the cores
        self.store = Store(root)
        self.inputs = Inputs(self.store)
        self.settings = settings
        self.encoders = Encoders(encoder_settings).to(settings.device)

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """Commit the rows of an item of `_videos`, then its report. Returns what was done, for the progress bar."""
        rows: VideoRows = item["rows"]
        report: list[dict[str, Any]] = []
        crops: list[EncodedCrop] = []
        with LatentSpool() as spool:
            for plan in rows.plans(self.settings):
                encoded = self._clip(plan, spool)
                report += encoded.lost
                crops += encoded.crops
            for bucket in sorted({crop.plan.bucket for crop in crops}):
                of_bucket = [crop for crop in crops if crop.plan.bucket == bucket]
                part = self._write(item, of_bucket, spool)
                report += [line | part for crop in of_bucket for line in _lines(crop)]
        done = pa.Table.from_pylist(report, schema=_DONE)
        self.store.write_part("encode_report", item["key"], rows.video_id, done)
        reasons = [line["reason"] for line in report if line["reason"]]
        return {"video_id": rows.video_id, "rows": sum(line["rows"] for line in report), "reasons": reasons}

    def _clip(self, plan: ClipPlan, spool: LatentSpool) -> EncodedClip:
        if not plan.crops:
            return EncodedClip(crops=[], lost=plan.lost)
        try:
            # Opened for each clip: a reader that met a damaged frame is not trusted with the next shot.
            with self.inputs.opened(plan.clip["media"]) as local, VideoReader(local) as video:
                encoded = encode_clip(plan, video, self.encoders, self.settings, spool, self.inputs.opened)
        except GoneError:  # it may come back, and this would be remembered
            raise
        except RowError as error:
            lost = [lost_line(plan.clip, crop.crop, stride, error) for crop in plan.crops for stride in crop.windows]
            return EncodedClip(crops=[], lost=plan.lost + lost)
        return EncodedClip(crops=encoded.crops, lost=plan.lost + encoded.lost)

    def _write(self, item: dict[str, Any], crops: list[EncodedCrop], spool: LatentSpool) -> dict[str, Any]:
        """Commit the rows of one bucket. A video has one split, so its parts have one too."""
        rows: Iterable[pa.Table] = (row for crop in crops for row in crop.rows(spool))
        with contextlib.closing(stream_parquet(rows, SHARDS)) as file:
            part = self.store.write_part_file("shards", item["key"], item["rows"].video_id, file)
        split = crops[0].clip.clip["split"]
        return {"path": part["path"], "sha256": part["sha256"], "split": split, "bucket": crops[0].plan.bucket}


def _lines(crop: EncodedCrop) -> Iterator[dict[str, Any]]:
    """Of the report, for what was encoded."""
    shots = sorted({each.owner.shot_id for each in crop.embeddings})
    source = "same_clip" if shots == [crop.clip.shot_id] else "same_person"
    for stride, windows in crop.plan.windows.items():
        where = {"shot_id": crop.clip.shot_id, "crop": crop.plan.crop, "stride": stride}
        made = {"rows": len(windows), "fps": crop.clip.fps / stride, "reason": None, "detail": None}
        yield {**where, **made, "references": source, "reference_shots": shots}


_READERS = 8  # threads; hashing leaves Python's lock


def _done(store: Store, videos: list[dict[str, Any]]) -> list[pa.Table | None]:
    """The report of each video that is encoded, and whose rows are what was written; else None. All parts are read:
    what was damaged since is made again. Where two runs made a report, the first by name counts."""

    def report_of(video: dict[str, Any]) -> pa.Table | None:
        for path in store.part_paths("encode_report", video["key"], video["rows"].video_id):
            report = store.read_part(path)
            if report is None:
                continue
            shards = {shard for shard in report["path"].to_pylist() if shard is not None}
            if all(store.is_whole(shard) for shard in shards):
                return report.cast(_DONE)
        return None

    with ThreadPoolExecutor(_READERS) as pool:
        return list(track(pool.map(report_of, videos), "looking at encoded videos", len(videos)))


def _contact_sheet(
    store: Store,
    videos: list[VideoRows],
    report: pa.Table,
    settings: EncodeSettings,
    encoder_settings: EncoderSettings,
) -> dict[str, Callable[[], bytes]]:
    """What draws the sheet, by its file's name, in a task that holds the encoders; nothing to show gives nothing."""
    lines = spread_lines(report.to_pylist(), settings.sheet_rows)
    if not lines:
        return {}

    def draw() -> bytes:
        shots = {line["shot_id"] for line in lines}
        shown = [video for video in videos if shots & set(video.clips["shot_id"].to_pylist())]
        task = _draw.options(
            num_cpus=settings.cpus_per_actor,
            num_gpus=settings.gpus_per_actor,
            label_selector=settings.node_labels or None,
        )
        drawn: bytes = ray.get(task.remote(store.root, lines, shown, settings, encoder_settings))
        return drawn

    return {NAME: draw}


@ray.remote
def _draw(
    root: str,
    lines: list[dict[str, Any]],
    videos: list[VideoRows],
    settings: EncodeSettings,
    encoder_settings: EncoderSettings,
) -> bytes:
    encoders = Encoders(encoder_settings).to(settings.device)
    return draw_sheet(Store(root), lines, videos, settings, encoders)


def _commit(
    release: Collection,
    settings: EncodeSettings,
    encoders: str,
    report: pa.Table,
    files: dict[str, Callable[[], bytes]],
    seconds: float,
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
        "rates": _rates(report),
        "counts": {
            "clips": len(pc.unique(report["shot_id"])),
            "encoded": len(pc.unique(report.filter(pc.field("rows") > 0)["shot_id"])),
            "rows": pc.sum(report["rows"]).as_py() or 0,
            "reasons": {each["values"]: each["counts"] for each in reasons},
        },
    }
    build = {"seconds": seconds, "host": platform.node()}
    return release.store.commit(
        "shards", content=content, tables={"report": report.select(ENCODE_REPORT.names)}, build=build, files=files
    )


def _rates(report: pa.Table) -> list[dict[str, Any]]:
    """For each split and stride: how many rows, and the median of their rates, frames a second."""
    groups: dict[tuple[str, int], list[float]] = {}
    for line in report.filter(pc.field("rows") > 0).to_pylist():
        groups.setdefault((line["split"], line["stride"]), []).extend([line["fps"]] * line["rows"])
    return [
        {"split": split, "stride": stride, "rows": len(rates), "fps": sorted(rates)[(len(rates) - 1) // 2]}
        for (split, stride), rates in sorted(groups.items())
    ]
