"""The one video of a page, by yt-dlp, within the limits of a crawl.

yt-dlp comes with many ways to the network. Here it has one, the guarded adapter of pipelines.crawling.guarded_http, and
no helper: ffmpeg, other downloaders and playlists' further videos are off. Only a picture track is asked for, so
nothing has to be merged.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yt_dlp
from requests.exceptions import InvalidSchema
from urllib3.util import Retry
from yt_dlp.extractor import gen_extractor_classes
from yt_dlp.networking import Request, RequestDirector, Response
from yt_dlp.networking._requests import RequestsHTTPAdapter, RequestsRH
from yt_dlp.networking.exceptions import HTTPError, RequestError, SSLError, TransportError
from yt_dlp.utils import UnsupportedError

from pipelines.crawling.guarded_http import TEMPORARY, GuardMixin, TryAgainError, Visit, one_line, retry_after
from pipelines.crawling.settings import CrawlSettings
from stableanimator.errors import FetchError

log = logging.getLogger(__name__)

_PAGE_BYTES = 64_000_000
"""What is read into memory at once: a page, a playlist, a piece of a video."""

_NATIVE = "[protocol~='^(https?|m3u8(_native)?|http_dash_segments(_generator)?)$']"
_FORMAT = "/".join(f"{kind}{_NATIVE}" for kind in ("bestvideo[ext=mp4]", "bestvideo*", "best"))
_NO_FFMPEG = "/nonexistent/ffmpeg"
_LIVE = ("is_live", "is_upcoming", "post_live")


def page_site(url: str) -> str | None:
    """The site by whose rules yt-dlp would read this page, or None when it knows none."""
    for extractor in gen_extractor_classes():
        if extractor.IE_NAME != "generic" and extractor.suitable(url):
            return str(extractor.IE_NAME)
    return None


def fetch_page(url: str, folder: Path, visit: Visit) -> Path:
    """Download the video of a page to a new file in `folder`.

    Raises:
        FetchError: with one of the reasons of pipelines.crawling.fetch.
        TryAgainError: the page could not be read, which may pass.
    """
    downloading = False
    errors: list[RequestError] = []
    try:
        with _Downloader(_options(visit, folder), visit, errors) as downloader:
            video = _only_video(downloader.extract_info(url, download=False))
            _check(video, visit.settings)
            downloading = True
            done = downloader.process_ie_result(video, download=True)
            return Path(done["requested_downloads"][0]["filepath"])
    except FetchError:
        raise
    except Exception as error:  # extractors meet pages that nobody foresaw
        visit.check()  # yt-dlp makes its own error of a refusal
        failure = _as_failure(error, *errors[-1:])  # the downloaders of yt-dlp keep the text of an error alone
        if downloading and isinstance(failure, TryAgainError):  # yt-dlp has made its further attempts
            raise FetchError(failure.reason, str(failure)) from error
        raise failure from error


def _options(visit: Visit, folder: Path) -> dict[str, Any]:
    settings = visit.settings

    def watch(status: dict[str, Any]) -> None:
        visit.check()
        if max(status.get("downloaded_bytes") or 0, status.get("total_bytes") or 0) > settings.max_bytes:
            raise visit.refuse(FetchError("too_large", f"above max_bytes = {settings.max_bytes}"))

    def pause(n: int) -> float:
        return min(settings.backoff_s * 2.0**n, settings.max_pause_s)

    return {
        "outtmpl": str(folder / "page.%(ext)s"),
        "format": _FORMAT,
        "progress_hooks": [watch],
        "retries": settings.retries,
        "fragment_retries": settings.retries,
        "retry_sleep_functions": {"http": pause, "fragment": pause},
        "skip_unavailable_fragments": False,  # a video with holes is not the video
        "socket_timeout": settings.timeout_s,
        "noplaylist": True,
        "playlistend": 2,  # enough to see that there are several
        "hls_prefer_native": True,
        "ffmpeg_location": _NO_FFMPEG,
        "fixup": "never",
        "cachedir": False,
        "updatetime": False,
        "noprogress": True,
        "logger": _Quiet(),
    }


def _only_video(info: Any) -> dict[str, Any]:
    while info and info.get("_type") in ("playlist", "multi_video"):
        entries = [entry for entry in info.get("entries") or () if entry]
        if len(entries) > 1:
            raise FetchError("several_videos", "list each video's own address")
        info = entries[0] if entries else None
    if not info:
        raise FetchError("html_instead_of_video", "yt-dlp finds no video on the page")
    return dict(info)


def _check(video: dict[str, Any], settings: CrawlSettings) -> None:
    """What the page says of its video before it is downloaded; where it says nothing, the file will."""
    if video.get("is_live") or video.get("live_status") in _LIVE:
        raise FetchError("live_stream", "it has no end yet")
    seconds, size = video.get("duration"), video.get("filesize")
    if seconds and settings.max_seconds is not None and seconds > settings.max_seconds:
        raise FetchError("too_long", f"{seconds:.0f} s, above max_seconds = {settings.max_seconds:g}")
    if size and size > settings.max_bytes:
        raise FetchError("too_large", f"{size} bytes, above max_bytes = {settings.max_bytes}")


def _as_failure(error: Exception, *others: Exception) -> FetchError | TryAgainError:
    chain = [cause for each in (error, *others) for cause in _causes(each)]
    for cause in chain:
        if isinstance(cause, (FetchError, TryAgainError)):
            return cause
        if isinstance(cause, InvalidSchema):
            return FetchError("scheme_not_allowed", one_line(str(cause)))
        if isinstance(cause, HTTPError) and cause.redirect_loop:
            return FetchError("too_many_redirects", one_line(str(cause.reason)))
        if isinstance(cause, HTTPError):
            reason, text = f"http_{cause.status}", one_line(str(cause.reason))
            if cause.status in TEMPORARY:
                return TryAgainError(reason, text, retry_after(cause.response.headers.get("Retry-After")))
            return FetchError(reason, text)
        if isinstance(cause, UnsupportedError):
            return FetchError("html_instead_of_video", "yt-dlp finds no video on the page")
        if isinstance(cause, SSLError):
            return FetchError("tls_error", one_line(str(cause)))
    for cause in chain:
        if isinstance(cause, TransportError):
            reason = "timeout" if "timed out" in str(cause) else "connection_failed"
            return TryAgainError(reason, one_line(str(cause)))
    return FetchError("page_failed", one_line(str(error)))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, in the several places where yt-dlp keeps that."""
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        current = pending.pop(0)
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        info = getattr(current, "exc_info", None) or (None, None)
        pending += [info[1], getattr(current, "cause", None), current.__cause__, current.__context__]


