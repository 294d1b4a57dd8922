"""Curate: reads a list of sources and thresholds; writes media, measures, a release, and a benchmark set from it."""

from __future__ import annotations

import logging
import platform
import sys
import time
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from jobs import entry, tracking
from jobs.config import Config
from pipelines.benchmark_sets import make_benchmark
from pipelines.crawl import crawl
from pipelines.measure import Measured, measure_videos
from pipelines.select import make_release
from pipelines.store import Collection, Store
from pipelines.video_measures import Video
from stableanimator.errors import ConfigError

log = logging.getLogger(__name__)


def run(config: Config, run: tracking.Run) -> str:
    """Fetch, cut, measure, select, report. Only what is missing is fetched or measured."""
    settings = config.curate
    if settings is None:
        raise ConfigError("the configuration has no section curate; say what to crawl in curate.crawl.sources")
    store = Store(config.root)
    clock = time.monotonic()
    crawled = crawl(settings.crawl, store)
    crawl_seconds = time.monotonic() - clock
    measured = measure_videos(store, _videos(crawled.sources), settings, config.perception)
    measure_seconds = time.monotonic() - clock - crawl_seconds
    build = {
        "host": platform.node(),
        "commit": tracking.git_commit(),
        "root": config.root,
        "settings": asdict(settings),
        "fetched_now": crawled.fetched_now,
        "bytes_fetched_now": crawled.bytes_now,
        "videos_measured_now": measured.videos_now,
        "frames_decoded_now": measured.frames_decoded,
        "seconds": {"crawl": crawl_seconds, "measure": measure_seconds, "by_step_over_actors": measured.seconds},
    }
    release = make_release(store, crawled.sources, measured, settings, build)
    benchmark = make_benchmark(release, settings.benchmark)
    _record(run, release, benchmark, measured)
    counts = release.manifest["counts"]
    pairs = benchmark.manifest["tables"]["pairs"]["rows"]
    log.info("report: %s/report.html; benchmark set of %d pairs: %s", release.uri, pairs, benchmark.uri)
    shots, listed = counts["shots"], counts["sources"]["listed"]
    return f"accepted {shots['accept']} of {shots['total']} shots from {listed} sources: {release.uri}"


def _videos(sources: pa.Table) -> list[Video]:
    return [
        Video(row["video_id"], row["extension"], row["bytes"])
        for row in sources.to_pylist()
        if row["status"] == "fetched"
    ]


def _record(run: tracking.Run, release: Collection, benchmark: Collection, measured: Measured) -> None:
    counts: dict[str, Any] = release.manifest["counts"]
    shots, sources = counts["shots"], counts["sources"]
    run.dataset("release", release.uri, release.id, context="output")
    run.tag("release", release.uri)
    run.tag("benchmark", benchmark.uri)
    run.metrics(
        {
            "sources": sources["listed"],
            **{f"sources_{name}": sources.get(name, 0) for name in ("fetched", "duplicate", "failed")},
            "shots": shots["total"],
            "shots_accepted": shots["accept"],
            "shots_rejected": shots["reject"],
            "clip_seconds": counts["clip_seconds"],
            "benchmark_pairs": benchmark.manifest["tables"]["pairs"]["rows"],
            "videos_measured_now": measured.videos_now,
            "frames_decoded_now": measured.frames_decoded,
        }
    )
    run.table("rejected_by", [{"rule": rule, "shots": count} for rule, count in counts["failed_rules"].items()])
    run.text(release.store.read_bytes(f"{release.folder}/report.html").decode(), "report.html")


if __name__ == "__main__":
    sys.exit(entry.main("curate", run))
