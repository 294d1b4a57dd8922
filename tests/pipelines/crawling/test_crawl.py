from __future__ import annotations

import csv
import hashlib
import http.server
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.crawling.crawl import CrawlPlan, crawl, plan_crawl
from pipelines.crawling.settings import CrawlSettings
from pipelines.storage.store import Store
from pipelines.storage.tables import SOURCES
from stableanimator.errors import InputError


@pytest.fixture
def clip(site: Any, tmp_path: Path, make_clip: Callable[..., Path]) -> bytes:
    """A clip of a quarter of a second that the site serves."""
    body = make_clip(tmp_path / "served.mp4", frames=6).read_bytes()
    site.file("/clip.mp4", body)
    return body


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "root"))


def _settings(*sources: str, **options: Any) -> CrawlSettings:
    quick = {"seconds_between_requests": 0, "backoff_s": 0.01, "timeout_s": 10.0, "retries": 1}
    return CrawlSettings(sources=sources, **{"allow_private_addresses": True, **quick, **options})


def _rows(store: Store, settings: CrawlSettings) -> list[dict[str, Any]]:
    return crawl(settings, store).sources.to_pylist()


def _row(store: Store, settings: CrawlSettings) -> dict[str, Any]:
    (row,) = _rows(store, settings)
    return row


def test_a_url_becomes_a_video_named_by_its_bytes(store: Store, site: Any, clip: bytes):
    row = _row(store, _settings(f"{site.url}/clip.mp4"))
    video_id = hashlib.sha256(clip).hexdigest()
    assert (row["status"], row["video_id"], row["extension"]) == ("fetched", video_id, ".mp4")
    assert row["bytes"] == len(clip)
    stored = Path(store.root) / "media" / video_id[:2] / f"{video_id}.mp4"
    assert stored.read_bytes() == clip


def test_the_video_of_a_page_becomes_a_video(store: Store, site: Any, clip: bytes):
    page = site.file("/page", b'<!DOCTYPE html><video src="/clip.mp4"></video>', "text/html")
    row = _row(store, _settings(page))
    assert (row["source_uri"], row["video_id"]) == (page, hashlib.sha256(clip).hexdigest())


def test_a_signed_url_is_fetched_with_its_signature_and_known_and_stored_without(store: Store, site: Any, clip: bytes):
    """Another signature is the same file, also after one that had run out; another key is another file."""
    signed = "/clip.mp4?X-Amz-Credential=hush&X-Amz-Signature=hush{}"
    site.file(signed.format(1), b"", status=403)
    site.file(signed.format(2), clip)
    urls = [site.url + signed.format(number) for number in (1, 2, 3)]
    assert _row(store, _settings(urls[0]))["reason"] == "http_403"
    assert _row(store, _settings(urls[0]))["reason"] == "http_403"  # remembered
    row = _row(store, _settings(urls[1]))
    assert (row["source_uri"], row["status"]) == (f"{site.url}/clip.mp4", "fetched")
    assert _row(store, _settings(urls[2])) == row
    assert site.asked == {signed.format(1): 1, signed.format(2): 1}

    site.file("/get?key=hush1", clip)
    site.file("/get?key=hush2", clip[:-1])
    rows = _rows(store, _settings(f"{site.url}/get?key=hush1", f"{site.url}/get?key=hush2"))
    assert len({each["video_id"] for each in rows}) == len({each["source_uri"] for each in rows}) == 2
    stored = list(Path(store.root).rglob("*.parquet"))
    assert stored
    assert not any(b"hush" in path.read_bytes() for path in stored)
    assert "hush" not in str([rows, row])


def test_private_addresses_are_refused_and_nothing_is_asked_of_them(store: Store, site: Any, clip: bytes):
    for host in (site.url, site.url.replace("127.0.0.1", "localhost")):
        row = _row(store, _settings(f"{host}/clip.mp4", allow_private_addresses=False))
        assert row["reason"] == "private_address"
    assert site.asked == {}


def test_what_other_limits_refused_is_tried_again_under_new_ones(store: Store, site: Any, clip: bytes):
    url = f"{site.url}/clip.mp4"
    for options, reason in (
        ({"allow_private_addresses": False}, "private_address"),
        ({"max_bytes": len(clip) - 1}, "too_large"),
        ({"max_seconds": 0.1}, "too_long"),
        ({}, None),
    ):
        assert _row(store, _settings(url, **options))["reason"] == reason


