from __future__ import annotations

import csv
import datetime
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.crawling.settings import CrawlSettings
from pipelines.crawling.source_lists import Listed, list_sources, read_source
from stableanimator.errors import ConfigError, InputError

ROWS: list[dict[str, Any]] = [
    {"url": "https://a.test/1.mp4", "licence": "CC-BY-4.0", "uploader": "Zoë", "consent": "signed", "language": "pt"},
    {"url": "https://a.test/2.mp4", "licence": None, "uploader": "x", "consent": None, "language": None},
    {"url": None, "licence": "CC0", "uploader": None, "consent": None, "language": None},
    {"url": "https://a.test/4.mp4", "licence": None, "uploader": None, "consent": None, "language": None},
]


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    else:
        with open(path, "w", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return path


def _listed(path: Path | str, **options: Any) -> list[Listed]:
    return list_sources(CrawlSettings(lists=(str(path),), **options))


def _reason(source: Listed) -> str | None:
    return None if source.error is None else source.error.reason


@pytest.mark.parametrize("name", ["list.csv", "list.jsonl", "list.parquet"])
def test_lists_of_every_kind_give_the_same(tmp_path: Path, name: str):
    listed = _listed(_write(tmp_path / name, ROWS))
    assert [source.rights for source in listed] == [
        ("CC-BY-4.0", "Zoë", "signed", "pt"),
        (None, "x", None, None),
        ("CC0", None, None, None),
        (None,) * 4,
    ]
    where = f"{tmp_path / name}, entry 3"
    assert [source.uri for source in listed] == [ROWS[0]["url"], ROWS[1]["url"], where, ROWS[3]["url"]]
    assert [_reason(source) for source in listed] == [None, None, "no_url", None]
    assert "entry 3" in str(listed[2].error)


def test_a_list_may_lie_at_a_uri(tmp_path: Path):
    path = _write(tmp_path / "list.csv", ROWS)
    assert [source.uri for source in _listed(path.as_uri())][:2] == [ROWS[0]["url"], ROWS[1]["url"]]


def test_headers_are_read_kindly(tmp_path: Path):
    path = tmp_path / "list.csv"
    path.write_text("\ufeffTitle, URI ,License\nx, https://a.test/1.mp4 ,CC0\n\nshort\n", encoding="utf-8")
    first, second = _listed(path)
    assert (first.uri, first.rights[0]) == ("https://a.test/1.mp4", "CC0")
    assert _reason(second) == "no_url"


def test_a_refused_consent_is_not_an_unknown_one(tmp_path: Path):
    rows = [{"url": "https://a.test/1.mp4", "consent": answer} for answer in (False, True, None)]
    for name in ("list.jsonl", "list.parquet"):
        listed = _listed(_write(tmp_path / name, rows))
        assert [source.rights[2] for source in listed] == ["false", "true", None]


def test_cells_of_any_type_become_text(tmp_path: Path):
    day = datetime.date(2026, 1, 2)
    path = _write(tmp_path / "list.parquet", [{"url": "https://a.test/1.mp4", "licence": 4, "consent": day}])
    assert _listed(path)[0].rights == ("4", None, "2026-01-02", None)


def test_a_bad_line_is_one_bad_entry(tmp_path: Path):
    path = tmp_path / "list.jsonl"
    nested = "[" * 200_000
    path.write_text(f'{{"url": "https://a.test/1.mp4"}}\n{{not json\n[1]\n{nested}\n{{"url": "\\udcff.mp4"}}\n')
    listed = _listed(path)
    unreadable = ["unreadable_entry"] * 3
    assert [_reason(source) for source in listed] == [None, *unreadable, "relative_path"]
    assert listed[-1].uri == "\\udcff.mp4"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.csv", b"", "it is empty"),
        ("list.csv", b"title,link\na,b\n", "no column `url` or `uri`; its columns: title, link"),
        ("list.csv", "url\nzoë\n".encode("utf-16"), "cannot be read"),
        ("list.jsonl", b"{not json\n", "no line of it is a JSON object"),
        ("list.jsonl", b'{"title": "x"}\n', "no column `url` or `uri`; its columns: title"),
        ("list.parquet", b"not parquet", "cannot be read"),
    ],
)
def test_a_list_that_cannot_be_read_is_the_users_mistake(tmp_path: Path, name: str, content: bytes, message: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        _listed(tmp_path / name)
    assert "\n" not in str(error.value)
    assert str(tmp_path / name) in str(error.value)


def test_a_parquet_list_without_urls_is_the_users_mistake(tmp_path: Path):
    with pytest.raises(InputError, match="its columns: title"):
        _listed(_write(tmp_path / "list.parquet", [{"title": "x"}]))


URL = "https://a.test/1.mp4"


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([URL]).dictionary_encode(), URL),
        (pa.array([URL], pa.large_string()), URL),
        (pa.array([URL.encode()]), URL),
        (pa.array([float("nan")]), "no_url"),
        (pa.nulls(1), "no_url"),
        (pa.array([" "]), "no_url"),
        (pa.array([b"\xff"]), "relative_path"),
        (pa.array([7]), "relative_path"),
        (pa.array([[URL]]), "relative_path"),
        (pa.array([datetime.datetime(2026, 1, 1)]), "relative_path"),
    ],
)
def test_a_parquet_list_of_other_types_is_read_or_has_a_reason(tmp_path: Path, column: pa.Array, expected: str):
    pq.write_table(pa.table({"url": column, "licence": [float("nan")]}), tmp_path / "list.parquet")
    (source,) = _listed(tmp_path / "list.parquet")
    assert (_reason(source) or source.uri, source.rights[0]) == (expected, None)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "url,uploader\nhttps://a.test/1,Zoë\n".encode("latin-1"), "not text in UTF-8 .*; save it so"),
        ("a.csv", "url\nhttps://a.test/1\n".encode("utf-16"), "not text in UTF-8"),
        ("a.csv", b'url\n"https://a.test/1\nhttps://a.test/2\n', "unexpected end of data"),
        ("a.csv", b"url,URL \nhttps://a.test/1,https://a.test/2\n", "has the column `url` more than once"),
        ("a.csv", b"url;licence\nhttps://a.test/1;CC0\n", "its columns: url;licence"),
        ("a.csv", b"PK\x03\x04" + bytes(40), "its columns: 'pk"),
        ("a.csv", b"url\n" + b"x" * 200_000, "field larger than field limit"),
        ("a.jsonl", b"[" * 100_000, "no line of it is a JSON object"),
    ],
)
def test_a_list_that_would_lose_sources_is_the_users_mistake(tmp_path: Path, name: str, content: bytes, message: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        _listed(tmp_path / name)
    assert str(caught.value).isprintable()


def test_a_column_twice_in_a_parquet_list_is_the_users_mistake(tmp_path: Path):
    table = pa.Table.from_arrays([pa.array([URL]), pa.array(["https://b.test/2"])], ["url", "url"])
    pq.write_table(table, tmp_path / "list.parquet")
    with pytest.raises(InputError, match="'url' more than once"):
        _listed(tmp_path / "list.parquet")


def test_an_entry_that_cannot_be_told_apart_is_a_row(tmp_path: Path):
    """A comma that nobody quoted would cut the URL short and make a licence of its rest."""
    path = tmp_path / "list.csv"
    path.write_text(f"url,licence\nhttps://a.test/a,b.mp4,CC0\n{URL},CC0,,\n")
    broken, good = _listed(path)
    assert (_reason(broken), _reason(good), good.uri) == ("unreadable_entry", None, URL)
    assert "entry 1 has 3 cells for 2 columns" in str(broken.error)
    (tmp_path / "list.jsonl").write_text(
        json.dumps({"url": URL, "URL": "https://b.test/2"}) + "\n" + json.dumps({"url": URL})
    )
    assert [_reason(source) for source in _listed(tmp_path / "list.jsonl")] == ["unreadable_entry", None]


def test_what_the_settings_name_and_is_not_there_is_an_error(tmp_path: Path):
    with pytest.raises(InputError, match="/no/such/folder does not exist"):
        list_sources(CrawlSettings(sources=("/no/such/folder",)))
    for path in ("/no/such/list.csv", "file:///no/such/list.parquet"):
        with pytest.raises(InputError, match="does not exist"):
            _listed(path)
    with pytest.raises(InputError, match="cannot be read"):
        _listed(str(tmp_path))
    with pytest.raises(ConfigError, match=r"crawl\.sources: http://"):
        list_sources(CrawlSettings(sources=("http://host/clip.mp4",), allowed_schemes=("https",)))


def test_a_header_alone_lists_nothing(tmp_path: Path):
    (tmp_path / "list.csv").write_text("url,licence\n")
    (tmp_path / "list.jsonl").write_text("\n")
    assert _listed(tmp_path / "list.csv") == _listed(tmp_path / "list.jsonl") == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("http://[bad", "invalid_url"),
        ("http://host:99999/a.mp4", "invalid_url"),
        ("http:///a.mp4", "invalid_url"),
        ("https://name:secret@host/a.mp4", "credentials_in_url"),
        ("www.host.test/watch?v=1", "relative_path"),
        ("clips/a.mp4", "relative_path"),
        ("ftp://host/a.mp4", "scheme_not_allowed"),
        ("javascript:alert(1)", "scheme_not_allowed"),
        ("C:\\clips\\a.mp4", "scheme_not_allowed"),
        ("/clips/a.mp4", "scheme_not_allowed"),
        ("file:///clips/a.mp4", "scheme_not_allowed"),
        ("https://host/watch?v=@x", None),
        ("https://bücher.test/zoë.mp4", None),
    ],
)
def test_what_cannot_be_tried_has_a_reason(text: str, reason: str | None):
    assert _reason(read_source(text, ("http", "https"))) == reason


