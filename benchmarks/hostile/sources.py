"""Hostile lists of sources: files that cannot be read, each to a dry run of the command; entries, each to a crawl."""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.hostile.addresses import crawled
from benchmarks.hostile.answers import Answer, by_command, by_row
from jobs.curate import run
from jobs.running import entry

LISTS: dict[str, tuple[str, bytes]] = {
    "nothing": ("list.csv", b""),
    "no column url": ("list.csv", b"title,link\na,b\n"),
    "another separator": ("list.csv", b"url;licence\nhttps://a.test/1;CC0\n"),
    "a column twice": ("list.csv", b"url,URL \nhttps://a.test/1,https://a.test/2\n"),
    "UTF-16": ("list.csv", "url\nhttps://a.test/1\n".encode("utf-16")),
    "Latin-1": ("list.csv", "url,uploader\nhttps://a.test/1,Zoë\n".encode("latin-1")),
    "an open quotation mark": ("list.csv", b'url\n"https://a.test/1\nhttps://a.test/2\n'),
    "a field of 200,000 characters": ("list.csv", b"url\n" + b"x" * 200_000),
    "a zip": ("list.csv", b"PK\x03\x04" + bytes(40)),
    "gzip": ("list.csv", gzip.compress(b"url\nhttps://a.test/1\n")),
    "zeros": ("list.csv", bytes(1000)),
    "control characters in the header": ("list.csv", b"\x1b[2Jtitle,\x07link\na,b\n"),
    "no JSON": ("list.jsonl", b"{not json\n"),
    "JSON without a URL": ("list.jsonl", b'{"title": "x"}\n'),
    "JSON of 100,000 levels": ("list.jsonl", b"[" * 100_000),
    "JSON in Latin-1": ("list.jsonl", b'{"url": "\xe4"}\n'),
    "no Parquet": ("list.parquet", b"not parquet"),
    "Parquet's letters alone": ("list.parquet", b"PAR1" + bytes(100) + b"PAR1"),
    "Parquet with a footer beyond the file": ("list.parquet", b"PAR1" + b"\xff\xff\xff\x7fPAR1"),
    "an empty Parquet file": ("list.parquet", b""),
}
"""By name, a file's name and bytes."""

ENTRIES = (
    {"url": "http://[bad"},
    {"url": "http://host.test:99999/a.mp4"},
    {"url": "http://host.test:-1/a.mp4"},
    {"url": "http:///a.mp4"},
    {"url": "https://name:secret@host.test/a.mp4"},
    {"url": "www.host.test/watch?v=1"},
    {"url": "clips/a.mp4"},
    {"url": "../../../etc/passwd"},
    {"url": "/etc/passwd"},
    {"url": "file:///etc/passwd"},
    {"url": "ftp://host.test/a.mp4"},
    {"url": "javascript:alert(1)"},
    {"url": "data:video/mp4;base64,AAAA"},
    {"url": "s3://bucket/a.mp4"},
    {"url": "package://stableanimator/a.mp4"},
    {"url": "C:\\clips\\a.mp4"},
    {"url": "\udcff.mp4"},
    {"url": "a\0b"},
    {"url": ""},
    {"url": None},
    {"url": ["https://a.test/1.mp4"]},
    {"url": {"url": "https://a.test/1.mp4"}},
    {"url": 7},
    {"title": "x", "url": float("nan")},
    {"url": f"http://{'l' * 64}.invalid/a.mp4"},
    {"url": "http://no-such-host.invalid/a.mp4"},
    {"url": "http://*/a.mp4"},
    {"url": "http://a.invalid\r\nX-Header: b/a.mp4"},
)
"""Each the one entry of a list."""


def _answer(case: str, argv: list[str]) -> Answer:
    return by_command(case, functools.partial(entry.main, "curate", run), argv)


def answers(folder: Path) -> Iterator[Answer]:
    """Of every list, and of every entry."""
    config = folder / "config.yaml"
    for name, (file, content) in LISTS.items():
        (folder / file).write_bytes(content)
        config.write_text(f"experiment: x\nroot: {folder}/root\ncurate: {{crawl: {{lists: [{folder}/{file}]}}}}\n")
        yield _answer(f"list: {name}", ["--config", str(config), "--dry-run"])
    for number, one in enumerate(ENTRIES):
        listing = folder / f"entry{number}.jsonl"
        listing.write_text(json.dumps(one))
        yield by_row(f"entry: {one}", functools.partial(crawled, listing, folder / "root"))
