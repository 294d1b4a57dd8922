"""One URL to one local file: plain HTTP(S) with retries and resume; pages go to pipelines.crawling.pages.

`Fetcher` is a crawl's. What it does with a plain file, and its patience, serve others too: `fetch_file`, `persist`.

Every way in which a source can fail has a reason; see also pipelines.crawling.source_lists, for what cannot even be
tried.

    http_<status>         the server refused it           too_large              above `max_bytes`
    timeout               no byte for `timeout_s`         too_long               above `max_seconds`
    deadline              not complete in `deadline_s`    private_address        inside the cluster or the machine
    unknown_host          no address for the name         scheme_not_allowed     not in `allowed_schemes`
    connection_failed     refused or reset                too_many_redirects     redirects in a circle
    cut_short             less came than was promised     html_instead_of_video  a page without a video
    bad_encoding          cannot be decompressed          several_videos         a page with more than one
    tls_error             certificate or handshake        live_stream            a page whose video has no end yet
    invalid_url           cannot be read as a URL         page_failed            yt-dlp could not get a page's video
    empty_file            no bytes                        not_a_video            neither content nor name says it is
    not_found, not_a_file, unreadable                     local files
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.parse import urlsplit

import requests
import urllib3

from pipelines.crawling.containers import EXTENSIONS
from pipelines.crawling.guarded_http import STOPPED, TEMPORARY, HostTurns, TryAgainError, Visit, one_line, retry_after
from pipelines.crawling.settings import CrawlSettings
from stableanimator.errors import ConfigError, FetchError
from stableanimator.paths import open_own, own_size

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_CHUNK = 1 << 16  # bytes
_PROGRESS = 1 << 20  # bytes; an attempt that brought so much more is no failed one
_PAGE_TYPES = (
    *("text/html", "application/xhtml", "application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl"),
    *("application/dash+xml",),
)


class PageError(FetchError):
    """What came back is a page (or a playlist of segments), not a file."""


@dataclass(slots=True)
class Partial:
    """What has arrived so far, and what it may be continued with."""

    path: Path
    checked: bool = False
    """Whether its checksum is known and will be checked: then what an earlier run has left in `path` is continued, by
    whatever server has the file. Else only what came in this run is, while the server says that it is the same."""
    way_out: str = "free space there, or let TMPDIR name another folder"
    """What to do where `path` cannot be written."""
    arrived: Callable[[int], None] = lambda size: None
    """Told how many bytes lie in `path`, as they come."""
    total: int | None = None
    """Bytes of the whole, where the server says."""
    validator: str | None = None
    """A strong ETag or the date of the last change: a range of another version must not be appended."""
    resumable: bool = field(init=False)
    """Whether the bytes here are those of the server's file: not when it compressed them on the way."""

    def __post_init__(self) -> None:
        self.resumable = self.checked

    def size(self) -> int:
        return own_size(self.path)


class Fetcher:
    """Downloads URLs within the limits of the settings. Safe to share between threads."""

    def __init__(self, settings: CrawlSettings) -> None:
        self._settings = settings
        self._turns = HostTurns(settings.seconds_between_requests)
        self._visits: set[Visit] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def stop(self) -> None:
        """End every fetch, also of other threads, with the reason `stopped`; what begins from now on ends at once."""
        with self._lock:
            self._stopped = True
            visits = list(self._visits)
        for visit in visits:
            visit.end(FetchError(STOPPED))

    def fetch(self, url: str, folder: Path) -> Path:
        """Download to a new file in `folder`. It has an extension only where yt-dlp knows one.

        Raises:
            FetchError: with one of the module's reasons.
            ConfigError: `folder` cannot be written.
        """
        with Visit(self._settings, self._turns) as visit:
            with self._lock:
                self._visits.add(visit)
                stopped = self._stopped
            try:
                if stopped:
                    visit.end(FetchError(STOPPED))
                return self._attempts(url, folder, visit)
            finally:
                with self._lock:
                    self._visits.discard(visit)

    def _attempts(self, url: str, folder: Path, visit: Visit) -> Path:
        partial = Partial(folder / "download")
        is_page = _site(url) is not None

        def attempt() -> Path:
            nonlocal is_page
            if not is_page:
                try:
                    _download(url, partial, visit, {})
                    return partial.path
                except PageError:
                    is_page = True
            return _fetch_page(url, folder, visit)

        return persist(attempt, visit, partial.size)


