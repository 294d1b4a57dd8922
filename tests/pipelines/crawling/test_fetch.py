from __future__ import annotations

import gzip
import http.server
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.crawling.fetch import Fetcher, PageError, Partial, fetch_file
from pipelines.crawling.guarded_http import HostTurns, Visit
from pipelines.crawling.settings import CrawlSettings
from stableanimator.errors import ConfigError, FetchError

Handler = http.server.BaseHTTPRequestHandler

BODY = os.urandom(3_000_000)


def _settings(**options: Any) -> CrawlSettings:
    quick = {"seconds_between_requests": 0, "backoff_s": 0.01, "timeout_s": 10.0, "retries": 1}
    return CrawlSettings(**{"allow_private_addresses": True, **quick, **options})


def _fetch(url: str, folder: Path, **options: Any) -> bytes:
    return Fetcher(_settings(**options)).fetch(url, folder).read_bytes()


class Breaking:
    """A file whose connection breaks after `step` bytes of each answer."""

    def __init__(self, body: bytes, step: int, etag: str | None = '"1"', ranges: bool = True) -> None:
        self.body, self.step, self.etag, self.ranges = body, step, etag, ranges
        self.starts: list[int] = []
        self.after: Callable[[], None] = lambda: None

    def __call__(self, handler: Handler) -> None:
        asked = handler.headers.get("Range") if self.ranges else None
        if handler.headers.get("If-Range") not in (None, self.etag):
            asked = None
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.starts.append(start)
        handler.send_response(206 if asked else 200)
        if asked:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.body) - 1}/{len(self.body)}")
        if self.etag:
            handler.send_header("ETag", self.etag)
        handler.send_header("Content-Length", str(len(self.body) - start))
        handler.end_headers()
        handler.wfile.write(self.body[start : start + self.step])
        self.after()


def test_a_broken_download_goes_on_where_it_stopped_and_loses_nothing(tmp_path: Path, site: Any):
    file = Breaking(BODY, 1_600_000)
    assert _fetch(site.on("/a", file), tmp_path) == BODY
    assert file.starts == [0, 1_600_000]


def test_attempts_that_bring_much_do_not_count(tmp_path: Path, site: Any):
    body = BODY * 2
    file = Breaking(body, 1 << 20)
    assert _fetch(site.on("/a", file), tmp_path, retries=0) == body
    assert file.starts == [number << 20 for number in range(6)]


def test_attempts_that_bring_little_do(tmp_path: Path, site: Any):
    file = Breaking(BODY, 1000)
    with pytest.raises(FetchError, match=r"cut_short.*3 attempts"):
        _fetch(site.on("/a", file), tmp_path, retries=2)
    assert file.starts == [0, 1000, 2000]


def test_a_server_that_ignores_ranges_is_read_from_the_beginning(tmp_path: Path, site: Any):
    file = Breaking(BODY, 2_000_000, ranges=False)
    file.after = lambda: setattr(file, "step", len(BODY))
    assert _fetch(site.on("/a", file), tmp_path) == BODY
    assert file.starts == [0, 0]


@pytest.mark.parametrize("asks_if_range", [True, False])
def test_a_file_that_changes_between_attempts_is_not_mixed(tmp_path: Path, site: Any, asks_if_range: bool):
    """Also when the server does not know If-Range and sends a range of the new file."""
    new = bytes(reversed(BODY))
    file = Breaking(BODY, 2_000_000)

    def change() -> None:
        file.body, file.etag, file.step = new, '"2"', len(new)

    def answer(handler: Handler) -> None:
        if not asks_if_range:
            del handler.headers["If-Range"]
        file(handler)

    file.after = change
    assert _fetch(site.on("/a", answer), tmp_path, retries=2) == new
    assert file.starts == ([0, 0] if asks_if_range else [0, 2_000_000, 0])


def test_a_file_of_another_length_is_not_mixed_though_the_server_names_no_version(tmp_path: Path, site: Any):
    new = BODY[::-1] + b"more"
    file = Breaking(BODY, 2_000_000, etag=None)
    file.after = lambda: (setattr(file, "body", new), setattr(file, "step", len(new)))  # type: ignore[assignment]
    assert _fetch(site.on("/a", file), tmp_path, retries=2) == new
    assert file.starts == [0, 2_000_000, 0]


