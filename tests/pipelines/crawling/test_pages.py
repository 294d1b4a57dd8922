from __future__ import annotations

import gzip
import http.server
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from pipelines.crawling.fetch import Fetcher
from pipelines.crawling.pages import page_site
from pipelines.crawling.settings import CrawlSettings
from stableanimator.errors import FetchError


def _fetch(url: str, folder: Path, **options: Any) -> Path:
    quick = {"seconds_between_requests": 0, "backoff_s": 0.01, "timeout_s": 10.0, "retries": 1}
    return Fetcher(CrawlSettings(**{"allow_private_addresses": True, **quick, **options})).fetch(url, folder)


@pytest.fixture
def clip(tmp_path: Path, make_clip: Callable[..., Path]) -> bytes:
    return make_clip(tmp_path / "served.mp4", frames=6).read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "download").mkdir()
    return tmp_path / "download"


def _page(site: Any, body: str) -> str:
    return site.file("/page", f"<!DOCTYPE html><html><body>{body}</body></html>".encode(), "text/html; charset=utf-8")


def _described(site: Any, **fields: Any) -> str:
    listed = "".join(f', "{name}": "{value}"' for name, value in fields.items())
    about = f'{{"@context": "https://schema.org", "@type": "VideoObject", "name": "x"{listed}}}'
    return _page(site, f'<script type="application/ld+json">{about}</script>')


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://www.youtube.com/watch?v=dQw4w9WgXcQ", "youtube"),
        ("https://www.tiktok.com/@user/video/7000000000000000000", "TikTok"),
        ("https://www.bilibili.com/video/BV1xx411c7mD", "BiliBili"),
        ("http://127.0.0.1/page", None),
    ],
)
def test_pages_of_known_sites_go_to_yt_dlp(url: str, name: str | None):
    assert page_site(url) == name


@pytest.mark.parametrize("body", ['<video src="/clip.mp4"></video>', '<video><source src="{url}/clip.mp4"></video>'])
def test_the_video_of_a_page_is_downloaded(folder: Path, site: Any, clip: bytes, body: str):
    site.file("/clip.mp4", clip)
    fetched = _fetch(_page(site, body.format(url=site.url)), folder)
    assert fetched.read_bytes() == clip
    assert fetched.parent == folder
    assert fetched.suffix == ".mp4"


def test_the_video_of_a_pages_description_is_downloaded(folder: Path, site: Any, clip: bytes):
    site.file("/clip.mp4", clip)
    body = f'<meta property="og:title" content="x"><meta property="og:video" content="{site.url}/clip.mp4">'
    assert _fetch(_page(site, body), folder).read_bytes() == clip


def test_a_video_in_segments_is_put_together(folder: Path, site: Any):
    """HLS: a playlist that names pieces of an MPEG-TS."""
    whole = folder / "whole.ts"
    with av.open(str(whole), "w", format="mpegts") as container:
        stream = container.add_stream("mpeg2video", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(12):
            container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode())
    body = whole.read_bytes()
    middle = len(body) // 188 // 2 * 188
    site.file("/1.ts", body[:middle], "video/mp2t")
    site.file("/2.ts", body[middle:], "video/mp2t")
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3.0,\n1.ts\n#EXTINF:2.0,\n2.ts\n#EXT-X-ENDLIST\n"
    url = site.file("/list.m3u8", playlist.encode(), "application/vnd.apple.mpegurl")
    assert _fetch(url, folder).read_bytes() == body


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("<p>sign in", "html_instead_of_video"),
        ('<video src="/circle.mp4"></video>', "too_many_redirects"),
        ('<video src="/gone.mp4"></video>', "http_404"),
        ('<video src="/moved.mp4"></video>', "scheme_not_allowed"),
        ('<video src="/busy.mp4"></video>', "http_503"),
        ('<video src="/hangs.mp4"></video>', "timeout"),
        ('<video src="/clip.mp4"></video><p><video src="/clip.mp4?2"></video>', "several_videos"),
    ],
)
def test_a_page_without_one_video_has_a_reason(folder: Path, site: Any, clip: bytes, body: str, reason: str):
    site.file("/clip.mp4", clip)
    site.redirect("/moved.mp4", "file:///etc/passwd")
    site.redirect("/circle.mp4", "/circle.mp4")
    site.file("/busy.mp4", b"", status=503)
    site.on("/hangs.mp4", lambda handler: time.sleep(2))
    with pytest.raises(FetchError) as error:
        _fetch(_page(site, body), folder, timeout_s=0.4 if reason == "timeout" else 10.0)
    assert error.value.reason == reason