def test_nothing_is_fetched_twice(store: Store, site: Any, clip: bytes):
    settings = _settings(f"{site.url}/clip.mp4", f"{site.url}/missing.mp4")
    first = crawl(settings, store)
    second = crawl(settings, store)
    assert second.sources.equals(first.sources)
    assert (first.fetched_now, second.fetched_now) == (1, 0)
    assert (first.bytes_now, second.bytes_now) == (len(clip), 0)
    assert site.asked == {"/clip.mp4": 1, "/missing.mp4": 1}
    crawl(_settings(*settings.sources, retry_failed=True), store)
    assert site.asked == {"/clip.mp4": 1, "/missing.mp4": 2}


def test_a_source_that_failed_and_is_had_later_is_remembered_as_had(store: Store, site: Any, clip: bytes):
    url = f"{site.url}/late.mp4"
    assert _row(store, _settings(url))["reason"] == "http_404"
    site.file("/late.mp4", clip)
    assert _row(store, _settings(url))["reason"] == "http_404"
    assert _row(store, _settings(url, retry_failed=True))["status"] == "fetched"
    assert _row(store, _settings(url))["status"] == "fetched"
    assert site.asked == {"/late.mp4": 2}


def test_a_video_that_was_deleted_from_the_store_is_fetched_again(store: Store, site: Any, clip: bytes):
    row = _row(store, _settings(f"{site.url}/clip.mp4"))
    (Path(store.root) / "media" / row["video_id"][:2] / f"{row['video_id']}.mp4").unlink()
    assert _row(store, _settings(f"{site.url}/clip.mp4")) == row
    assert site.asked == {"/clip.mp4": 2}


def test_every_listed_source_is_one_row_and_repeats_are_duplicates(store: Store, site: Any, clip: bytes):
    site.file("/same.mp4", clip)
    spelled = site.url.replace("http", "HTTP") + "/clip.mp4"
    urls = [f"{site.url}/clip.mp4", f"{site.url}/same.mp4", f"{site.url}/clip.mp4", spelled, f"{site.url}/missing.mp4"]
    rows = _rows(store, _settings(*urls))
    assert [row["source_uri"] for row in rows] == urls
    assert [row["status"] for row in rows] == ["fetched", "duplicate", "duplicate", "duplicate", "failed"]
    assert len({row["video_id"] for row in rows[:4]}) == 1
    assert site.asked["/clip.mp4"] == 1


def test_lists_carry_what_is_known_about_rights_through_to_their_rows(
    store: Store, site: Any, clip: bytes, tmp_path: Path
):
    table, other = tmp_path / "list.csv", tmp_path / "list.parquet"
    with open(table, "w", newline="") as handle:
        rows = [["url", "licence", "consent"], [f"{site.url}/clip.mp4", "CC-BY-4.0", "signed"], ["", "CC0", ""]]
        csv.writer(handle).writerows(rows)
    pq.write_table(pa.table({"uri": [f"{site.url}/missing.mp4"], "uploader": ["Zoë"], "language": ["pt"]}), other)
    listed = _rows(store, _settings(lists=(str(table), str(other))))
    names = ("status", "reason", "licence", "uploader", "consent", "language")
    assert [tuple(row[name] for name in names) for row in listed] == [
        ("fetched", None, "CC-BY-4.0", None, "signed", None),
        ("failed", "no_url", "CC0", None, None, None),
        ("failed", "http_404", None, "Zoë", None, "pt"),
    ]
    assert listed[1]["source_uri"] == f"{table}, entry 2"


def test_a_list_may_name_local_files_only_when_allowed(store: Store, tmp_path: Path, make_clip: Callable[..., Path]):
    clip = make_clip(tmp_path / "mine.mp4", frames=6)
    listing = tmp_path / "list.csv"
    listing.write_text("url\n" + "\n".join([str(clip), clip.as_uri(), "/no/such.mp4", str(tmp_path)]) + "\n")
    refused = _rows(store, _settings(lists=(str(listing),)))
    assert {row["reason"] for row in refused} == {"scheme_not_allowed"}
    rows = _rows(store, _settings(lists=(str(listing),), allowed_schemes=("http", "https", "file")))
    assert [row["status"] for row in rows] == ["fetched", "duplicate", "failed", "failed"]
    assert [row["reason"] for row in rows[2:]] == ["not_found", "not_a_file"]


