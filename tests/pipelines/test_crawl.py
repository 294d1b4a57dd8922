from __future__ import annotations

import contextlib
import csv
import hashlib
import http.server
import json
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.crawl import CrawlSettings, crawl, list_sources
from pipelines.store import Store
from pipelines.tables import SOURCES
from stableanimator.errors import ConfigError, InputError


class Site:
    """A web site of this test: paths with bodies, and what was asked for."""

    def __init__(self, clip: bytes) -> None:
        self.clip = clip
        self.long_clip = clip + bytes(400_000)
        self.asked: Counter[str] = Counter()
        self.ranges: list[str] = []
        self.url = ""

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        path = handler.path
        self.asked[path] += 1
        if path in ("/clip.mp4", "/same.mp4"):
            self._send(handler, 200, self.clip, "video/mp4")
        elif path == "/page":
            self._send(handler, 200, b"<!DOCTYPE html><p>hello", "text/html; charset=utf-8")
        elif path == "/lies.mp4":  # says video, holds a page
            self._send(handler, 200, b"\n<html><p>sign in", "video/mp4")
        elif path == "/words.mp4x":
            self._send(handler, 200, b'{"error": "quota"}', "application/json")
        elif path == "/empty.mp4":
            self._send(handler, 200, b"", "video/mp4")
        elif path == "/busy.mp4" and self.asked[path] == 1:
            handler.send_response(503)
            handler.send_header("Retry-After", "0")
            handler.end_headers()
        elif path == "/busy.mp4":
            self._send(handler, 200, self.clip + b"busy", "video/mp4")
        elif path == "/breaks.mp4":
            self._break(handler)
        elif path == "/circle.mp4":
            self._redirect(handler, "/circle.mp4")
        elif path == "/moved.mp4":
            self._redirect(handler, "/clip.mp4")
        elif path == "/hangs.mp4":
            threading.Event().wait(3)
        else:
            self._send(handler, 404, b"no", "text/plain")

    def _send(self, handler: http.server.BaseHTTPRequestHandler, status: int, body: bytes, kind: str) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _redirect(self, handler: http.server.BaseHTTPRequestHandler, to: str) -> None:
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.end_headers()

    def _break(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        """The first answer stops half way; the next ones give the range that is asked for."""
        body = self.long_clip
        asked = handler.headers.get("Range", "")
        if not asked:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body[: len(body) // 2])
            return
        self.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        handler.send_header("Content-Length", str(len(body) - start))
        handler.end_headers()
        handler.wfile.write(body[start:])


@pytest.fixture
def site(tmp_path: Path, make_clip: Callable[..., Path]) -> Iterator[Site]:
    clip = make_clip(tmp_path / "served.mp4", frames=6).read_bytes()
    site = Site(clip)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(ConnectionError):
                site.answer(self)

        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


def _settings(*sources: str, **options: Any) -> CrawlSettings:
    quick = {"seconds_between_requests": 0, "backoff_s": 0.01, "timeout_s": 1.0, "retries": 1}
    return CrawlSettings(sources=sources, **{"allow_private_addresses": True, **quick, **options})


def _rows(tmp_path: Path, settings: CrawlSettings) -> list[dict[str, Any]]:
    return crawl(settings, Store(str(tmp_path / "root"))).sources.to_pylist()


def _row(tmp_path: Path, settings: CrawlSettings) -> dict[str, Any]:
    (row,) = _rows(tmp_path, settings)
    return row


def test_a_url_becomes_a_video_named_by_its_bytes(tmp_path: Path, site: Site):
    row = _row(tmp_path, _settings(f"{site.url}/clip.mp4"))
    video_id = hashlib.sha256(site.clip).hexdigest()
    assert (row["status"], row["video_id"], row["extension"]) == ("fetched", video_id, ".mp4")
    assert row["bytes"] == len(site.clip)
    stored = tmp_path / "root" / "media" / video_id[:2] / f"{video_id}.mp4"
    assert stored.read_bytes() == site.clip


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing.mp4", "http_404"),
        ("page", "html_instead_of_video"),
        ("lies.mp4", "html_instead_of_video"),
        ("words.mp4x", "not_a_video"),
        ("empty.mp4", "empty_file"),
        ("circle.mp4", "too_many_redirects"),
        ("hangs.mp4", "timeout"),
    ],
)
def test_what_cannot_be_had_is_a_row_with_a_reason(tmp_path: Path, site: Site, path: str, reason: str):
    settings = _settings(f"{site.url}/{path}", timeout_s=0.3, retries=0)
    row = _row(tmp_path, settings)
    assert (row["status"], row["reason"], row["video_id"]) == ("failed", reason, None)