def test_a_page_is_asked_again_when_its_server_is_busy(folder: Path, site: Any, clip: bytes, reply: Any):
    site.file("/clip.mp4", clip)
    body = b'<!DOCTYPE html><video src="/clip.mp4"></video>'

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        if site.asked["/page"] == 2:  # the first is ours, the second yt-dlp's
            reply(handler, b"", status=429, Retry_After=1)
        else:
            reply(handler, body, "text/html")

    started = time.monotonic()
    assert _fetch(site.on("/page", answer), folder).read_bytes() == clip
    assert time.monotonic() - started >= 1.0


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:{port}/clip.mp4", "http://169.254.169.254/x.mp4", "http://[::1]/x.mp4"]
)
@pytest.mark.parametrize("way", ["named", "redirected"])
def test_a_page_does_not_lead_inside(folder: Path, site: Any, public_name: str, clip: bytes, target: str, way: str):
    target = target.format(port=site.port)
    site.file("/clip.mp4", clip)
    site.redirect("/moved.mp4", target)
    _page(site, f'<video src="{target if way == "named" else "/moved.mp4"}"></video>')
    with pytest.raises(FetchError, match="private_address"):
        _fetch(f"{public_name}/page", folder, allow_private_addresses=False)
    assert site.asked["/clip.mp4"] == 0


def test_a_page_with_a_public_video_is_fetched_under_the_same_limits(
    folder: Path, site: Any, public_name: str, clip: bytes
):
    site.file("/clip.mp4", clip)
    _page(site, '<video src="/clip.mp4"></video>')
    assert _fetch(f"{public_name}/page", folder, allow_private_addresses=False).read_bytes() == clip


def test_the_duration_is_asked_for_before_the_download(folder: Path, site: Any, clip: bytes):
    url = _described(site, contentUrl=site.file("/clip.mp4", clip), duration="PT2H")
    with pytest.raises(FetchError, match="too_long: 7200 s, above max_seconds = 3600"):
        _fetch(url, folder)
    assert os.listdir(folder) == []
    assert _fetch(url, folder, max_seconds=None).read_bytes() == clip


def test_a_stream_without_an_end_is_not_begun(folder: Path, site: Any):
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3.0,\n1.ts\n"
    with pytest.raises(FetchError, match="live_stream"):
        _fetch(site.file("/list.m3u8", playlist.encode(), "application/x-mpegurl"), folder)
    assert site.asked["/1.ts"] == 0


def test_a_segment_that_is_missing_is_no_video_with_a_hole(folder: Path, site: Any):
    site.file("/1.ts", bytes(188), "video/mp2t")
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3.0,\n1.ts\n#EXTINF:2.0,\n2.ts\n#EXT-X-ENDLIST\n"
    with pytest.raises(FetchError, match="http_404"):
        _fetch(site.file("/list.m3u8", playlist.encode(), "application/x-mpegurl"), folder)


@pytest.mark.parametrize("stated", [True, False])
def test_the_size_of_a_pages_video_is_capped(folder: Path, site: Any, clip: bytes, stated: bool):
    body = clip + bytes(2_000_000)
    site.file("/clip.mp4", body, Content_Length=len(body) if stated else None)
    with pytest.raises(FetchError, match="too_large"):
        _fetch(_page(site, '<video src="/clip.mp4"></video>'), folder, max_bytes=1_000_000)


def test_a_page_cannot_fill_the_memory(folder: Path, site: Any):
    bomb = gzip.compress(b"<!DOCTYPE html><html><body>" + b" " * 70_000_000, 1)
    url = site.file("/page", bomb, "text/html", Content_Encoding="gzip")
    with pytest.raises(FetchError, match="too_large"):
        _fetch(url, folder)


def test_a_page_that_drips_ends_at_the_deadline(folder: Path, site: Any):
    def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/html")
        handler.end_headers()
        for _ in range(400):
            handler.wfile.write(b"<p>")
            time.sleep(0.05)

    started = time.monotonic()
    with pytest.raises(FetchError, match="deadline"):
        _fetch(site.on("/page", drip), folder, deadline_s=1.5)
    assert time.monotonic() - started < 10.0


def test_the_requests_of_a_page_keep_their_distance(folder: Path, site: Any, clip: bytes):
    site.file("/clip.mp4", clip)
    started = time.monotonic()
    _fetch(_page(site, '<video src="/clip.mp4"></video>'), folder, seconds_between_requests=0.3)
    asked = sum(site.asked.values())
    assert asked >= 3  # the page by us and by yt-dlp, the video
    assert time.monotonic() - started >= 0.3 * (asked - 1)
