"""From a list of sources to stored videos: exactly one row of SOURCES for each listed source.

A source is a URL, a file or a folder. URLs come with what the list says about their rights. What has been fetched is
remembered under the URL and never fetched again; local files are read anew each time, so a changed file is seen. What
a folder holds beside videos is passed over, and is a row too: nothing failed, but somebody may miss it.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
import tempfile
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines import telemetry
from pipelines.crawling.containers import EXTENSIONS, container_seconds, video_extension
from pipelines.crawling.failure_cap import FailureCap
from pipelines.crawling.fetch import Fetcher
from pipelines.crawling.guarded_http import STOPPED
from pipelines.crawling.settings import CrawlSettings
from pipelines.crawling.source_lists import RIGHTS, Listed, list_sources
from pipelines.progress import track
from pipelines.storage.part_rows import MERGED, while_others_merge
from pipelines.storage.store import Store, file_sha256, fingerprint, media_path
from pipelines.storage.tables import SOURCES
from stableanimator.errors import FetchError

log = logging.getLogger(__name__)

Row = dict[str, Any]

_FAMILY = "sources"
_LIMITS = ("too_large", "too_long")  # what they keep out is a video
_FETCHED = fingerprint({"table": "sources", "status": "fetched", "version": 2})


@dataclass(frozen=True, slots=True)
class Crawl:
    """What a crawl found."""

    sources: pa.Table
    """SOURCES, one row for each listed source, in listed order."""

    fetched_now: int
    """URLs that were downloaded in this run."""

    bytes_now: int
    """Bytes that were downloaded in this run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CrawlPlan:
    """What a crawl would do. The others add up to `listed`."""

    listed: int
    """Sources that folders, lists and settings name."""
    repeated: int
    """Named before, so read once."""
    unusable: int
    """Cannot be tried: no URL in the entry, a scheme that is not allowed …"""
    passed_over: int = 0
    """In folders, and no videos."""
    local: int
    """Local files, which are read anew each time."""
    remembered: int
    """URLs whose video is in the store."""
    failed_earlier: int
    """URLs that failed in an earlier run and are not tried again; with `retry_failed` they are in `to_fetch`."""
    to_fetch: int
    """URLs that would be asked for."""
    videos: tuple[str, ...] = field(default=(), compare=False)
    """Ids of the videos of the remembered URLs."""
    files: tuple[str, ...] = field(default=(), compare=False)
    """Paths of the local files."""


def plan_crawl(settings: CrawlSettings, store: Store) -> CrawlPlan:
    """What `crawl` would do, from the lists, the folders and the store alone: no URL is asked for, and no file is
    opened but in a folder, where its name does not say that it is a video.

    Raises:
        InputError, ConfigError: see `pipelines.crawling.source_lists.list_sources`.
    """
    listed = list_sources(settings)
    first = _first_of_each(listed)
    known = _remembered(store, settings, first.values())
    kinds = Counter(_kind(source, known) for source in first.values())
    return CrawlPlan(
        listed=len(listed),
        repeated=len(listed) - len(first),
        **{name: kinds[name] for name in _KINDS},
        videos=tuple(row["video_id"] for row in known.values() if row["video_id"] is not None),
        files=tuple(source.path for source in first.values() if source.path and _kind(source, known) == "local"),
    )


def foresee(settings: CrawlSettings, store: Store) -> pa.Table:
    """The rows that `crawl` would give of all that needs no network: local files, and what was fetched before.

    Local files are given to `store.put_media`, so whoever wants nothing written gives a store that writes nothing.

    Raises:
        InputError, ConfigError: see `pipelines.crawling.source_lists.list_sources`.
    """
    listed = list_sources(settings)
    first = _first_of_each(listed)
    rows = _remembered(store, settings, first.values())
    for key, source in first.items():
        if source.path is not None or source.error is not None:
            rows[key] = _source_row(source, settings, None, store)
    told = [source for source in listed if source.key in rows]
    return pa.Table.from_pylist(_listed_rows(told, rows), schema=SOURCES)


_KINDS = ("unusable", "passed_over", "local", "remembered", "failed_earlier", "to_fetch")


def _kind(source: Listed, known: dict[str, Row]) -> str:
    if source.error is not None:
        return "passed_over" if source.found else "unusable"
    if source.path is not None:
        return "passed_over" if source.found and not _holds_video(source.path) else "local"
    if source.key not in known:
        return "to_fetch"
    return "failed_earlier" if known[source.key]["status"] == "failed" else "remembered"