# yt-dlp behind our limits


class _Downloader(yt_dlp.YoutubeDL):
    """yt-dlp whose every request goes through `visit`; what goes wrong with one is added to `errors`."""

    def __init__(self, options: dict[str, Any], visit: Visit, errors: list[RequestError]) -> None:
        self._visit, self._errors = visit, errors
        super().__init__(options)

    def build_request_director(self, handlers: Any, preferences: Any = None) -> RequestDirector:
        director = super().build_request_director([_GuardedRH], preferences)
        for handler in director.handlers.values():
            handler.visit, handler.errors = self._visit, self._errors
        return director


class _GuardedRH(RequestsRH):  # yt-dlp wants the name to end so
    visit: Visit
    errors: list[RequestError]

    def _create_instance(self, cookiejar: Any, legacy_ssl_support: Any = None) -> Any:
        session = super()._create_instance(cookiejar, legacy_ssl_support)
        context = self._make_sslcontext(legacy_ssl_support=legacy_ssl_support)
        for scheme in ("http://", "https://"):
            session.mount(scheme, _PageAdapter(self.visit, ssl_context=context, max_retries=Retry(False)))
        return session

    def _send(self, request: Request) -> Response:
        with _noted(self.errors):
            return _CappedResponse(super()._send(request), self.visit, self.errors)


@contextlib.contextmanager
def _noted(errors: list[RequestError]) -> Iterator[None]:
    """Our errors as yt-dlp's, which it knows how to handle; all of them are kept in `errors`."""
    try:
        yield
    except (RequestError, TryAgainError, FetchError) as error:
        kind = TransportError if isinstance(error, TryAgainError) else RequestError
        errors.append(error if isinstance(error, RequestError) else kind(cause=error))
        raise errors[-1] from error


class _PageAdapter(GuardMixin, RequestsHTTPAdapter):
    def __init__(self, visit: Visit, **options: Any) -> None:
        self.visit = visit
        super().__init__(**options)


class _CappedResponse(Response):
    """A response that cannot fill the memory: what is read at once is bounded."""

    def __init__(self, inner: Response, visit: Visit, errors: list[RequestError]) -> None:
        super().__init__(inner, inner.url, inner.headers, inner.status, inner.reason)
        self._visit, self._errors = visit, errors

    def read(self, amt: int | None = None) -> bytes:
        with _noted(self._errors):
            if amt is not None:
                return self.fp.read(amt)
            pieces, size = [], 0
            while piece := self.fp.read(1 << 20):
                pieces.append(piece)
                size += len(piece)
                if size > _PAGE_BYTES:
                    raise self._visit.refuse(FetchError("too_large", f"a page above {_PAGE_BYTES} bytes"))
            return b"".join(pieces)


class _Quiet:
    """yt-dlp's messages: what matters of them is in the row."""

    def debug(self, message: str) -> None:
        log.debug("%s", message)

    warning = error = debug