def test_a_file_that_the_settings_name_is_read_though_a_list_may_not_name_it(
    store: Store, tmp_path: Path, make_clip: Callable[..., Path]
):
    clip = make_clip(tmp_path / "mine.mp4", frames=6)
    (tmp_path / "list.csv").write_text(f"url\n{clip}\n")
    rows = _rows(store, _settings(str(clip), lists=(str(tmp_path / "list.csv"),)))
    assert [row["status"] for row in rows] == ["fetched", "duplicate"]


def test_a_changed_local_file_is_seen(store: Store, tmp_path: Path, make_clip: Callable[..., Path]):
    clip = make_clip(tmp_path / "mine.mp4", frames=6)
    first = _row(store, _settings(str(clip)))
    make_clip(clip, seeds=(2,), frames=6)
    assert _row(store, _settings(str(clip)))["video_id"] != first["video_id"]


def test_the_content_names_the_container_not_the_file_name(
    store: Store, tmp_path: Path, make_clip: Callable[..., Path]
):
    clip = make_clip(tmp_path / "mine.mp4", frames=6).rename(tmp_path / "mine.avi")
    assert _row(store, _settings(str(clip)))["extension"] == ".mp4"


def test_local_files_are_capped_too(store: Store, tmp_path: Path, make_clip: Callable[..., Path]):
    clip = make_clip(tmp_path / "mine.mp4", frames=48)
    assert _row(store, _settings(str(clip), max_bytes=100))["reason"] == "too_large"
    row = _row(store, _settings(str(clip), max_seconds=1.5))
    assert (row["reason"], row["detail"]) == ("too_long", "2 s, above max_seconds = 1.5")
    assert _row(store, _settings(str(clip), max_seconds=2.5))["status"] == "fetched"


def test_a_store_that_cannot_be_written_is_no_fault_of_the_source(
    tmp_path: Path, make_clip: Callable[..., Path], site: Any, clip: bytes
):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "media").write_bytes(b"a file where a folder belongs")
    with pytest.raises(OSError, match="media"):
        crawl(_settings(str(make_clip(tmp_path / "mine.mp4", frames=6))), Store(str(tmp_path / "root")))


def test_nothing_listed_is_an_empty_table(store: Store):
    assert crawl(_settings(), store).sources.equals(SOURCES.empty_table())


# most of a list fails


def test_a_list_that_is_mostly_dead_ends_the_run_early_and_keeps_what_was_had(store: Store, site: Any, clip: bytes):
    urls = [f"{site.url}/{number}.mp4" for number in range(300)]
    for number in range(0, 300, 10):
        site.file(f"/{number}.mp4", clip + bytes([number % 256]))
    with pytest.raises(InputError, match=r"of 300 listed, above crawl\.max_failed_share = 0\.5: http_404") as error:
        crawl(_settings(*urls, workers=4), store)
    assert "\n" not in str(error.value)
    asked = sum(site.asked.values())
    assert 20 <= asked < 150
    plan = plan_crawl(_settings(*urls), store)
    assert plan.remembered + plan.failed_earlier >= asked - 4  # what the workers were at when it ended
    assert plan.remembered > 0
    everything = crawl(_settings(*urls, max_failed_share=1.0, workers=4), store)
    assert everything.sources.num_rows == 300
    assert sum(site.asked.values()) <= 304


def test_a_crawl_that_ends_early_does_not_wait_for_what_is_still_arriving(store: Store, site: Any):
    released = threading.Event()

    def hang(handler: http.server.BaseHTTPRequestHandler) -> None:
        released.wait(40)

    slow = [site.on(f"/slow{number}.mp4", hang) for number in range(3)]
    dead = [f"{site.url}/{number}.mp4" for number in range(100)]
    started = time.monotonic()
    with pytest.raises(InputError, match="http_404"):
        crawl(_settings(*slow, *dead, timeout_s=40.0, workers=8), store)
    assert time.monotonic() - started < 20
    released.set()
    plan = plan_crawl(_settings(*slow), store)
    assert plan.to_fetch == 3  # that the crawl gave them up says nothing about them