def _holds_video(path: str) -> bool:
    """Whether a file is called a video, or is one."""
    if path.lower().endswith(EXTENSIONS):
        return True
    try:
        return bool(video_extension(_regular_file(path)))
    except (FetchError, OSError):
        return False


def crawl(settings: CrawlSettings, store: Store) -> Crawl:
    """Fetch what is not in the store yet.

    A URL that is listed twice, or bytes that an earlier source had, give status `duplicate`. A source that cannot
    be had gives status `failed` with a reason (see pipelines.crawling.fetch, pipelines.crawling.containers and
    pipelines.crawling.source_lists), and what a folder holds beside videos `passed_over` with one.

    Raises:
        InputError: see `list_sources`; or more than `max_failed_share` of the sources fail, which is said as soon as
            it is certain. What was fetched until then is stored and remembered.
    """
    listed = list_sources(settings)
    first = _first_of_each(listed)
    known = _remembered(store, settings, first.values())
    cap = FailureCap(settings, len(first))
    for row in known.values():
        cap.remember(row)
    cap.check()
    tried = _try_all([source for key, source in first.items() if key not in known], settings, store, cap)
    _log_forgotten(known)
    rows = _listed_rows(listed, {**known, **tried})
    now = [row for key, row in tried.items() if first[key].path is None and row["status"] == "fetched"]
    return Crawl(pa.Table.from_pylist(rows, schema=SOURCES), len(now), sum(row["bytes"] for row in now))


def _first_of_each(listed: list[Listed]) -> dict[str, Listed]:
    """By key; one that can be tried before one that cannot (a file that the settings name and a list may not)."""
    first: dict[str, Listed] = {}
    for source in listed:
        if source.key not in first or (first[source.key].error is not None and source.error is None):
            first[source.key] = source
    return first


def _try_all(sources: list[Listed], settings: CrawlSettings, store: Store, cap: FailureCap) -> dict[str, Row]:
    """Rows by key. The order of a hash spreads the requests over hosts, and makes what comes first a fair sample."""
    rows: dict[str, Row] = {}
    if not sources:
        return rows
    fetcher = Fetcher(settings)
    pool = ThreadPoolExecutor(settings.workers)
    try:
        order = sorted(sources, key=lambda source: _digest(source.key))
        futures = {pool.submit(_source_row, source, settings, fetcher, store): source.key for source in order}
        for future in track(as_completed(futures), "fetching sources", len(futures)):
            row = rows[futures[future]] = future.result()
            telemetry.add("sa_videos", status=row["status"], reason=row["reason"])
            cap.add(row)
            cap.check()
    finally:
        fetcher.stop()  # does nothing to a crawl that has come to its end
        pool.shutdown(cancel_futures=True)
    return rows


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _log_forgotten(known: dict[str, Row]) -> None:
    failed = sum(row["status"] == "failed" for row in known.values())
    if failed:
        log.info("%d sources failed in an earlier run and were not tried again (crawl.retry_failed=true does)", failed)


# what earlier runs found


def _failures_key(settings: CrawlSettings) -> str:
    """Under which failures are remembered: with other limits a source may be had after all."""
    names = ("allowed_schemes", "allow_private_addresses", "max_bytes", "max_seconds", "deadline_s")
    limits = [getattr(settings, name) for name in names]
    return fingerprint({"table": "sources", "status": "failed", "version": 3, "limits": limits})


def _remembered(store: Store, settings: CrawlSettings, listed: Iterable[Listed]) -> dict[str, Row]:
    """Rows of earlier runs by key: fetched before failed, and only while their video is still stored."""
    asked = [source for source in listed if source.url is not None]
    if not asked:
        return {}
    with ThreadPoolExecutor(settings.workers) as pool:  # one small file for each URL, perhaps far away

        def rows_of(part_key: str, names: Iterable[str | None]) -> list[Row]:
            asked_for = {name for name in names if name is not None}
            groups = {MERGED, *map(_digest, asked_for)}
            paths = [path for path in store.part_paths(_FAMILY, part_key) if path.split("/")[-2] in groups]
            paths.sort(key=lambda path: path.split("/")[-2] != MERGED)  # the last row of a source counts
            parts = zip(paths, pool.map(store.read_part, paths), strict=True)
            return [
                row
                for path, part in parts
                if part is not None
                for row in part.to_pylist()
                if path.split("/")[-2] != MERGED or row["source_uri"] in asked_for
            ]

        # What failed under one signature may be had under the next; merged rows know no signatures.
        failed = (
            []
            if settings.retry_failed
            else while_others_merge(partial(rows_of, _failures_key(settings), [each.url for each in asked]))
        )
        fetched = while_others_merge(partial(rows_of, _FETCHED, [each.key for each in asked]))
        paths = [media_path(row["video_id"], row["extension"]) for row in fetched]
        stored = [row for row, there in zip(fetched, pool.map(store.exists, paths), strict=True) if there]
    return {row["source_uri"]: row for row in (*failed, *stored)}