def test_passwords_do_not_reach_a_table():
    source = read_source("https://name:secret@host:8443/a.mp4?x=1", ("https",))
    assert source.uri == "https://***@host:8443/a.mp4?x=1"
    assert "secret" not in repr(source)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/clips/a b#c?d.mp4", "/clips/a b#c?d.mp4"),
        ("file:///clips/zo%C3%AB%20%2e.mp4", "/clips/zoë ..mp4"),
        ("file:///clips/%ff.mp4", os.fsdecode(b"/clips/\xff.mp4")),
        ("file://localhost/a.mp4", "/a.mp4"),
        ("file://elsewhere/a.mp4", None),
    ],
)
def test_local_files_by_path_or_uri(text: str, path: str | None):
    source = read_source(text, ("file",))
    assert source.path == path
    assert _reason(source) == (None if path else "invalid_url")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("HTTP://Host.Test/A.mp4", "http://host.test/A.mp4", True),
        ("http://host.test:80/A.mp4", "http://host.test/A.mp4", True),
        ("https://host.test:443", "https://host.test/", True),
        ("http://host.test:/a", "http://host.test/a", True),
        ("http://[::1]:80/a", "http://[::1]/a", True),
        ("http://host.test:443/A.mp4", "http://host.test/A.mp4", False),
        ("http://host.test/A.mp4", "https://host.test/A.mp4", False),
        ("http://host.test/A.mp4", "http://host.test/a.mp4", False),
        ("http://host.test/a?x=1&y=2", "http://host.test/a?y=2&x=1", False),
        ("http://host.test/a", "http://host.test/a/", False),
        ("http://host.test/#1", "http://host.test/#2", False),
        ("http://host.test/%41", "http://host.test/A", False),
    ],
)
def test_only_spellings_that_must_mean_the_same_are_one_source(one: str, other: str, same: bool):
    keys = [read_source(text, ("http", "https")).key for text in (one, other)]
    assert (keys[0] == keys[1]) == same


