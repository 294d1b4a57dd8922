"""One URL to one local file: plain HTTP(S) with retries and resume, yt-dlp for pages that hold a video.

Every way in which a source can fail has a reason:

    http_<status>           the server refused it          too_large              above `max_bytes`
    timeout                 no byte for `timeout_s`        deadline               not complete after `deadline_s`
    unknown_host            no address for the name        private_address        inside the cluster or the machine
    connection_failed       refused, reset or cut short    scheme_not_allowed     not in `allowed_schemes`
    tls_error               certificate or handshake       too_many_redirects     redirects in a circle
    invalid_url             cannot be read as a URL        html_instead_of_video  a page that yt-dlp does not know
    page_failed             yt-dlp could not get a video   empty_file             no bytes
    not_a_video             neither content nor name says that it is one
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from stableanimator.errors import FetchError

if TYPE_CHECKING:
    from pipelines.crawl import CrawlSettings

EXTENSIONS = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".wmv", ".mpg", ".mpeg"),
    *(".ts", ".m2ts", ".3gp", ".ogv"),
)
"""Names under which a file counts as a video when a folder is listed."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
_CHUNK = 1 << 16  # what is lost at most when a connection breaks


class _TryAgainError(Exception):
    """A failure that may pass. `wait_s` is what the server asked for, or None."""

    def __init__(self, reason: str, detail: str, wait_s: float | None = None) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.wait_s = reason, detail, wait_s


class _PageError(Exception):
    """What came back is a page, not a file."""


class Fetcher:
    """Downloads URLs within the limits of the settings. Safe to share between threads."""

    def __init__(self, settings: CrawlSettings) -> None:
        self._settings = settings
        self._turns: dict[str, float] = {}
        self._lock = threading.Lock()

    def fetch(self, url: str, folder: Path) -> Path:
        """Download to a new file in `folder`.

        Raises:
            FetchError: with one of the module's reasons.
        """
        target = folder / "download"
        started = time.monotonic()
        failure = _TryAgainError("connection_failed", "never tried")
        for attempt in range(self._settings.retries + 1):
            if attempt:
                wait = self._settings.backoff_s * 2 ** (attempt - 1) if failure.wait_s is None else failure.wait_s
                time.sleep(min(wait, self._settings.timeout_s))
            self._await_turn(url)
            try:
                self._download(url, target, started + self._settings.deadline_s)
                return target
            except _TryAgainError as error:
                failure = error
            except _PageError:
                return self._fetch_page(url, folder)
        raise FetchError(failure.reason, f"{failure.detail} ({self._settings.retries + 1} attempts)")

    def _await_turn(self, url: str) -> None:
        """Wait until this host may be asked again."""
        host = urlsplit(url).hostname or ""
        with self._lock:
            turn = max(time.monotonic(), self._turns.get(host, 0.0))
            self._turns[host] = turn + self._settings.seconds_between_requests
        time.sleep(max(0.0, turn - time.monotonic()))

    def _download(self, url: str, target: Path, deadline: float) -> None:
        have = target.stat().st_size if target.exists() else 0
        headers = {"Accept-Encoding": "identity", "User-Agent": self._settings.user_agent}
        if have:
            headers["Range"] = f"bytes={have}-"
        try:
            with _session(self._settings) as session:
                timeout = self._settings.timeout_s
                with session.get(url, headers=headers, stream=True, timeout=timeout) as response:
                    self._store(response, target, have, deadline)
        except requests.RequestException as error:
            raise _as_failure(error) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _TryAgainError("connection_failed", str(error)) from error

    def _store(self, response: requests.Response, target: Path, have: int, deadline: float) -> None:
        status = response.status_code
        if status == 416:  # what we have is not a beginning of it: start again
            target.unlink(missing_ok=True)
        if status in _TEMPORARY or status == 416:
            raise _TryAgainError(f"http_{status}", response.reason, _retry_after(response))
        if status not in (200, 206):
            raise FetchError(f"http_{status}", response.reason)
        if response.headers.get("Content-Type", "").startswith(("text/html", "application/xhtml")):
            raise _PageError
        resumed = status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if status == 206 and not resumed:
            target.unlink(missing_ok=True)
            raise _TryAgainError("connection_failed", "the server sent another range than was asked for")
        size = have if resumed else 0
        limit = self._settings.max_bytes
        if size + int(response.headers.get("Content-Length") or 0) > limit:
            raise FetchError("too_large", f"above max_bytes = {limit}")
        with open(target, "ab" if resumed else "wb") as handle:
            for chunk in response.iter_content(_CHUNK):
                size += len(chunk)
                if size > limit:
                    raise FetchError("too_large", f"above max_bytes = {limit}")
                if time.monotonic() > deadline:
                    raise FetchError("deadline", f"not complete after {self._settings.deadline_s} s")
                handle.write(chunk)

    def _fetch_page(self, url: str, folder: Path) -> Path:
        """Let yt-dlp find the video of a page. Only its picture is asked for, so nothing has to be merged."""
        if page_site(url) is None:
            raise FetchError("html_instead_of_video", "a page of a site that yt-dlp does not know")
        import yt_dlp  # takes a second to import; most crawls need no page

        options: dict[str, Any] = {
            "outtmpl": str(folder / "page.%(ext)s"),
            "format": "bestvideo[ext=mp4]/bestvideo*/best",
            "max_filesize": self._settings.max_bytes,
            "retries": self._settings.retries,
            "socket_timeout": self._settings.timeout_s,
            "noplaylist": True,
            "quiet": True,
            "noprogress": True,
            "no_warnings": True,
        }
        try:
            with yt_dlp.YoutubeDL(options) as downloader:
                downloader.download([url])
        except yt_dlp.utils.YoutubeDLError as error:
            raise FetchError("page_failed", _one_line(str(error))) from error
        found = sorted(folder.glob("page.*"))
        if not found:  # yt-dlp passes over what is above its size limit
            raise FetchError("too_large", f"above max_bytes = {self._settings.max_bytes}")
        return found[0]