# one source


def _source_row(source: Listed, settings: CrawlSettings, fetcher: Fetcher | None, store: Store) -> Row:
    """The row of one source, under its key; that of a URL, which needs a fetcher, is remembered in the store."""
    row: Row = {**dict.fromkeys(SOURCES.names), "source_uri": source.key}
    try:
        if source.error is not None:
            raise source.error
        if source.path is not None:
            row.update(_store_file(_regular_file(source.path), settings, store))
        else:
            assert fetcher is not None
            assert source.url is not None
            with tempfile.TemporaryDirectory(prefix="stableanimator-fetch-") as folder:
                row.update(_store_file(fetcher.fetch(source.url, Path(folder)), settings, store))
    except FetchError as error:
        status = "passed_over" if _is_passed_over(source, error) else "failed"
        row.update(status=status, reason=error.reason, detail=error.detail)
    if source.url is not None and row["reason"] != STOPPED:
        fetched = row["status"] == "fetched"
        part_key, name = (_FETCHED, source.key) if fetched else (_failures_key(settings), source.url)
        store.write_part(_FAMILY, part_key, _digest(name), pa.Table.from_pylist([row], schema=SOURCES))
    return row


def _is_passed_over(source: Listed, error: FetchError) -> bool:
    """Whether a file of a folder is something else than a video, and does not claim to be one by its name."""
    if not source.found or error.reason in _LIMITS:
        return False
    called_video = source.path is not None and source.path.lower().endswith(EXTENSIONS)
    return error.reason == "no_video" or not called_video


def _regular_file(path: str) -> Path:
    """Raises FetchError for what is not there, or would be read for ever (a pipe, a device)."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FetchError("not_found", str(error.strerror)) from error
    except OSError as error:
        loop = error.errno == errno.ELOOP
        raise FetchError("not_found" if loop else "unreadable", str(error.strerror)) from error
    except ValueError as error:  # a null character
        raise FetchError("not_found", str(error)) from error
    if not stat.S_ISREG(mode):
        raise FetchError("not_a_file", "a folder, pipe or device")
    return Path(path)


def _store_file(path: Path, settings: CrawlSettings, store: Store) -> Row:
    try:
        extension = video_extension(path)
        size = path.stat().st_size
        if size > settings.max_bytes:
            raise FetchError("too_large", f"{size} bytes, above max_bytes = {settings.max_bytes}")
    except OSError as error:
        raise FetchError("unreadable", str(error.strerror)) from error
    seconds = container_seconds(path)
    if seconds is not None and settings.max_seconds is not None and seconds > settings.max_seconds:
        raise FetchError("too_long", f"{seconds:.0f} s, above max_seconds = {settings.max_seconds:g}")
    try:
        video_id, _ = store.put_media(path, extension)
    except OSError:
        _read_again(path)
        raise  # not the source's fault: the store cannot be written
    return {"status": "fetched", "video_id": video_id, "extension": extension, "bytes": size}


def _read_again(path: Path) -> None:
    try:
        file_sha256(path)
    except OSError as error:
        raise FetchError("unreadable", str(error.strerror)) from error


def _listed_rows(listed: list[Listed], fetched: dict[str, Row]) -> list[Row]:
    """One row for each listed source, in order: later ones with a known URL or known bytes are duplicates."""
    rows: list[Row] = []
    seen: set[str] = set()
    first_uri: dict[str, str] = {}
    for source in listed:
        row = {**fetched[source.key], "source_uri": source.uri, **dict(zip(RIGHTS, source.rights, strict=True))}
        video_id = row["video_id"]
        if source.key in seen:
            row.update(status="duplicate", reason=None, detail="listed before")
        elif video_id in first_uri:
            row.update(status="duplicate", detail=f"same bytes as {first_uri[video_id]}")
        elif video_id is not None:
            first_uri[video_id] = source.uri
        seen.add(source.key)
        rows.append(row)
    return rows
