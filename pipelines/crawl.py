"""From a list of sources to stored videos: exactly one row of SOURCES for each listed source.

A source is a URL, a file or a folder. URLs come with what the list says about their rights. What has been fetched is
remembered under the URL and never fetched again; local files are read anew each time, so a changed file is seen.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from pipelines.fetch import EXTENSIONS, Fetcher, video_extension
from pipelines.progress import track
from pipelines.store import Store, fingerprint, media_path
from pipelines.tables import SOURCES
from stableanimator.errors import ConfigError, FetchError, InputError
from stableanimator.paths import AbsolutePath, is_absolute

log = logging.getLogger(__name__)

_CACHE_KEY = fingerprint({"table": "sources", "version": 1})
_RIGHTS = ("licence", "uploader", "consent", "language")


@dataclass(frozen=True, kw_only=True, slots=True)
class CrawlSettings:
    """What to fetch, and how politely."""

    sources: tuple[AbsolutePath, ...] = ()
    """Folders (every video below them), single files, and URLs."""

    lists: tuple[AbsolutePath, ...] = ()
    """CSV files with a header, or JSONL files, with a column `url` or `uri` and, where known, `licence`,
    `uploader`, `consent` and `language`."""

    allowed_schemes: tuple[str, ...] = ("http", "https")
    """Schemes that a list may use. Add "file" for lists that you wrote yourself: it lets them name local files."""

    allow_private_addresses: bool = False
    """Fetch from loopback, private and link-local addresses. Off, so that a list from elsewhere, or a redirect,
    cannot read what only this network can see."""

    workers: int = 8
    """Sources that are fetched at the same time."""

    seconds_between_requests: float = 1.0
    """Seconds between two requests to one host; the pace of a patient reader."""

    retries: int = 4
    """Further attempts after a failure that may pass (timeout, lost connection, 429, 5xx)."""

    backoff_s: float = 1.0
    """Seconds before the first further attempt; doubled each time."""

    timeout_s: float = 30.0
    """Seconds without a byte after which an attempt ends, and the longest pause between attempts."""

    deadline_s: float = 1800.0
    """Seconds after which a source that is still arriving is given up."""

    max_bytes: int = 2_000_000_000
    """Bytes of one video. 90 seconds (the longest in the paper) at 4K and 100 Mbit/s are 1.1 GB."""

    retry_failed: bool = False
    """Try URLs again that failed in an earlier run."""

    user_agent: str = "stableanimator-ray (dataset crawler)"
    """Sent with each request."""

    def __post_init__(self) -> None:
        for path in (*self.sources, *self.lists):
            if not is_absolute(path):
                raise ValueError(f"{path!r} is a relative path; give an absolute path or a URL")
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, got {self.workers}")
        if self.retries < 0:
            raise ValueError(f"retries must not be negative, got {self.retries}")
        if min(self.timeout_s, self.deadline_s, self.max_bytes) <= 0:
            raise ValueError("timeout_s, deadline_s and max_bytes must be above 0")
        if min(self.seconds_between_requests, self.backoff_s) < 0:
            raise ValueError("seconds_between_requests and backoff_s must not be negative")


@dataclass(frozen=True, slots=True)
class Listed:
    """One listed source and what its list says about it."""

    uri: str
    rights: tuple[str | None, ...] = (None,) * len(_RIGHTS)
    trusted: bool = True
    """Named in the configuration itself, so local paths are meant."""


@dataclass(frozen=True, slots=True)
class Crawl:
    """What a crawl found."""

    sources: pa.Table
    """SOURCES, one row for each listed source, in listed order."""

    fetched_now: int
    """URLs that were downloaded in this run."""

    bytes_now: int
    """Bytes that were downloaded in this run."""


# what is listed


def list_sources(settings: CrawlSettings) -> list[Listed]:
    """Every source that the settings name, in their order; a folder's files in name order.

    Raises:
        InputError: a folder, file or list that does not exist, or a list that cannot be read.
    """
    listed: list[Listed] = []
    for source in settings.sources:
        scheme = urlsplit(source).scheme
        if scheme in ("http", "https"):
            listed.append(Listed(source))
        elif scheme not in ("", "file"):
            raise ConfigError(f"crawl.sources: {source} has a scheme that cannot be crawled; use http, https or a path")
        elif os.path.isdir(path := _local_path(source)):
            listed.extend(Listed(file) for file in _videos_below(path))
        elif os.path.lexists(path):
            listed.append(Listed(path))
        else:
            raise InputError(f"crawl.sources: {source} does not exist")
    for path in settings.lists:
        listed.extend(_read_list(path))
    return listed


def _local_path(uri: str) -> str:
    parts = urlsplit(uri)
    return unquote(parts.path) if parts.scheme == "file" else uri


def _videos_below(folder: str) -> Iterator[str]:
    passed_over = 0
    for directory, subfolders, names in os.walk(folder):  # does not follow links to folders, so loops end
        subfolders.sort()
        for name in sorted(names):
            if name.lower().endswith(EXTENSIONS) and not name.startswith("."):
                yield os.path.join(directory, name)
            else:
                passed_over += 1
    if passed_over:
        log.info("%s: %d files have no video extension and are not listed", folder, passed_over)


def _read_list(path: str) -> Iterator[Listed]:
    if not os.path.isfile(path):
        raise InputError(f"crawl.lists: {path} does not exist")
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:
            if path.endswith((".jsonl", ".ndjson")):
                rows: list[Any] = [json.loads(line) for line in handle if line.strip()]
            else:
                rows = list(csv.DictReader(handle))
    except (ValueError, csv.Error) as error:
        raise InputError(f"crawl.lists: {path} cannot be read: {error}") from error
    for number, row in enumerate(rows, start=1):
        uri = (row.get("url") or row.get("uri")) if isinstance(row, dict) else None
        if not uri:
            raise InputError(f"crawl.lists: {path}: entry {number} has no value in a column `url` or `uri`")
        yield Listed(str(uri).strip(), tuple(str(row[key]) if row.get(key) else None for key in _RIGHTS), trusted=False)


# fetching


def crawl(settings: CrawlSettings, store: Store) -> Crawl:
    """Fetch what is not in the store yet.

    A URL that is listed twice, or bytes that an earlier source had, give status `duplicate`. A source that cannot
    be had gives status `failed` with a reason (see pipelines.fetch; and not_found, not_a_file, relative_path).

    Raises:
        InputError: see `list_sources`.
    """
    listed = list_sources(settings)
    first = {source.uri: source for source in reversed(listed)}
    known = {} if not first else _remembered(store, settings.retry_failed)
    fetcher = Fetcher(settings)

    def one(source: Listed) -> tuple[dict[str, Any], bool]:
        if (row := known.get(source.uri)) is not None:
            return row, False
        return _fetch_row(source, settings, fetcher, store)

    unique = list(dict.fromkeys(source.uri for source in listed))
    with ThreadPoolExecutor(settings.workers) as pool:
        results = pool.map(lambda uri: one(first[uri]), unique)
        fetched = dict(zip(unique, track(results, "fetching sources", len(unique)), strict=True))
    rows = _listed_rows(listed, {uri: row for uri, (row, _) in fetched.items()})
    new = [row for row, downloaded in fetched.values() if downloaded and row["status"] == "fetched"]
    _log_forgotten(known, unique)
    return Crawl(pa.Table.from_pylist(rows, schema=SOURCES), len(new), sum(row["bytes"] for row in new))


def _log_forgotten(known: dict[str, dict[str, Any]], uris: list[str]) -> None:
    failed = sum(known[uri]["status"] == "failed" for uri in uris if uri in known)
    if failed:
        log.info("%d sources failed in an earlier run and were not tried again (crawl.retry_failed=true does)", failed)


def _remembered(store: Store, retry_failed: bool) -> dict[str, dict[str, Any]]:
    """Rows of earlier runs by URL: fetched before failed, and only while their video is still stored."""
    rows: dict[str, dict[str, Any]] = {}
    for row in store.read_parts("sources", _CACHE_KEY, SOURCES).to_pylist():
        if row["status"] == "failed":
            if not retry_failed:
                rows.setdefault(row["source_uri"], row)
        elif store.exists(media_path(row["video_id"], row["extension"])):
            rows[row["source_uri"]] = row
    return rows


def _fetch_row(source: Listed, settings: CrawlSettings, fetcher: Fetcher, store: Store) -> tuple[dict[str, Any], bool]:
    """The row of one source, and whether it was downloaded. A URL's row is remembered in the store."""
    local = urlsplit(source.uri).scheme in ("", "file")
    row: dict[str, Any] = {**dict.fromkeys(SOURCES.names), "source_uri": source.uri}
    try:
        if local:
            row.update(_store_file(_listed_file(source, settings), source.uri, settings, store))
        else:
            with tempfile.TemporaryDirectory(prefix="stableanimator-fetch-") as folder:
                path = fetcher.fetch(source.uri, Path(folder))
                row.update(_store_file(path, source.uri, settings, store))
    except FetchError as error:
        row.update(status="failed", reason=error.reason, detail=error.detail)
    if not local:
        group = hashlib.sha256(source.uri.encode()).hexdigest()
        store.write_part("sources", _CACHE_KEY, group, pa.Table.from_pylist([row], schema=SOURCES))
    return row, not local


