from __future__ import annotations

import time
from pathlib import Path

import pytest

from pipelines.crawl import CrawlSettings
from pipelines.fetch import Fetcher, page_site, refuse_private, video_extension
from stableanimator.errors import FetchError


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.9",
        "172.16.5.5",
        "169.254.169.254",
        "0.0.0.0",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::a00:1",
        "224.0.0.251",
    ],
)
def test_addresses_inside_are_refused(address: str):
    with pytest.raises(FetchError, match="private_address"):
        refuse_private(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111"])
def test_public_addresses_are_not(address: str):
    refuse_private(address)


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("https://www.youtube.com/watch?v=dQw4w9WgXcQ", "youtube"),
        ("https://www.tiktok.com/@user/video/7000000000000000000", "TikTok"),
        ("https://www.bilibili.com/video/BV1xx411c7mD", "BiliBili"),
        ("http://127.0.0.1/page", None),
    ],
)
def test_pages_of_known_sites_go_to_yt_dlp(url: str, site: str | None):
    assert page_site(url) == site


@pytest.mark.parametrize(
    ("head", "name", "extension"),
    [
        (b"\0\0\0\x20ftypisom", "x", ".mp4"),
        (b"\0\0\0\x14ftypqt  ", "x", ".mov"),
        (b"RIFF\0\0\0\0AVI LIST", "x.mp4", ".avi"),
        (b"\x1aE\xdf\xa3....B\x82\x84webm", "x", ".webm"),
        (b"\x1aE\xdf\xa3....B\x82\x88matroska", "x", ".mkv"),
        (b"unknown bytes", "https://host/a/b.FLV?x=1.txt", ".flv"),
    ],
)
def test_the_first_bytes_name_the_container(tmp_path: Path, head: bytes, name: str, extension: str):
    (tmp_path / "f").write_bytes(head)
    assert video_extension(tmp_path / "f", name) == extension


@pytest.mark.parametrize(
    ("head", "name", "reason"),
    [
        (b"", "x.mp4", "empty_file"),
        (b" \n<HTML lang=en>", "x.mp4", "html_instead_of_video"),
        (b"\xff\xd8\xff\xe0 a JPEG", "x.jpg", "not_a_video"),
    ],
)
def test_what_is_no_video_has_a_reason(tmp_path: Path, head: bytes, name: str, reason: str):
    (tmp_path / "f").write_bytes(head)
    with pytest.raises(FetchError) as error:
        video_extension(tmp_path / "f", name)
    assert error.value.reason == reason


def test_requests_to_one_host_keep_their_distance(tmp_path: Path):
    settings = CrawlSettings(seconds_between_requests=0.1, retries=0, timeout_s=0.2)
    fetcher = Fetcher(settings)
    started = time.monotonic()
    for _ in range(3):
        with pytest.raises(FetchError, match="private_address"):
            fetcher.fetch("http://127.0.0.1:9/a.mp4", tmp_path)
    assert time.monotonic() - started >= 0.2


def test_a_scheme_that_is_not_allowed_is_refused(tmp_path: Path):
    with pytest.raises(FetchError, match="scheme_not_allowed"):
        Fetcher(CrawlSettings(allowed_schemes=("https",))).fetch("http://127.0.0.1/a.mp4", tmp_path)
    with pytest.raises(FetchError, match="scheme_not_allowed"):
        Fetcher(CrawlSettings()).fetch("gopher://host/a.mp4", tmp_path)