def test_a_weak_etag_is_not_asked_with(tmp_path: Path, site: Any):
    date = "Wed, 21 Oct 2015 07:28:00 GMT"

    def answer(handler: Handler) -> None:
        asked = handler.headers.get("Range")
        handler.send_response(206 if asked else 200)
        handler.send_header("ETag", 'W/"1"')
        handler.send_header("Last-Modified", date)
        handler.send_header("Content-Length", "5" if asked else "10")
        if asked:
            handler.send_header("Content-Range", "bytes 5-9/10")
        handler.end_headers()
        handler.wfile.write(b"56789" if asked else b"01234")

    assert _fetch(site.on("/a", answer), tmp_path) == b"0123456789"
    assert [headers["If-Range"] for headers in site.headers["/a"]] == [None, date]


def test_what_was_compressed_on_the_way_is_begun_again(tmp_path: Path, site: Any):
    packed = gzip.compress(BODY)
    answers = iter([packed[:2_000_000], packed])

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(packed)))
        handler.end_headers()
        handler.wfile.write(next(answers))

    assert _fetch(site.on("/a", answer), tmp_path) == BODY
    assert [headers["Range"] for headers in site.headers["/a"]] == [None, None]


def test_a_range_that_is_only_a_piece_is_continued(tmp_path: Path, site: Any, reply: Callable[..., None]):
    def answer(handler: Handler) -> None:
        start = int((handler.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        piece = BODY[start : start + 2_000_000]
        span = f"bytes {start}-{start + len(piece) - 1}/{len(BODY)}"
        reply(handler, piece, status=206, Content_Range=span)

    assert _fetch(site.on("/a", answer), tmp_path) == BODY


def test_a_busy_server_is_asked_again_when_it_says(tmp_path: Path, site: Any, reply: Callable[..., None]):
    def answer(handler: Handler) -> None:
        if site.asked["/a"] == 1:
            reply(handler, b"", status=429, Retry_After=1)
        else:
            reply(handler, b"body")

    started = time.monotonic()
    assert _fetch(site.on("/a", answer), tmp_path) == b"body"
    assert 1.0 <= time.monotonic() - started < 8.0


def test_the_whole_host_is_left_alone_when_it_says_so(tmp_path: Path, site: Any):
    site.file("/busy", b"", status=503, Retry_After=1)
    site.file("/a", b"body")
    fetcher = Fetcher(_settings(retries=0))
    started = time.monotonic()
    with pytest.raises(FetchError, match="http_503"):
        fetcher.fetch(f"{site.url}/busy", tmp_path)
    fetcher.fetch(f"{site.url}/a", tmp_path)
    assert time.monotonic() - started >= 1.0


def test_a_server_that_asks_for_too_long_a_pause_has_failed(tmp_path: Path, site: Any):
    site.file("/a", b"", status=429, Retry_After=3600)
    with pytest.raises(FetchError, match=r"http_429.*3600 s"):
        _fetch(f"{site.url}/a", tmp_path, retries=5)
    assert site.asked == {"/a": 1}


def test_pauses_double(tmp_path: Path, site: Any):
    site.file("/a", b"", status=500)
    started = time.monotonic()
    with pytest.raises(FetchError, match="http_500"):
        _fetch(f"{site.url}/a", tmp_path, retries=3, backoff_s=0.1)
    assert time.monotonic() - started >= 0.1 + 0.2 + 0.4
    assert site.asked == {"/a": 4}


def test_a_fetch_is_stopped_from_another_thread(tmp_path: Path, site: Any):
    released = threading.Event()
    site.on("/a", lambda handler: released.wait(20) and None)
    fetcher = Fetcher(_settings(timeout_s=30))
    threading.Timer(0.2, fetcher.stop).start()
    started = time.monotonic()
    for _ in range(2):
        with pytest.raises(FetchError, match="stopped"):
            fetcher.fetch(f"{site.url}/a", tmp_path)
    assert time.monotonic() - started < 8.0
    released.set()


def test_a_folder_that_cannot_be_written_is_no_fault_of_the_source(tmp_path: Path, site: Any):
    with pytest.raises(ConfigError, match="TMPDIR"):
        _fetch(site.file("/a", b"body"), tmp_path / "gone")


@pytest.mark.parametrize("path", ["/a%20b/zo%C3%AB.mp4", "/%2e%2e/%2e%2e/etc/passwd.mp4", "/" + "n" * 300 + ".mp4"])
def test_no_name_of_a_server_becomes_a_path(tmp_path: Path, site: Any, path: str):
    named = 'attachment; filename="../../../tmp/x.mp4"'
    for asked in (path, path.replace("%2e", "."), path.replace("/%2e%2e", "")):  # clients may resolve the dots
        site.file(asked, b"body", Content_Disposition=named)
    fetched = Fetcher(_settings()).fetch(site.url + path, tmp_path)
    assert fetched == tmp_path / "download"
    assert os.listdir(tmp_path) == ["download"]


# the same for others than a crawl


def _fetch_file(url: str, partial: Partial, headers: dict[str, str] | None = None, **options: Any) -> bytes:
    with Visit(_settings(**options), HostTurns(0.0)) as visit:
        fetch_file(url, partial, visit, headers or {})
    return partial.path.read_bytes()


def test_what_an_earlier_run_has_left_is_continued_where_it_will_be_checked(tmp_path: Path, site: Any):
    (tmp_path / "part").write_bytes(BODY[:1_000_000])
    file, sizes = Breaking(BODY, 1_500_000), []
    part = Partial(tmp_path / "part", checked=True, arrived=sizes.append)
    assert _fetch_file(site.on("/a", file), part) == BODY
    assert file.starts == [1_000_000, 2_500_000]
    assert sizes == sorted(sizes)
    assert sizes[-1] == len(BODY)
    assert site.headers["/a"][0]["If-Range"] is None


def test_what_an_earlier_run_has_left_is_begun_again_where_nobody_will_check(tmp_path: Path, site: Any):
    (tmp_path / "part").write_bytes(bytes(1_000_000))
    file = Breaking(BODY, len(BODY))
    assert _fetch_file(site.on("/a", file), Partial(tmp_path / "part")) == BODY
    assert file.starts == [0]


def test_a_range_that_cannot_be_served_begins_again(tmp_path: Path, site: Any, reply: Callable[..., None]):
    def answer(handler: Handler) -> None:
        if handler.headers.get("Range"):
            reply(handler, b"", status=416, Content_Range="bytes */5")
        else:
            reply(handler, b"short")

    (tmp_path / "part").write_bytes(b"longer than the file")
    assert _fetch_file(site.on("/a", answer), Partial(tmp_path / "part", checked=True)) == b"short"
    assert [headers["Range"] for headers in site.headers["/a"]] == ["bytes=20-", None]


def test_a_page_instead_of_a_file_is_told(tmp_path: Path, site: Any):
    url = site.file("/a", b"<html>", "text/html")
    with pytest.raises(PageError, match="web_page: a page came instead of the file"):
        _fetch_file(url, Partial(tmp_path / "part"))


def test_a_limit_is_of_what_is_stored_not_of_what_was_sent(tmp_path: Path, site: Any, reply: Callable[..., None]):
    """Random bytes become longer when they are compressed."""
    packed = gzip.compress(BODY)
    assert len(packed) > len(BODY)
    url = site.on("/a", lambda handler: reply(handler, packed, Content_Encoding="gzip"))
    assert _fetch(url, tmp_path, max_bytes=len(BODY)) == BODY
    with pytest.raises(FetchError, match="too_large"):
        _fetch(url, tmp_path, max_bytes=len(BODY) - 1)


def test_a_callers_headers_stay_with_the_host_that_it_asked(tmp_path: Path, site: Any, reply: Callable[..., None]):
    sent: list[str | None] = []

    def there(handler: Handler) -> None:
        sent.append(handler.headers.get("Authorization"))
        reply(handler, b"body")

    def here(handler: Handler) -> None:
        sent.append(handler.headers.get("Authorization"))
        reply(handler, b"", status=302, Location=site.on("/there", there).replace("127.0.0.1", "localhost"))

    part = Partial(tmp_path / "part")
    assert _fetch_file(site.on("/here", here), part, {"Authorization": "Bearer secret"}) == b"body"
    assert sent == ["Bearer secret", None]


def test_a_caller_says_what_to_do_where_nothing_can_be_written(tmp_path: Path, site: Any):
    part = Partial(tmp_path / "gone" / "part", way_out="do that")
    with pytest.raises(ConfigError, match=r"gone cannot be written \(No such file or directory\); do that"):
        _fetch_file(site.file("/a", b"body"), part)