def _listed_file(source: Listed, settings: CrawlSettings) -> Path:
    if not source.trusted and "file" not in settings.allowed_schemes:
        raise FetchError("scheme_not_allowed", 'a local file; add "file" to crawl.allowed_schemes to allow it in lists')
    path = Path(_local_path(source.uri))
    if not path.is_absolute():
        raise FetchError("relative_path", "give an absolute path or a URL")
    if not path.exists():
        raise FetchError("not_found", str(path))
    if not path.is_file():
        raise FetchError("not_a_file", str(path))
    return path


def _store_file(path: Path, name: str, settings: CrawlSettings, store: Store) -> dict[str, Any]:
    size = path.stat().st_size
    if size > settings.max_bytes:
        raise FetchError("too_large", f"{size} bytes, above max_bytes = {settings.max_bytes}")
    try:
        extension = video_extension(path, name)
        video_id, _ = store.put_media(path, extension)
    except OSError as error:
        if path.exists() and os.access(path, os.R_OK):
            raise  # the store, not the source
        raise FetchError("unreadable", str(error)) from error
    return {"status": "fetched", "video_id": video_id, "extension": extension, "bytes": size}


def _listed_rows(listed: list[Listed], fetched: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each listed source, in order: later ones with a known URL or known bytes are duplicates."""
    rows: list[dict[str, Any]] = []
    seen_uris: set[str] = set()
    first_uri: dict[str, str] = {}
    for source in listed:
        row = {**fetched[source.uri], **dict(zip(_RIGHTS, source.rights, strict=True))}
        video_id = row["video_id"]
        if source.uri in seen_uris:
            row.update(status="duplicate", reason=None, detail="listed before")
        elif video_id in first_uri:
            row.update(status="duplicate", detail=f"same bytes as {first_uri[video_id]}")
        elif video_id is not None:
            first_uri[video_id] = source.uri
        seen_uris.add(source.uri)
        rows.append(row)
    return rows