def fetch_file(url: str, partial: Partial, visit: Visit, headers: Mapping[str, str]) -> None:
    """Download a plain file to `partial`, attempt after attempt; `headers` go to this URL's host alone.

    Raises:
        FetchError: with one of the module's reasons; PageError for a page. What has come is kept.
        ConfigError: `partial.path` cannot be written.
    """
    persist(lambda: _download(url, partial, visit, headers), visit, partial.size)


def persist(attempt: Callable[[], Result], visit: Visit, arrived: Callable[[], int] = lambda: 0) -> Result:
    """Make attempts, with the pauses of the visit's settings, until one succeeds or fails for good, or enough failed.

    `arrived` says how many bytes have come in all.

    Raises:
        FetchError: an attempt's, or what the last TryAgainError of one comes to.
    """
    failed, reached = 0, arrived()
    while True:
        try:
            visit.check()
            return attempt()
        except TryAgainError as failure:
            visit.check()  # a connection that was cut at the deadline looks like a lost one
            size = arrived()
            failed = 0 if size >= reached + _PROGRESS else failed + 1
            reached = max(reached, size)
            _pause(failure, failed, visit)


def _pause(failure: TryAgainError, failed: int, visit: Visit) -> None:
    """Wait for the next attempt, or raise FetchError when there is none."""
    settings = visit.settings
    if failed > settings.retries:
        raise FetchError(failure.reason, f"{failure.detail} ({failed} attempts)") from failure
    wait_s = failure.wait_s
    if wait_s is None:
        wait_s = min(settings.backoff_s * 2 ** max(0, failed - 1), settings.max_pause_s)
    elif wait_s > settings.max_pause_s:
        asked = f"the server asks for a pause of {wait_s:.0f} s, above max_pause_s"
        raise FetchError(failure.reason, f"{failure.detail}; {asked}") from failure
    log.debug("%s: %s; again in %.0f s", failure.reason, failure.detail, wait_s)
    visit.pause(wait_s)


def _site(url: str) -> str | None:
    """The site by whose rules yt-dlp reads this URL; asked only where the URL does not look like a file."""
    if PurePosixPath(urlsplit(url).path).suffix.lower() in EXTENSIONS:
        return None
    from pipelines.crawling.pages import page_site  # yt-dlp takes a second to import; a crawl of files needs none of it

    return page_site(url)


def _fetch_page(url: str, folder: Path, visit: Visit) -> Path:
    from pipelines.crawling.pages import fetch_page

    return fetch_page(url, folder, visit)


# plain files


def _download(url: str, partial: Partial, visit: Visit, more_headers: Mapping[str, str]) -> None:
    """One attempt; raises TryAgainError or FetchError."""
    have = partial.size() if partial.resumable else 0
    headers = {"Accept-Encoding": "identity", **more_headers}
    if have:
        headers["Range"] = f"bytes={have}-"
        if partial.validator:
            headers["If-Range"] = partial.validator
    try:
        with visit.session() as session, visit.get(session, url, headers) as response:
            _check_answer(response)
            resumed = _continues(response, partial, have)
            _store(response, partial, have if resumed else 0, visit)
    except requests.RequestException as error:
        raise _as_failure(error) from error
    except urllib3.exceptions.ReadTimeoutError as error:
        raise TryAgainError("timeout", one_line(str(error))) from error
    except urllib3.exceptions.DecodeError as error:
        raise FetchError("bad_encoding", one_line(str(error))) from error
    except urllib3.exceptions.ProtocolError as error:
        raise TryAgainError("cut_short", one_line(str(error))) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise TryAgainError("connection_failed", one_line(str(error))) from error
    except ValueError as error:  # a redirect to what is no URL, or no text
        raise FetchError("invalid_url", one_line(str(error))) from error
    visit.check()  # a body without a stated length ends where its connection was cut