def page_site(url: str) -> str | None:
    """The site by whose rules yt-dlp would read this page, or None when it knows none."""
    from yt_dlp.extractor import gen_extractor_classes

    for extractor in gen_extractor_classes():
        if extractor.IE_NAME != "generic" and extractor.suitable(url):
            return str(extractor.IE_NAME)
    return None


def video_extension(path: Path, name: str) -> str:
    """The extension under which a file is stored: from its first bytes, else from its listed name.

    Raises:
        FetchError: empty_file, html_instead_of_video, not_a_video.
    """
    with open(path, "rb") as handle:
        head = handle.read(1024)
    if not head:
        raise FetchError("empty_file", "no bytes")
    if head[4:8] == b"ftyp":
        return ".mov" if head[8:10] == b"qt" else ".mp4"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return ".avi"
    if head[:4] == b"\x1aE\xdf\xa3":
        return ".webm" if b"webm" in head else ".mkv"
    if re.match(rb"\s*<(!doctype html|html|head|body)", head, re.IGNORECASE):
        raise FetchError("html_instead_of_video", "its content is a page")
    extension = Path(urlsplit(name).path).suffix.lower()
    if extension in EXTENSIONS:
        return extension
    raise FetchError("not_a_video", f"unknown content, and {extension or 'no extension'} in its name")


# who may be asked


def _session(settings: CrawlSettings) -> requests.Session:
    session = requests.Session()
    adapter = _GuardedAdapter(settings)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    session.max_redirects = 10
    return session


class _GuardedAdapter(HTTPAdapter):
    """Checks the scheme and the address of every request, redirects included, and of every connection made."""

    def __init__(self, settings: CrawlSettings) -> None:
        self._settings = settings
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        if not self._settings.allow_private_addresses:
            # a name may lead elsewhere when it is looked up again for the connection
            pools = {"http": _GuardedHTTPPool, "https": _GuardedHTTPSPool}
            self.poolmanager.pool_classes_by_scheme = pools

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        url = urlsplit(request.url or "")
        if url.scheme not in self._settings.allowed_schemes:
            allowed = ", ".join(self._settings.allowed_schemes)
            raise FetchError("scheme_not_allowed", f"{url.scheme}; crawl.allowed_schemes has {allowed}")
        if not self._settings.allow_private_addresses:
            for address in _addresses(url.hostname or ""):
                refuse_private(address)
        return super().send(request, **kwargs)


def _addresses(host: str) -> list[str]:
    try:
        return [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise FetchError("unknown_host", f"{host}: {error}") from error


def refuse_private(address: str) -> None:
    """Raises FetchError for an address that is not on the public internet (loopback, private, link-local …)."""
    parsed = ipaddress.ip_address(address.split("%")[0])
    if not parsed.is_global or parsed.is_multicast or not _inner(parsed).is_global:
        raise FetchError("private_address", f"{address}; crawl.allow_private_addresses=true would allow it")


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one leads to (mapped, 6to4, NAT64), else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


class _GuardedHTTP(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _refuse_private_peer(super()._new_conn())


class _GuardedHTTPS(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _refuse_private_peer(super()._new_conn())


def _refuse_private_peer(connection: socket.socket) -> socket.socket:
    try:
        refuse_private(str(connection.getpeername()[0]))
    except FetchError:
        connection.close()
        raise
    return connection


class _GuardedHTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _GuardedHTTP


class _GuardedHTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _GuardedHTTPS


# what went wrong


def _as_failure(error: requests.RequestException) -> Exception:
    if isinstance(error, requests.Timeout):
        return _TryAgainError("timeout", _one_line(str(error)))
    if isinstance(error, requests.TooManyRedirects):
        return FetchError("too_many_redirects", _one_line(str(error)))
    if isinstance(error, requests.exceptions.SSLError):
        return FetchError("tls_error", _one_line(str(error)))
    if isinstance(error, requests.exceptions.InvalidSchema):
        return FetchError("scheme_not_allowed", _one_line(str(error)))
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema)):
        return FetchError("invalid_url", _one_line(str(error)))
    if "Read timed out" in str(error):  # requests names a timeout in the middle of a body a ConnectionError
        return _TryAgainError("timeout", _one_line(str(error)))
    return _TryAgainError("connection_failed", _one_line(str(error)))


def _retry_after(response: requests.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
