"""The streaming graph that measures videos: rows are videos, an actor pool decodes and measures them.

Only a video's name travels; its frames never leave the actor that decodes them, and its rows go straight to the store.
The driver reads numbers alone, and merges the parts when all is done.
Videos that lack nothing are not touched, and where none lacks anything neither Ray Data nor a model is started.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from pipelines import telemetry
from pipelines.actor_pool import DIED, require_resources, run_actors
from pipelines.curation import CurateSettings
from pipelines.measures.shots import bad_video_row, shot_id
from pipelines.measuring.bad_video_cap import BadVideoCap
from pipelines.measuring.measure_cache import Cached, Keys, measure_keys, missing_of, read_numbers
from pipelines.measuring.video_measures import Video, VideoMeasurer, VideoResult
from pipelines.storage.compaction import settle
from pipelines.storage.store import Store
from pipelines.storage.tables import SHOTS
from stableanimator.errors import InputError, RowError
from stableanimator.perception.settings import PerceptionSettings
from stableanimator.redaction import log_to_stderr

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Everything known of the shots of a set of videos."""

    keys: Keys
    cached: Cached
    """The numbers of all rows, those of this run included; a video whose worker died has one bad row in `shots`."""
    failures: list[dict[str, str]]
    """{shot_id, measure, reason, detail} of what went wrong in this run and is not remembered."""
    videos_now: int = 0
    """Videos that were measured in this run."""
    frames_decoded: int = 0
    bytes_decoded: int = 0
    """Of the files of these videos."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Of all actors together, by step; steps overlap in time, so their sum is not the run's."""
    rows_now: dict[str, int] = field(default_factory=dict)
    """Rows made in this run, by table."""


def measure_videos(
    store: Store, videos: Iterable[Video], settings: CurateSettings, perception: PerceptionSettings | None
) -> Measured:
    """Measure what is missing of these videos and return all rows.

    Raises:
        ConfigError: a measure needs the section `perception`, or no node can hold an actor.
        WeightsError: a weights file is missing or unusable.
        InputError: more than `max_bad_video_share` of the videos cannot be measured.
        StorageError: the disk is full.
    """
    keys = measure_keys(settings, perception)
    by_id = {video.video_id: video for video in videos}
    before = read_numbers(store, keys, by_id)
    missing = missing_of(before, keys, by_id)
    log.info("%d of %d videos are measured already", len(by_id) - len(missing), len(by_id))
    cap = BadVideoCap(settings, len(by_id))
    cap.remember(before)
    cap.check()
    if not missing:
        return Measured(keys=keys, cached=before, failures=[])
    memory = settings.memory_gb_per_actor * 1e9
    require_resources("curate", settings.cpus_per_actor, settings.gpus_per_actor, memory, settings.node_labels)
    todo = cap.order([by_id[video_id] for video_id in missing])
    results = _run(store, todo, missing, settings, perception, keys, cap)
    settle(store, keys.families())
    after = read_numbers(store, keys, by_id)
    failures = [failure for result in results for failure in result.failures]
    cached = _with_lost_videos(after, by_id, failures)
    cap.remember(cached)
    cap.check()
    return Measured(
        keys=keys,
        cached=cached,
        failures=failures,
        videos_now=len(results),
        frames_decoded=sum(result.frames_decoded for result in results),
        bytes_decoded=sum(by_id[result.video_id].size for result in results),
        seconds=_total_seconds(results),
        rows_now=_rows_now(before, after),
    )


def _rows_now(before: Cached, after: Cached) -> dict[str, int]:
    counts = {name: len(table) - len(before.measures[name]) for name, table in after.measures.items()}
    return {"shots": len(after.shots) - len(before.shots), **counts}


class MeasureActor:
    """What runs in the pool: holds the models, measures one video at a time."""

    def __init__(
        self,
        store: Store,
        settings: CurateSettings,
        perception: PerceptionSettings | None,
        keys: Keys,
        needed: list[str],
    ) -> None:
        log_to_stderr()
        self._measurer = VideoMeasurer(store, settings, perception, keys, needed)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Measure row["video"] as far as row["missing"] says; gives {"result": VideoResult}."""
        return {"result": self._measurer.measure(row["video"], row["missing"])}


def _run(
    store: Store,
    videos: list[Video],
    missing: dict[str, set[str]],
    settings: CurateSettings,
    perception: PerceptionSettings | None,
    keys: Keys,
    cap: BadVideoCap,
) -> list[VideoResult]:
    needed = sorted(set().union(*missing.values()))
    outcomes = run_actors(
        [{"video": video, "missing": missing[video.video_id]} for video in videos],
        MeasureActor,
        (store, settings, perception, keys, needed),
        lost=_lost,
        what="measuring videos",
        actors=settings.actors,
        cpus=settings.cpus_per_actor,
        gpus=settings.gpus_per_actor,
        memory=settings.memory_gb_per_actor * 1e9,
        labels=settings.node_labels,
    )
    results = []
    try:
        for outcome in outcomes:
            results.append(outcome["result"])
            if not outcome.get("lost"):  # which the pool has counted
                _count(outcome["result"])
            cap.add(outcome["result"])
            cap.check()
    except InputError:
        outcomes.close()
        raise
    return results


def _count(result: VideoResult) -> None:
    telemetry.add("sa_frames", result.frames_decoded)
    for measure, seconds in result.seconds.items():
        telemetry.add("sa_measure_seconds", seconds, measure=measure)
    for failure in result.failures:
        telemetry.add("sa_failures", step=failure["measure"], reason=failure["reason"])


def _lost(row: dict[str, Any], error: RowError) -> dict[str, Any]:
    """The result of a video whose actor died."""
    result = VideoResult(row["video"].video_id)
    result.fail(shot_id(result.video_id, 0, 0), "decode", error)
    return {"result": result, "lost": True}


def _with_lost_videos(cached: Cached, videos: Iterable[str], failures: list[dict[str, str]]) -> Cached:
    """Give every video that has no shots a bad row: nothing may disappear."""
    found = set(cached.shots["video_id"].to_pylist())
    reasons = {failure["shot_id"].split(":")[0]: failure for failure in failures if failure["measure"] == "decode"}
    lost = []
    for video_id in videos:
        if video_id not in found:
            failure = reasons.get(video_id, {"reason": DIED, "detail": "no result came back; run it again"})
            lost.append(bad_video_row(video_id, failure["reason"], failure["detail"]))
    if not lost:
        return cached
    shots = pa.concat_tables([cached.shots, pa.Table.from_pylist(lost, schema=SHOTS)]).sort_by("shot_id")
    return replace(cached, shots=shots)


def _total_seconds(results: list[VideoResult]) -> dict[str, float]:
    total: dict[str, float] = {}
    for result in results:
        for step, seconds in result.seconds.items():
            total[step] = total.get(step, 0.0) + seconds
    return total
