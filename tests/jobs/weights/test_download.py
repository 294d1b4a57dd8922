from __future__ import annotations

import fcntl
import gzip
import hashlib
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from jobs.weights import download as weights_download
from jobs.weights.download import DownloadError, Patience, Source, download, file_sha256, partial_size, size_text
from stableanimator.errors import StorageError

BODY = hashlib.shake_256(b"weights").digest(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
QUICK = Patience(retries=2, backoff_s=0.01, timeout_s=5.0)


def _get(url: str, target: Path, *, known: bool = True, patience: Patience = QUICK, **options: Any) -> str:
    expected: dict[str, Any] = {"size": len(BODY), "sha256": SHA256} if known else {"size": None, "sha256": None}
    return download(Source(url=url, **(expected | options)), target, patience)


def _left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_comes_whole_into_a_new_folder_and_leaves_nothing_else(shelf: Any, tmp_path: Path):
    target = tmp_path / "a" / "b.onnx"
    assert _get(shelf.put("/b", BODY), target) == SHA256
    assert target.read_bytes() == BODY
    assert _left(target.parent) == {"b.onnx"}


def test_a_cut_body_is_continued_at_the_next_byte(shelf: Any, tmp_path: Path):
    url = shelf.put("/b", BODY, {"cut": 100_000}, {"cut": 50_000})
    assert _get(url, tmp_path / "b") == SHA256
    assert [(answer.start, answer.sent) for answer in shelf.answers] == [
        (0, 100_000),
        (100_000, 50_000),
        (150_000, 150_000),
    ]


def test_an_interrupted_download_goes_on_in_the_next_run(shelf: Any, tmp_path: Path):
    url = shelf.put("/b", BODY, {"cut": 70_000})
    with pytest.raises(DownloadError):
        _get(url, tmp_path / "b", patience=Patience(retries=0))
    assert partial_size(tmp_path / "b") == 70_000
    assert not (tmp_path / "b").exists()
    _get(url, tmp_path / "b")
    assert shelf.answers[-1].start == 70_000
    assert shelf.answers[-1].sent == 230_000
    assert (tmp_path / "b").read_bytes() == BODY


def test_an_interrupted_program_leaves_what_has_come(shelf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    url = shelf.put("/b", BODY)
    write, pieces = weights_download._Partial.write, []

    def interrupted(self: Any, piece: bytes) -> None:
        if len(pieces) == 2:
            raise KeyboardInterrupt
        pieces.append(len(piece))
        write(self, piece)

    monkeypatch.setattr(weights_download._Partial, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _get(url, tmp_path / "b")
    monkeypatch.setattr(weights_download._Partial, "write", write)
    _get(url, tmp_path / "b")
    assert shelf.answers[-1].start == sum(pieces) > 0
    assert (tmp_path / "b").read_bytes() == BODY


def test_a_server_without_ranges_is_asked_for_the_whole(shelf: Any, tmp_path: Path):
    shelf.ranges = False
    assert _get(shelf.put("/b", BODY, {"cut": 100_000}), tmp_path / "b") == SHA256
    assert [answer.start for answer in shelf.answers] == [0, 0]
    assert (tmp_path / "b").read_bytes() == BODY


def test_without_a_checksum_only_the_same_version_is_continued(shelf: Any, tmp_path: Path):
    url = shelf.put("/b", b"x" * 200_000, {"cut": 100_000})
    shelf.etags["/b"] = '"one"'
    with pytest.raises(DownloadError):
        _get(url, tmp_path / "b", known=False, patience=Patience(retries=0))
    shelf.files["/b"], shelf.etags["/b"] = BODY, '"two"'
    assert _get(url, tmp_path / "b", known=False) == SHA256
    assert shelf.answers[-1].headers["If-Range"] == '"one"'
    assert (tmp_path / "b").read_bytes() == BODY


def test_without_a_checksum_the_same_version_is_continued(shelf: Any, tmp_path: Path):
    url = shelf.put("/b", BODY, {"cut": 100_000})
    shelf.etags["/b"] = '"one"'
    assert _get(url, tmp_path / "b", known=False) == SHA256
    assert [answer.start for answer in shelf.answers] == [0, 100_000]


def test_without_checksum_and_version_a_download_starts_again(shelf: Any, tmp_path: Path):
    assert _get(shelf.put("/b", BODY, {"cut": 100_000}), tmp_path / "b", known=False) == SHA256
    assert [answer.start for answer in shelf.answers] == [0, 0]


def test_a_wrong_checksum_gets_no_name_and_leaves_nothing(shelf: Any, tmp_path: Path):
    url = shelf.put("/b", bytes(len(BODY)))
    with pytest.raises(DownloadError, match=f"not {SHA256}"):
        _get(url, tmp_path / "b")
    assert _left(tmp_path) == set()
    assert len(shelf.answers) == 1


def test_a_damaged_part_of_an_earlier_run_is_thrown_away_once(shelf: Any, tmp_path: Path):
    (tmp_path / "b.partial").write_bytes(bytes(1000))
    assert _get(shelf.put("/b", BODY), tmp_path / "b") == SHA256
    assert [answer.start for answer in shelf.answers] == [1000, 0]


def test_a_complete_part_of_an_earlier_run_is_not_fetched_again(shelf: Any, tmp_path: Path):
    (tmp_path / "b.partial").write_bytes(BODY)
    assert _get(shelf.put("/b", BODY), tmp_path / "b") == SHA256
    assert shelf.answers == []


def test_a_part_that_is_too_long_starts_again(shelf: Any, tmp_path: Path):
    (tmp_path / "b.partial").write_bytes(BODY + b"more")
    assert _get(shelf.put("/b", BODY), tmp_path / "b") == SHA256


def test_another_size_is_refused_before_anything_is_read(shelf: Any, tmp_path: Path):
    with pytest.raises(DownloadError, match="the server's file has 300004 bytes, not 300000"):
        _get(shelf.put("/b", BODY + b"more"), tmp_path / "b")
    assert _left(tmp_path) == set()


def test_a_body_of_unstated_length_ends_where_the_file_does(shelf: Any, tmp_path: Path):
    endless = shelf.put("/b", BODY * 10, {"length": False})
    with pytest.raises(DownloadError, match="more came than the 300000 bytes"):
        _get(endless, tmp_path / "b")
    short = shelf.put("/c", BODY[:-1], {"length": False})
    with pytest.raises(DownloadError, match="299999 bytes came, not 300000"):
        _get(short, tmp_path / "c")
    assert _left(tmp_path) == set()


def test_a_server_that_fails_twice_is_asked_again(shelf: Any, tmp_path: Path):
    url = shelf.put("/b", BODY, {"status": 500}, {"status": 503})
    assert _get(url, tmp_path / "b") == SHA256
    assert len(shelf.answers) == 3


def test_a_server_that_goes_on_failing_is_given_up(shelf: Any, tmp_path: Path):
    url = shelf.put("/b", BODY, *[{"status": 500}] * 5)
    with pytest.raises(DownloadError, match=r"http 500.*\(3 attempts\)"):
        _get(url, tmp_path / "b")
    assert len(shelf.answers) == 3


@pytest.mark.parametrize(
    ("status", "message"), [(404, "http 404 Not Found"), (401, "set HF_TOKEN"), (403, "set HF_TOKEN")]
)
def test_a_refusal_is_final(shelf: Any, tmp_path: Path, status: int, message: str):
    with pytest.raises(DownloadError, match=message):
        _get(shelf.put("/b", BODY, {"status": status}), tmp_path / "b")
    assert len(shelf.answers) == 1


def test_a_page_is_no_file_even_where_nothing_is_known_of_it(shelf: Any, tmp_path: Path):
    url = shelf.put("/b", b"<html>log in</html>", {"kind": "text/html; charset=utf-8"})
    with pytest.raises(DownloadError, match="a web page came"):
        _get(url, tmp_path / "b", known=False)


def test_an_empty_file_is_no_file(shelf: Any, tmp_path: Path):
    with pytest.raises(DownloadError, match="an empty file"):
        _get(shelf.put("/b", b""), tmp_path / "b", known=False)
    assert _left(tmp_path) == set()


def test_a_slow_server_is_waited_for_and_a_silent_one_not(shelf: Any, tmp_path: Path):
    patience = Patience(retries=0, timeout_s=1.0)
    assert _get(shelf.put("/b", BODY, {"slow": 0.15}), tmp_path / "b", patience=patience) == SHA256
    with pytest.raises(DownloadError, match="timed out"):
        _get(shelf.put("/c", BODY, {"slow": 3.0}), tmp_path / "c", patience=Patience(retries=0, timeout_s=0.3))


def test_a_redirect_is_followed_and_the_token_stays_with_its_host(shelf: Any, tmp_path: Path):
    elsewhere = shelf.put("/there", BODY).replace("127.0.0.1", "localhost")
    url = shelf.put("/here", b"", {"status": 302, "location": elsewhere})
    assert _get(url, tmp_path / "b", token="secret") == SHA256
    first, last = shelf.answers
    assert first.headers["Authorization"] == "Bearer secret"
    assert "Authorization" not in last.headers


def test_a_server_that_is_not_there_is_told_at_once_unless_something_has_come(
    shelf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/b"
        with pytest.raises(DownloadError, match=r"no_answer: .*Connection refused"):
            _get(url, tmp_path / "b", patience=Patience(backoff_s=60.0))
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", lambda seconds: pauses.append(seconds))
    connect = weights_download.Visit.get

    def unreachable_at_the_second_time(self: Any, session: Any, url: str, headers: dict[str, str]) -> Any:
        return connect(self, session, "http://127.0.0.1:1/b" if len(pauses) == 1 else url, headers)

    monkeypatch.setattr(weights_download.Visit, "get", unreachable_at_the_second_time)
    assert _get(shelf.put("/b", BODY, {"cut": 100_000}), tmp_path / "b") == SHA256
    assert pauses == [0.01, 0.02]


def test_bytes_that_were_compressed_on_the_way_are_not_continued(shelf: Any, tmp_path: Path):
    packed = gzip.compress(BODY)
    url = shelf.put("/b", packed, {"encoding": "gzip", "cut": 100_000})
    shelf.faults["/b"] += [{"encoding": "gzip"}]
    assert _get(url, tmp_path / "b") == SHA256
    assert [answer.start for answer in shelf.answers] == [0, 0]


def test_a_range_that_the_server_cannot_serve_starts_again(shelf: Any, tmp_path: Path):
    (tmp_path / "b.partial").write_bytes(BODY)
    (tmp_path / "b.partial.json").write_text('{"validator": "\\"one\\"", "total": 400000}')
    shelf.etags["/b"] = '"one"'
    assert _get(shelf.put("/b", BODY), tmp_path / "b", known=False) == SHA256
    assert [(answer.start, answer.sent) for answer in shelf.answers] == [(300_000, 0), (0, 300_000)]


def test_a_server_that_gives_less_than_the_range_is_asked_for_the_rest(shelf: Any, tmp_path: Path):
    url = shelf.put("/b", BODY, {"cut": 100_000}, {"piece": 50_000})
    assert _get(url, tmp_path / "b") == SHA256
    assert [answer.start for answer in shelf.answers] == [0, 100_000, 150_000]


def test_an_unknown_host_is_told_at_once(tmp_path: Path):
    with pytest.raises(DownloadError, match="unknown_host"):
        _get("http://nowhere.invalid/b", tmp_path / "b", patience=Patience(backoff_s=60.0))


def test_a_disk_that_is_too_small_is_told_before_the_body_is_read(
    shelf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(StorageError, match=r"b needs 300 kB below .*, where 1 kB are free"):
        _get(shelf.put("/b", BODY), tmp_path / "b", known=False)


def test_two_processes_do_not_write_one_file(shelf: Any, tmp_path: Path):
    with (tmp_path / "b.partial").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match="another process is writing"):
            _get(shelf.put("/b", BODY), tmp_path / "b")
    assert _get(shelf.put("/b", BODY), tmp_path / "b") == SHA256


def test_a_folder_that_cannot_be_written_is_told(shelf: Any, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match=r"file/folder cannot be written \(Not a directory\)"):
        _get(shelf.put("/b", BODY), tmp_path / "file" / "folder" / "b")


def test_a_large_file_shows_how_far_it_is(shelf: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    body = bytes(12_000_001)
    sha256 = hashlib.sha256(body).hexdigest()
    with caplog.at_level("INFO"):
        assert _get(shelf.put("/b", body), tmp_path / "b", size=len(body), sha256=sha256) == sha256
    lines = [record.message for record in caplog.records]
    assert [line.split(",")[:2] for line in lines] == [
        ["fetching b", " MB: 12 of 12"],
        ["checking b", " MB: 12 of 12"],
    ]


def test_sizes_read_well_and_hashes_are_those_of_hashlib(tmp_path: Path):
    assert [size_text(size) for size in (607, 12_345, 216_746_733, 6_098_682_464)] == [
        "607 B",
        "12 kB",
        "217 MB",
        "6.10 GB",
    ]
    (tmp_path / "a").write_bytes(BODY)
    assert file_sha256(tmp_path / "a") == SHA256
