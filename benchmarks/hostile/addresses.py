"""Ways to addresses inside, each as a URL of a list that is crawled while somebody listens there."""

from __future__ import annotations

import functools
import json
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.hostile.answers import Answer, by_row, with_requests
from pipelines.crawling.crawl import crawl
from pipelines.crawling.settings import CrawlSettings
from pipelines.storage.store import Store

HERE = (
    "127.0.0.1",
    "127.1",
    "127.0.0.1.",
    "127.255.255.254",
    "2130706433",
    "0x7f.1",
    "0x7f000001",
    "0177.0.0.1",
    "017700000001",
    "0",
    "0.0.0.0",
    "localhost",
    "LOCALHOST",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[0:0:0:0:0:0:0:1]",
    "public.test@127.0.0.1",
    "127。0。0。1",
    "①②⑦.0.0.1",
)
"""Ways to write an address of this machine."""

INSIDE = (
    "169.254.169.254",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "192.0.0.8",
    "198.18.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "224.0.0.251",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fc00::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::f7f7:f7f7]",
    "[2606:4700:0:1:0:5efe:127.0.0.1]",
    "[5f00::1]",
    "[2001:db8::1]",
)
"""Other addresses that are none of the internet's."""

LIMITS = CrawlSettings(
    seconds_between_requests=0.0,
    retries=0,
    timeout_s=2.0,
    deadline_s=4.0,
    max_pause_s=0.1,
    max_failed_share=1.0,
    retry_failed=True,
)


class Listener:
    """Somebody who listens on 127.0.0.1 and counts who comes."""

    def __init__(self) -> None:
        self.came = 0
        listener = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                listener.came += 1

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


def answers(folder: Path) -> Iterator[Answer]:
    """Of every address, one crawl each."""
    listener = Listener()
    try:
        for number, host in enumerate((*HERE, *INSIDE)):
            listing = folder / f"list{number}.jsonl"
            listing.write_text(json.dumps({"url": f"http://{host}:{listener.port}/a.mp4"}))
            came = listener.came
            answer = by_row(host, functools.partial(crawled, listing, folder / "root"))
            yield with_requests(answer, listener.came - came)
    finally:
        listener.close()


def crawled(listing: Path, root: Path) -> list[tuple[str | None, str | None]]:
    """Reason and detail of every row that a list becomes."""
    rows = crawl(replace(LIMITS, lists=(str(listing),)), Store(str(root))).sources.to_pylist()
    return [(row["reason"], row["detail"]) for row in rows]