def _check_answer(response: requests.Response) -> None:
    status, reason = response.status_code, one_line(str(response.reason))
    if status in TEMPORARY:
        raise TryAgainError(f"http_{status}", reason, retry_after(response.headers.get("Retry-After")))
    if status not in (200, 206, 416):
        raise FetchError(f"http_{status}", reason)
    if response.headers.get("Content-Type", "").lower().startswith(_PAGE_TYPES):
        raise PageError("web_page", "a page came instead of the file")


def _continues(response: requests.Response, partial: Partial, have: int) -> bool:
    """Whether the answer goes on where `partial` ends; what it says about itself is noted in `partial`."""
    total = _whole_length(response)
    validator = _validator(response)
    asked = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
    same = partial.checked or (total == partial.total and validator == partial.validator)
    if response.status_code == 416 or (response.status_code == 206 and not (asked and (same or not have))):
        partial.resumable = False  # what we have is not a beginning of it: start again
        raise TryAgainError("cut_short", "the server has another file now, or sent another range than asked for")
    partial.total, partial.validator = total, validator
    partial.resumable = response.headers.get("Content-Encoding", "identity").lower() in ("", "identity")
    return response.status_code == 206


def _whole_length(response: requests.Response) -> int | None:
    whole = response.headers.get("Content-Length", "")
    if response.status_code == 206:
        whole = response.headers.get("Content-Range", "").rpartition("/")[2]
    return int(whole) if whole.isdecimal() else None


def _validator(response: requests.Response) -> str | None:
    """For If-Range (RFC 9110, 13.1.5), which takes no weak ETag."""
    etag = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _store(response: requests.Response, partial: Partial, size: int, visit: Visit) -> None:
    limit = visit.settings.max_bytes
    if partial.resumable and partial.total is not None and partial.total > limit:
        raise FetchError("too_large", f"{partial.total} bytes, above max_bytes = {limit}")
    with _writing(partial), open_own(partial.path, append=bool(size)) as handle:
        while chunk := _read(response):
            size += len(chunk)
            if size > limit:
                raise FetchError("too_large", f"above max_bytes = {limit}")
            handle.write(chunk)
            partial.arrived(size)
    if response.status_code == 206 and partial.total not in (None, size):
        raise TryAgainError("cut_short", f"{size} of {partial.total} bytes")


def _read(response: requests.Response) -> bytes:
    """What has arrived, decompressed; nothing that came before a connection broke is lost."""
    chunk: bytes = response.raw.read1(_CHUNK, decode_content=True)
    return chunk


@contextlib.contextmanager
def _writing(partial: Partial) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{partial.path.parent} cannot be written ({error.strerror}); {partial.way_out}") from error


def _as_failure(error: requests.RequestException) -> Exception:
    detail = one_line(str(error))
    if isinstance(error, requests.Timeout):
        return TryAgainError("timeout", detail)
    permanent: dict[type[requests.RequestException], str] = {
        requests.TooManyRedirects: "too_many_redirects",
        requests.exceptions.SSLError: "tls_error",
        requests.exceptions.InvalidSchema: "scheme_not_allowed",
        requests.exceptions.InvalidURL: "invalid_url",
        requests.exceptions.MissingSchema: "invalid_url",
    }
    for kind, reason in permanent.items():
        if isinstance(error, kind):
            return FetchError(reason, detail)
    return TryAgainError("connection_failed", detail)