def test_what_failed_earlier_counts_until_it_is_tried_again(store: Store, site: Any, clip: bytes):
    urls = [f"{site.url}/{number}.mp4" for number in range(20)]
    crawl(_settings(*urls, max_failed_share=1.0), store)
    with pytest.raises(InputError, match=r"20 of 20 in earlier runs.*retry_failed=true"):
        crawl(_settings(*urls), store)
    assert set(site.asked.values()) == {1}
    for number in range(20):
        site.file(f"/{number}.mp4", clip + bytes([number]))
    assert crawl(_settings(*urls, retry_failed=True), store).fetched_now == 20


# what would be done


def test_a_plan_asks_nobody_and_adds_up(store: Store, site: Any, clip: bytes, tmp_path: Path):
    known = _settings(f"{site.url}/clip.mp4", f"{site.url}/missing.mp4")
    crawl(known, store)
    site.asked.clear()
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"never opened")
    os.mkfifo(tmp_path / "clips" / "b.mp4")
    (tmp_path / "list.csv").write_text(f"url\n{site.url}/new.mp4\n\nftp://x\n{site.url}/clip.mp4\n")
    sources = (*known.sources, str(tmp_path / "clips"))
    settings = _settings(*sources, lists=(str(tmp_path / "list.csv"),))
    plan = plan_crawl(settings, store)
    assert plan == CrawlPlan(listed=7, repeated=1, unusable=1, local=2, remembered=1, failed_earlier=1, to_fetch=1)
    again = plan_crawl(_settings(*sources, lists=settings.lists, retry_failed=True), store)
    assert (again.failed_earlier, again.to_fetch) == (0, 2)
    assert site.asked == {}


def test_a_plan_needs_no_root_yet(tmp_path: Path, site: Any):
    plan = plan_crawl(_settings(f"{site.url}/a.mp4"), Store(str(tmp_path / "nothing" / "here")))
    assert (plan.listed, plan.to_fetch) == (1, 1)
    assert not (tmp_path / "nothing").exists()


# what a folder holds


def test_what_a_folder_holds_is_told_by_content_and_named(store: Store, tmp_path: Path, make_clip: Callable[..., Path]):
    folder = tmp_path / "clips"
    (folder / "notes").mkdir(parents=True)
    for number, name in enumerate(("IMG_0001.MTS", "noextension", "wrong.jpg"), start=1):
        make_clip(tmp_path / "made.mp4", seeds=(number,), frames=6).rename(folder / name)
    (folder / "list.csv").write_text("url\n")
    (folder / "notes" / "today.txt").write_text("rain")
    (folder / "empty").write_bytes(b"")
    (folder / "page.mp4").write_text("<html>")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "photo.jpg")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "still.gif")
    (folder / "notes" / "up").symlink_to(folder, target_is_directory=True)
    settings = _settings(str(folder), max_failed_share=0.3, min_sources_for_cap=3)
    rows = {os.path.relpath(row["source_uri"], folder): row for row in _rows(store, settings)}
    assert {name: (row["status"], row["reason"]) for name, row in rows.items()} == {
        "IMG_0001.MTS": ("fetched", None),
        "noextension": ("fetched", None),
        "wrong.jpg": ("fetched", None),
        "page.mp4": ("failed", "html_instead_of_video"),  # one of four: what was passed over does not count
        "list.csv": ("passed_over", "not_a_video"),
        "empty": ("passed_over", "empty_file"),
        "photo.jpg": ("passed_over", "not_a_video"),
        "still.gif": ("passed_over", "no_video"),
        "notes/today.txt": ("passed_over", "not_a_video"),
        "notes/up": ("passed_over", "link_to_folder"),
    }
    assert {rows[name]["extension"] for name in ("IMG_0001.MTS", "noextension", "wrong.jpg")} == {".mp4"}
    assert all(row["detail"] for row in rows.values() if row["status"] == "passed_over")
    plan = plan_crawl(settings, store)
    assert (plan.listed, plan.local, plan.passed_over) == (10, 5, 5)  # names that promise a video are believed
    with pytest.raises(InputError, match="html_instead_of_video 1"):
        crawl(_settings(str(folder), max_failed_share=0.2, min_sources_for_cap=3), store)


def test_a_file_that_the_settings_name_is_meant_to_be_a_video(store: Store, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("rain")
    row = _row(store, _settings(str(tmp_path / "notes.txt")))
    assert (row["status"], row["reason"]) == ("failed", "not_a_video")
