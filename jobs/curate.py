"""Curate: reads a list of sources and thresholds; writes media, measures, a release, and a benchmark set from it."""

from __future__ import annotations

from jobs.running import ending, entry

if __name__ == "__main__":
    entry.answer_first("curate")  # before what takes seconds to import

import logging
import platform
import time
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from jobs.running.config import Config
from jobs.tracking.run import Run
from jobs.tracking.tracker import git_commit
from pipelines import telemetry
from pipelines.benchmark_sets.sets import make_benchmark
from pipelines.crawling.crawl import Crawl, crawl
from pipelines.measuring.measure import Measured, measure_videos
from pipelines.measuring.video_measures import Video
from pipelines.progress import Stage, recorded
from pipelines.releases.select import make_release
from pipelines.storage.compaction import mend_part
from pipelines.storage.part_rows import DamagedPart
from pipelines.storage.store import Collection, Store
from stableanimator.errors import ConfigError
from stableanimator.redaction import redacted_tree

log = logging.getLogger(__name__)


_TRIES = 3  # to select, where parts turn out to be damaged


def run(config: Config, run: Run) -> str:
    """Fetch, cut, measure, select, report. Only what is missing is fetched or measured."""
    settings = config.curate
    if settings is None:
        raise ConfigError("the configuration has no section curate; say what to crawl in curate.crawl.sources")
    store = Store(config.root)
    with recorded() as steps:
        clock = time.monotonic()
        crawled = crawl(settings.crawl, store)
        stages = {"crawl": _stage(time.monotonic() - clock, crawled.fetched_now, crawled.bytes_now)}
        build: dict[str, Any] = {"host": platform.node(), "commit": git_commit(), "root": config.root}
        build["settings"] = redacted_tree(asdict(settings))
        measured, release = _measure_and_select(store, crawled, config, {**build, "stages": stages}, steps)
    benchmark = make_benchmark(release, settings.benchmark)
    _record(run, release, benchmark, measured)
    counts = release.manifest["counts"]
    pairs = benchmark.manifest["tables"]["pairs"]["rows"]
    report = store.uri(f"{release.folder}/report.html")
    log.info("report: %s; benchmark set of %d pairs: %s", report, pairs, benchmark.uri)
    shots, listed = counts["shots"], counts["sources"]["listed"]
    return f"accepted {shots['accept']} of {shots['total']} shots from {listed} sources: {release.uri}"


def _measure_and_select(
    store: Store, crawled: Crawl, config: Config, build: dict[str, Any], steps: list[Stage]
) -> tuple[Measured, Collection]:
    """A part that was damaged since it was committed is only seen when it is read: its rows are then made again."""
    settings = config.curate
    assert settings is not None
    for attempt in range(_TRIES):
        clock = time.monotonic()
        measured = measure_videos(store, _videos(crawled.sources), settings, config.perception)
        stages = {**build["stages"], **_stages_of(measured, time.monotonic() - clock)}
        now = {
            "fetched_now": crawled.fetched_now,
            "bytes_fetched_now": crawled.bytes_now,
            "videos_measured_now": measured.videos_now,
            "frames_decoded_now": measured.frames_decoded,
            "steps": [asdict(step) for step in steps],
        }
        try:
            return measured, make_release(
                store, crawled.sources, measured, settings, {**build, **now, "stages": stages}
            )
        except DamagedPart as damaged:
            if attempt == _TRIES - 1:
                raise
            mend_part(store, damaged.path)
    raise AssertionError("unreachable")


def _stage(seconds: float, rows: int, size: int) -> dict[str, float]:
    return {"seconds": seconds, "rows": rows, "bytes": size, "rows_per_second": rows / seconds if seconds else 0.0}


def _stages_of(measured: Measured, seconds: float) -> dict[str, dict[str, float]]:
    """What was done in this run: videos as a whole, then each table with its rows (shots), the seconds of all actors
    together, and the bytes of all its parts."""
    stages = {"measure": _stage(seconds, measured.videos_now, measured.bytes_decoded)}
    for name, rows in measured.rows_now.items():
        size = measured.cached.rows[name].bytes if name in measured.cached.rows else 0
        stages[name] = _stage(measured.seconds.get(name, 0.0), rows, size)
    if measured.videos_now:
        stages["decode"] = _stage(measured.seconds.get("decode", 0.0), measured.frames_decoded, measured.bytes_decoded)
    return stages


def _videos(sources: pa.Table) -> list[Video]:
    return [
        Video(row["video_id"], row["extension"], row["bytes"])
        for row in sources.to_pylist()
        if row["status"] == "fetched"
    ]


def _record(run: Run, release: Collection, benchmark: Collection, measured: Measured) -> None:
    counts: dict[str, Any] = release.manifest["counts"]
    shots, sources = counts["shots"], counts["sources"]
    run.dataset("release", release.uri, release.id, context="output")
    run.dataset("benchmark", benchmark.uri, benchmark.id, context="output")
    run.metrics(
        {
            "sources": sources["listed"],
            **{f"sources_{name}": sources.get(name, 0) for name in ("fetched", "duplicate", "failed", "passed_over")},
            "shots": shots["total"],
            "shots_accepted": shots["accept"],
            "shots_rejected": shots["reject"],
            "clip_seconds": counts["clip_seconds"],
            "benchmark_pairs": benchmark.manifest["tables"]["pairs"]["rows"],
            "videos_measured_now": measured.videos_now,
            "frames_decoded_now": measured.frames_decoded,
            **{
                f"{stage}/{name}": value
                for stage, of_stage in release.build()["stages"].items()
                for name, value in of_stage.items()
            },
        }
    )
    for verdict in ("accept", "reject"):
        telemetry.add("sa_shots", shots[verdict], verdict=verdict)
    for rule, count in counts["failed_rules"].items():
        telemetry.add("sa_rejections", count, rule=rule)
    run.table("rejected_by", [{"rule": rule, "shots": count} for rule, count in counts["failed_rules"].items()])
    run.text(release.store.read_bytes(f"{release.folder}/report.html").decode(), "report.html")


if __name__ == "__main__":
    ending.leave(entry.main("curate", run))