def test_a_folder_lists_its_videos_in_name_order(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    folder = tmp_path / "clips"
    names = ("b.mp4", "a.MOV", "notes.txt", ".hidden.mp4", ".git/x.mp4", "deeper/ü.WebM", "dir.mp4/inside.mkv")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "link.mp4").symlink_to(tmp_path / "gone.mp4")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    odd = os.fsencode(folder) + b"/odd\xff.avi"
    open(odd, "wb").close()
    with caplog.at_level("INFO"):
        listed = list_sources(CrawlSettings(sources=(str(folder),)))
    below = [os.path.relpath(source.uri, folder) for source in listed]
    here = ["a.MOV", "b.mp4", "link.mp4", "notes.txt", "odd\\udcff.avi", "loop"]
    assert below == [*here, "deeper/ü.WebM", "dir.mp4/inside.mkv"]
    assert os.fsencode(str(listed[4].path)) == odd
    assert [_reason(source) for source in listed] == [None] * 5 + ["link_to_folder"] + [None] * 2
    assert all(source.found for source in listed)
    assert "2 files and folders whose names begin with a dot" in caplog.text


def test_a_folder_that_may_not_be_listed_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "open.mp4").write_bytes(b"x")
    scandir = os.scandir

    def refuse(path: str) -> Any:  # root may list everything, so the operating system is made to refuse
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    listed = list_sources(CrawlSettings(sources=(str(tmp_path),)))
    assert [(Path(source.uri).name, _reason(source)) for source in listed] == [
        ("open.mp4", None),
        ("closed", "unreadable"),
    ]