def test_a_host_that_does_not_answer_or_does_not_exist(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    urls = (f"http://127.0.0.1:{port}/a.mp4", "http://no-such-host.invalid/a.mp4")
    reasons = [row["reason"] for row in _rows(tmp_path, _settings(*urls, allow_private_addresses=True))]
    assert reasons[0] == "connection_failed"
    public = _row(tmp_path, _settings(urls[1], allow_private_addresses=False, retry_failed=True))
    assert public["reason"] == "unknown_host"


@pytest.mark.parametrize("path", ["clip.mp4", "moved.mp4"])
def test_private_addresses_are_refused_and_nothing_is_asked_of_them(tmp_path: Path, site: Site, path: str):
    for host in (site.url, site.url.replace("127.0.0.1", "localhost")):
        row = _row(tmp_path, _settings(f"{host}/{path}", allow_private_addresses=False))
        assert row["reason"] == "private_address"
    assert site.asked == {}


def test_a_redirect_is_followed(tmp_path: Path, site: Site):
    assert _row(tmp_path, _settings(f"{site.url}/moved.mp4"))["status"] == "fetched"


def test_a_busy_server_is_asked_again(tmp_path: Path, site: Site):
    assert _row(tmp_path, _settings(f"{site.url}/busy.mp4"))["status"] == "fetched"
    assert site.asked["/busy.mp4"] == 2


def test_a_broken_download_goes_on_where_it_stopped(tmp_path: Path, site: Site):
    row = _row(tmp_path, _settings(f"{site.url}/breaks.mp4"))
    assert row["video_id"] == hashlib.sha256(site.long_clip).hexdigest()
    (resumed,) = site.ranges
    start = int(resumed.removeprefix("bytes=").rstrip("-"))
    assert len(site.long_clip) // 2 - (1 << 16) <= start <= len(site.long_clip) // 2


def test_a_file_above_the_cap_is_refused(tmp_path: Path, site: Site):
    limit = len(site.clip) - 1
    assert _row(tmp_path, _settings(f"{site.url}/clip.mp4", max_bytes=limit))["reason"] == "too_large"


def test_nothing_is_fetched_twice(tmp_path: Path, site: Site):
    settings = _settings(f"{site.url}/clip.mp4", f"{site.url}/missing.mp4")
    store = Store(str(tmp_path / "root"))
    first = crawl(settings, store)
    second = crawl(settings, store)
    assert second.sources.equals(first.sources)
    assert (first.fetched_now, second.fetched_now) == (1, 0)
    assert site.asked == {"/clip.mp4": 1, "/missing.mp4": 1}
    crawl(_settings(*settings.sources, retry_failed=True), store)
    assert site.asked == {"/clip.mp4": 1, "/missing.mp4": 2}


def test_a_video_that_was_deleted_from_the_store_is_fetched_again(tmp_path: Path, site: Site):
    row = _row(tmp_path, _settings(f"{site.url}/clip.mp4"))
    (tmp_path / "root" / "media" / row["video_id"][:2] / f"{row['video_id']}.mp4").unlink()
    assert _row(tmp_path, _settings(f"{site.url}/clip.mp4")) == row
    assert site.asked == {"/clip.mp4": 2}


def test_every_listed_source_is_one_row_and_repeats_are_duplicates(tmp_path: Path, site: Site):
    urls = [f"{site.url}/clip.mp4", f"{site.url}/same.mp4", f"{site.url}/clip.mp4", f"{site.url}/missing.mp4"]
    rows = _rows(tmp_path, _settings(*urls))
    assert [row["source_uri"] for row in rows] == urls
    assert [row["status"] for row in rows] == ["fetched", "duplicate", "duplicate", "failed"]
    assert len({row["video_id"] for row in rows[:3]}) == 1
    assert site.asked["/clip.mp4"] == 1


def test_lists_carry_what_is_known_about_rights(tmp_path: Path, site: Site):
    table, lines = tmp_path / "list.csv", tmp_path / "list.jsonl"
    with open(table, "w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerows([["url", "licence", "consent"], [f"{site.url}/clip.mp4", "CC-BY-4.0", "signed"]])
    lines.write_text(json.dumps({"uri": f"{site.url}/missing.mp4", "uploader": "Zoë", "language": "pt"}) + "\n\n")
    rows = _rows(tmp_path, _settings(lists=(str(table), str(lines))))
    assert (rows[0]["licence"], rows[0]["consent"], rows[0]["uploader"]) == ("CC-BY-4.0", "signed", None)
    assert (rows[1]["uploader"], rows[1]["language"], rows[1]["reason"]) == ("Zoë", "pt", "http_404")


def test_a_list_may_name_local_files_only_when_allowed(tmp_path: Path, make_clip: Callable[..., Path]):
    clip = make_clip(tmp_path / "mine.mp4", frames=6)
    listing = tmp_path / "list.csv"
    entries = [str(clip), clip.as_uri(), "relative/clip.mp4", "/no/such.mp4", str(tmp_path)]
    listing.write_text("url\n" + "\n".join(entries) + "\n")
    refused = _rows(tmp_path, _settings(lists=(str(listing),)))
    assert {row["reason"] for row in refused} == {"scheme_not_allowed"}
    rows = _rows(tmp_path, _settings(lists=(str(listing),), allowed_schemes=("http", "https", "file")))
    assert [row["status"] for row in rows] == ["fetched", "duplicate", "failed", "failed", "failed"]
    assert [row["reason"] for row in rows[2:]] == ["relative_path", "not_found", "not_a_file"]


def test_a_folder_lists_its_videos_in_name_order(tmp_path: Path, make_clip: Callable[..., Path]):
    folder = tmp_path / "clips"
    (folder / "deeper").mkdir(parents=True)
    make_clip(folder / "b.mp4", frames=6)
    make_clip(folder / "deeper" / "ünïcode name.MP4", seeds=(2,), frames=6)
    (folder / "notes.txt").write_text("not a video")
    (folder / ".hidden.mp4").write_bytes(b"x")
    (folder / "zero.avi").write_bytes(b"")
    (folder / "broken.mp4").symlink_to(folder / "gone.mp4")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    rows = _rows(tmp_path, _settings(str(folder)))
    names = [os.path.relpath(row["source_uri"], folder) for row in rows]
    assert names == ["b.mp4", "broken.mp4", "zero.avi", "deeper/ünïcode name.MP4"]
    assert [row["reason"] for row in rows] == [None, "not_found", "empty_file", None]


def test_a_changed_local_file_is_seen(tmp_path: Path, make_clip: Callable[..., Path]):
    clip = make_clip(tmp_path / "mine.mp4", frames=6)
    first = _row(tmp_path, _settings(str(clip)))
    make_clip(clip, seeds=(2,), frames=6)
    assert _row(tmp_path, _settings(str(clip)))["video_id"] != first["video_id"]


def test_the_content_names_the_container_not_the_file_name(tmp_path: Path, make_clip: Callable[..., Path]):
    clip = make_clip(tmp_path / "mine.mp4", frames=6)
    renamed = clip.rename(tmp_path / "mine.avi")
    assert _row(tmp_path, _settings(str(renamed)))["extension"] == ".mp4"


def test_what_the_user_named_and_is_not_there_is_an_error(tmp_path: Path):
    with pytest.raises(InputError, match="does not exist"):
        list_sources(_settings("/no/such/folder"))
    with pytest.raises(InputError, match="does not exist"):
        list_sources(_settings(lists=("/no/such/list.csv",)))
    with pytest.raises(ConfigError, match="ftp://"):
        list_sources(_settings("ftp://host/clip.mp4"))
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"title": "no url"}\n')
    with pytest.raises(InputError, match="entry 1"):
        list_sources(_settings(lists=(str(bad),)))
    bad.write_text("{not json\n")
    with pytest.raises(InputError, match="cannot be read"):
        list_sources(_settings(lists=(str(bad),)))


def test_nothing_listed_is_an_empty_table(tmp_path: Path):
    assert crawl(_settings(), Store(str(tmp_path))).sources.equals(SOURCES.empty_table())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sources": ("clips/mine",)}, "relative path"),
        ({"workers": 0}, "workers"),
        ({"retries": -1}, "retries"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"seconds_between_requests": -1}, "seconds_between_requests"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        CrawlSettings(**settings)
