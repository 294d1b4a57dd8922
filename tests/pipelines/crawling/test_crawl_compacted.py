"""Merging the rows of sources forgets none of them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from pipelines.crawling import crawl
from pipelines.crawling.settings import CrawlSettings
from pipelines.crawling.source_lists import Listed
from pipelines.storage.compaction import compact
from pipelines.storage.store import Store, media_path
from pipelines.storage.tables import SOURCES

FETCHED, FAILED, OTHER = (f"https://host/{name}.mp4" for name in ("fetched", "failed", "other"))


def test_what_was_fetched_and_what_failed_is_known_after_a_merge(tmp_path: Path) -> None:
    store, settings = Store(str(tmp_path)), CrawlSettings(sources=(f"{tmp_path}/list.csv",))
    video = "ab" * 32
    store.write_bytes(media_path(video, ".mp4"), b"frames")
    for uri, key, row in (
        (FETCHED, crawl._FETCHED, {"status": "fetched", "video_id": video, "extension": ".mp4"}),
        (OTHER, crawl._FETCHED, {"status": "fetched", "video_id": video, "extension": ".mp4"}),
        (FAILED, crawl._failures_key(settings), {"status": "failed", "reason": "http_404"}),
    ):
        rows = [dict.fromkeys(SOURCES.names) | row | {"source_uri": uri}]
        store.write_part("sources", key, crawl._digest(uri), pa.Table.from_pylist(rows, schema=SOURCES))
    listed = [Listed(uri=uri, key=uri, url=uri) for uri in (FETCHED, FAILED)]
    before = crawl._remembered(store, settings, listed)
    assert {uri: row["status"] for uri, row in before.items()} == {FETCHED: "fetched", FAILED: "failed"}
    assert compact(store)
    assert not store.part_paths("sources", crawl._FETCHED, crawl._digest(FETCHED))
    assert crawl._remembered(store, settings, listed) == before
