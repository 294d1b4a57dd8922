"""What `jobs.curate` would do, told from the lists, the folders and the store alone: nothing is fetched or decoded."""

from __future__ import annotations

import os

from jobs.running.config import Config
from pipelines.crawling.crawl import CrawlPlan, plan_crawl
from pipelines.measuring.measure_cache import measure_keys, missing_of, read_numbers
from pipelines.progress import track
from pipelines.storage.store import Store, file_sha256

READ_AT_MOST = 4e9
"""Bytes of local files that are read for a plan; a video is known by its content alone."""


def curate_plan(config: Config) -> str:
    """Sources to fetch, videos to measure by measure, and shots that are in the store, in a few lines.

    Raises:
        InputError: a list or folder does not exist.
        WeightsError: the weights of a measure are missing.
    """
    settings = config.curate
    if settings is None:
        return "curate has nothing to do: the configuration has no section curate"
    store = Store(config.root)
    crawl = plan_crawl(settings.crawl, store)
    local, unread = _local_videos(crawl.files)
    videos = sorted({*crawl.videos, *local})
    keys = measure_keys(settings, config.perception)
    cached = read_numbers(store, keys, videos)
    missing = missing_of(cached, keys, videos)
    lines = [_sources_line(crawl), f"videos: {len(videos)} known, {len(videos) - len(missing)} of them measured whole"]
    if new := crawl.to_fetch + unread:
        lines[-1] += f"; {new} more are known when they have been read, and need everything"
    for name in ("shots", *keys.measures):
        todo = sum(name in lacking for lacking in missing.values()) + new
        have = len(cached.shots) if name == "shots" else len(cached.measures[name])
        lines.append(f"  {name:<14} {todo:>6} videos to measure, {have:>6} shots in the store")
    actors = min(settings.actors, len(missing) + new)
    memory = f" with {settings.memory_gb_per_actor:g} GB of memory each" if settings.memory_gb_per_actor else ""
    if actors:
        lines.append(f"{actors} of {settings.actors} actors have work{memory}")
    else:
        lines.append("nothing is to be fetched or decoded: the rules are applied to what is stored")
    return "\n".join(lines)


def _sources_line(crawl: CrawlPlan) -> str:
    return (
        f"sources: {crawl.listed} listed; {crawl.to_fetch} URLs to fetch, {crawl.remembered} fetched already, "
        f"{crawl.failed_earlier} failed earlier and are left alone, {crawl.local} local files, "
        f"{crawl.passed_over} in folders that are no videos, {crawl.unusable} unusable, {crawl.repeated} listed twice"
    )


def _local_videos(paths: tuple[str, ...]) -> tuple[list[str], int]:
    """Ids of local videos, and how many files were left unread, since reading all of them would take long."""
    sizes = {path: os.path.getsize(path) for path in paths if os.path.isfile(path)}
    if sum(sizes.values()) > READ_AT_MOST:
        return [], len(sizes)
    return [file_sha256(path) for path in track(sizes, "reading local files", len(sizes)) if sizes[path]], 0
