"""The streaming graph that measures videos: rows are videos, an actor pool decodes and measures them.

Only a video's name travels; its frames never leave the actor that decodes them, and its rows go straight to the store.
Videos that lack nothing are not touched, and where none lacks anything neither Ray Data nor a model is started.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipelines.actor_pool import require_resources, run_actors
from pipelines.curation import CurateSettings
from pipelines.measure_cache import Cached, Keys, measure_keys, missing_of, read_cached
from pipelines.shots import bad_video_row
from pipelines.store import Store
from pipelines.tables import SHOTS
from pipelines.video_measures import Video, VideoMeasurer, VideoResult
from stableanimator.perception.settings import PerceptionSettings

log = logging.getLogger(__name__)

_TRIES = 2  # of a video whose actor dies


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Everything known of the shots of a set of videos."""

    keys: Keys
    cached: Cached
    """All rows, those of this run included; a video whose worker died has one bad row in `shots`."""
    failures: list[dict[str, str]]
    """{shot_id, measure, reason, detail} of what went wrong in this run and is not remembered."""
    videos_now: int = 0
    """Videos that were measured in this run."""
    frames_decoded: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    """Of all actors together, by step; steps overlap in time, so their sum is not the run's."""


def measure_videos(
    store: Store, videos: Iterable[Video], settings: CurateSettings, perception: PerceptionSettings | None
) -> Measured:
    """Measure what is missing of these videos and return all rows.

    Raises:
        ConfigError: a measure needs the section `perception`, or no node can hold an actor.
        WeightsError: a weights file is missing or unusable.
    """
    keys = measure_keys(settings, perception)
    by_id = {video.video_id: video for video in videos}
    cached = read_cached(store, keys, by_id)
    missing = missing_of(cached, keys, by_id)
    log.info("%d of %d videos are measured already", len(by_id) - len(missing), len(by_id))
    if not missing:
        return Measured(keys=keys, cached=cached, failures=[])
    require_resources("curate", settings.cpus_per_actor, settings.gpus_per_actor)
    todo = sorted((by_id[video_id] for video_id in missing), key=lambda video: (-video.size, video.video_id))
    results = _run(store, todo, missing, settings, perception, keys)
    cached = read_cached(store, keys, by_id)
    failures = [failure for result in results for failure in result.failures]
    return Measured(
        keys=keys,
        cached=_with_lost_videos(cached, by_id, failures),
        failures=failures,
        videos_now=len(results),
        frames_decoded=sum(result.frames_decoded for result in results),
        seconds=_total_seconds(results),
    )


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
        logging.basicConfig(level=logging.INFO)
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
) -> list[VideoResult]:
    """The largest video first, so that no actor is left alone with it at the end.

    A video that kills its actor is tried again, then given up.
    """
    needed = sorted(set().union(*missing.values()))
    outcomes = run_actors(
        [{"video": video, "missing": missing[video.video_id]} for video in videos],
        MeasureActor,
        (store, settings, perception, keys, needed),
        what="measuring videos",
        actors=settings.actors,
        cpus=settings.cpus_per_actor,
        gpus=settings.gpus_per_actor,
        tries=_TRIES,
    )
    return [outcome["result"] for outcome in outcomes]


def _with_lost_videos(cached: Cached, videos: Iterable[str], failures: list[dict[str, str]]) -> Cached:
    """Give every video that has no shots a bad row: nothing may disappear."""
    found = set(cached.shots["video_id"].to_pylist())
    reasons = {failure["shot_id"].split(":")[0]: failure for failure in failures if failure["measure"] == "decode"}
    lost = []
    for video_id in videos:
        if video_id not in found:
            failure = reasons.get(video_id, {"reason": "worker_died", "detail": "no result came back; run it again"})
            lost.append(bad_video_row(video_id, failure["reason"], failure["detail"]))
    if not lost:
        return cached
    shots = pa.concat_tables([cached.shots, pa.Table.from_pylist(lost, schema=SHOTS)]).sort_by("shot_id")
    return Cached(shots=shots, measures=cached.measures, thumbnails=cached.thumbnails)


def _total_seconds(results: list[VideoResult]) -> dict[str, float]:
    total: dict[str, float] = {}
    for result in results:
        for step, seconds in result.seconds.items():
            total[step] = total.get(step, 0.0) + seconds
    return total
