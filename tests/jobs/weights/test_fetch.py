"""Plain URLs, from servers good and bad; see test_fetch_packs for zips, and test_fetch_hub for the hub."""

from __future__ import annotations

import gzip
import hashlib
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.weights.catalogue import HUGGING_FACE
from jobs.weights.fetch import Mirrors, fetch
from stableanimator.errors import ConfigError, WeightsError

BODY = hashlib.shake_256(b"weights").digest(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
MEMBERS = {"det.onnx": b"d" * 5000, "rec.onnx": b"r" * 6000}
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def get(tmp_path: Path, entry: Any, file: Any) -> Callable[..., Path]:
    """Fetch a URL as the file `b`, which is to be BODY; returns its place."""

    def fetch_b(url: str, body: bytes = BODY, *, known: bool = True) -> Path:
        fetch(tmp_path, [entry("b", file("b", body, url, known=known))], Mirrors([], {}))
        return tmp_path / "b"

    return fetch_b


def _left(root: Path) -> set[str]:
    """Every file but the records and locks."""
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return files - {"checksums.json", ".checksums.json.lock", ".fetch.lock"}


def test_a_file_comes_whole_into_a_new_folder_and_leaves_nothing_else(
    shelf: Any, tmp_path: Path, entry: Any, file: Any
):
    root = tmp_path / "new" / "weights"
    fetch(root, [entry("a", file("a/c/b.onnx", BODY, shelf.put("/b", BODY)))], Mirrors([], {}))
    assert (root / "a/c/b.onnx").read_bytes() == BODY
    assert _left(root) == {"a/c/b.onnx"}


def test_a_cut_body_is_continued_at_the_next_byte(shelf: Any, get: Any):
    assert get(shelf.put("/b", BODY, {"cut": 100_000}, {"cut": 50_000})).read_bytes() == BODY
    assert [(answer.start, answer.sent) for answer in shelf.answers] == [
        (0, 100_000),
        (100_000, 50_000),
        (150_000, 150_000),
    ]


def test_an_interrupted_download_goes_on_in_the_next_run(shelf: Any, tmp_path: Path, get: Any, patience: Any):
    url = shelf.put("/b", BODY, {"cut": 70_000})
    patience(retries=0)
    with pytest.raises(WeightsError, match="cut_short"):
        get(url)
    assert _left(tmp_path) == {"b.partial"}
    assert (tmp_path / "b.partial").read_bytes() == BODY[:70_000]
    assert get(url).read_bytes() == BODY
    assert (shelf.answers[-1].start, shelf.answers[-1].sent) == (70_000, 230_000)


def test_a_server_without_ranges_is_asked_for_the_whole(shelf: Any, get: Any):
    shelf.ranges = False
    assert get(shelf.put("/b", BODY, {"cut": 100_000})).read_bytes() == BODY
    assert [answer.start for answer in shelf.answers] == [0, 0]


def test_without_a_checksum_only_the_same_version_is_continued(shelf: Any, get: Any, monkeypatch: pytest.MonkeyPatch):
    url = shelf.put("/b", b"x" * 200_000, {"cut": 100_000})
    shelf.etags["/b"] = '"one"'
    handle = shelf.handle

    def change(handler: Any) -> None:
        handle(handler)
        shelf.files["/b"], shelf.etags["/b"] = BODY, '"two"'

    monkeypatch.setattr(shelf, "handle", change)
    assert get(url, known=False).read_bytes() == BODY
    assert [answer.headers.get("If-Range") for answer in shelf.answers] == [None, '"one"']
    assert [answer.start for answer in shelf.answers] == [0, 0]


def test_without_a_checksum_the_same_version_is_continued(shelf: Any, get: Any):
    url = shelf.put("/b", BODY, {"cut": 100_000})
    shelf.etags["/b"] = '"one"'
    assert get(url, known=False).read_bytes() == BODY
    assert [answer.start for answer in shelf.answers] == [0, 100_000]


def test_without_a_checksum_what_another_run_has_left_is_no_beginning(shelf: Any, tmp_path: Path, get: Any):
    (tmp_path / "b.partial").write_bytes(bytes(1000))
    assert get(shelf.put("/b", BODY), known=False).read_bytes() == BODY
    assert [answer.start for answer in shelf.answers] == [0]


def test_a_wrong_checksum_gets_no_name_and_leaves_nothing(shelf: Any, tmp_path: Path, get: Any):
    with pytest.raises(WeightsError, match=f"damaged: .* not {SHA256}; it was deleted"):
        get(shelf.put("/b", bytes(len(BODY))))
    assert _left(tmp_path) == set()
    assert len(shelf.answers) == 1


def test_a_damaged_part_of_an_earlier_run_is_thrown_away_once(shelf: Any, tmp_path: Path, get: Any):
    (tmp_path / "b.partial").write_bytes(bytes(1000))
    assert get(shelf.put("/b", BODY)).read_bytes() == BODY
    assert [answer.start for answer in shelf.answers] == [1000, 0]


def test_a_file_that_changes_between_two_parts_is_not_mixed(shelf: Any, tmp_path: Path, get: Any):
    (tmp_path / "b.partial").write_bytes(bytes(1000))
    with pytest.raises(WeightsError, match="damaged"):
        get(shelf.put("/b", BODY[::-1]))
    assert _left(tmp_path) == set()


def test_a_complete_part_of_an_earlier_run_is_not_fetched_again(shelf: Any, tmp_path: Path, get: Any):
    (tmp_path / "b.partial").write_bytes(BODY)
    assert get(shelf.put("/b", BODY)).read_bytes() == BODY
    assert shelf.answers == []
    assert _left(tmp_path) == {"b"}


def test_a_part_that_is_too_long_starts_again(shelf: Any, tmp_path: Path, get: Any):
    (tmp_path / "b.partial").write_bytes(BODY + b"more")
    assert get(shelf.put("/b", BODY)).read_bytes() == BODY


def test_another_size_is_refused_before_anything_is_read(shelf: Any, tmp_path: Path, get: Any):
    with pytest.raises(WeightsError, match=r"too_large: 300004 bytes, above .*300000"):
        get(shelf.put("/b", BODY + b"more"))
    assert _left(tmp_path) == set()


def test_a_body_of_unstated_length_ends_where_the_file_does(shelf: Any, tmp_path: Path, get: Any):
    with pytest.raises(WeightsError, match="too_large"):
        get(shelf.put("/b", BODY * 10, {"length": False}))
    assert (tmp_path / "b.partial").stat().st_size <= len(BODY)
    (tmp_path / "b.partial").unlink()
    with pytest.raises(WeightsError, match="299999 bytes came, not 300000"):
        get(shelf.put("/c", BODY[:-1], {"length": False}))
    assert _left(tmp_path) == set()


def test_a_server_that_fails_twice_is_asked_again(shelf: Any, get: Any):
    get(shelf.put("/b", BODY, {"status": 500}, {"status": 503, "headers": {"Retry-After": "0"}}))
    assert len(shelf.answers) == 3


def test_a_server_is_left_alone_as_long_as_it_asks_and_one_that_asks_for_too_long_has_failed(
    shelf: Any, get: Any, caplog: pytest.LogCaptureFixture
):
    started = time.monotonic()
    with caplog.at_level("DEBUG", "pipelines.crawling.fetch"):
        get(shelf.put("/b", BODY, {"status": 429, "headers": {"Retry-After": "1"}}))
    assert time.monotonic() - started >= 1.0
    assert "http_429: Too Many Requests; again in 1 s" in caplog.messages
    shelf.put("/c", BODY, {"status": 503, "headers": {"Retry-After": "3600"}})
    with pytest.raises(WeightsError, match=r"http_503: .*a pause of 3600 s"):
        get(f"{shelf.url}/c", b"else")


def test_a_server_that_goes_on_failing_is_given_up(shelf: Any, get: Any):
    with pytest.raises(WeightsError, match=r"http_500.*\(3 attempts\)"):
        get(shelf.put("/b", BODY, *[{"status": 500}] * 5))
    assert len(shelf.answers) == 3


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, "http_404: Not Found; by hand"),
        (401, "http_401: Unauthorized; accept the terms on the home page, and set HF_TOKEN"),
        (403, "http_403: Forbidden; accept the terms on the home page, and set HF_TOKEN"),
    ],
)
def test_a_refusal_is_final(shelf: Any, tmp_path: Path, get: Any, status: int, message: str):
    with pytest.raises(WeightsError, match=message):
        get(shelf.put("/b", BODY, {"status": status}))
    assert len(shelf.answers) == 1
    assert _left(tmp_path) == set()


def test_a_page_is_no_file_even_where_nothing_is_known_of_it(shelf: Any, tmp_path: Path, get: Any):
    with pytest.raises(WeightsError, match="web_page: a page came instead of the file"):
        get(shelf.put("/b", b"<html>log in</html>", {"kind": "text/html; charset=utf-8"}), known=False)
    assert _left(tmp_path) == set()


def test_an_empty_file_is_no_file(shelf: Any, tmp_path: Path, get: Any):
    with pytest.raises(WeightsError, match="0 bytes came, not a file"):
        get(shelf.put("/b", b""), known=False)
    assert _left(tmp_path) == set()


def test_a_slow_server_is_waited_for_and_a_silent_one_not(shelf: Any, get: Any, patience: Any):
    patience(retries=0, timeout_s=0.7)
    get(shelf.put("/b", BODY, {"slow": 0.08}))
    patience(timeout_s=0.2)
    with pytest.raises(WeightsError, match=r"timeout: .*timed out"):
        get(shelf.put("/c", b"else", {"slow": 1.0}), b"else")


def test_a_redirect_is_followed(shelf: Any, get: Any):
    shelf.put("/there", BODY)
    get(shelf.put("/here", b"", {"status": 302, "location": f"{shelf.cdn}/there"}))
    assert [answer.path for answer in shelf.answers] == ["/here", "/there"]


def test_a_server_that_is_not_there_is_told(get: Any):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(WeightsError, match=r"connection_failed: .*Connection refused.*\(3 attempts\)"):
            get(f"http://127.0.0.1:{nobody.getsockname()[1]}/b")


def test_bytes_that_were_compressed_on_the_way_are_not_continued(shelf: Any, get: Any):
    url = shelf.put("/b", gzip.compress(BODY), {"encoding": "gzip", "cut": 100_000}, {"encoding": "gzip"})
    assert get(url).read_bytes() == BODY
    assert [answer.start for answer in shelf.answers] == [0, 0]


def test_a_server_that_gives_less_than_the_range_is_asked_for_the_rest(shelf: Any, get: Any):
    assert get(shelf.put("/b", BODY, {"cut": 100_000}, {"piece": 50_000})).read_bytes() == BODY
    assert [answer.start for answer in shelf.answers] == [0, 100_000, 150_000]


def test_a_disk_that_fills_up_is_told_with_a_way_out(shelf: Any, tmp_path: Path, get: Any):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(ConfigError, match=r"cannot be written \(File too large\); free space .*--root"):
            get(shelf.put("/b", BODY))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("size", [0, 1000, len(BODY)])
def test_a_planted_link_is_not_followed(shelf: Any, tmp_path: Path, get: Any, size: int, known: bool):
    (tmp_path / "victim").write_bytes(b"v" * size)
    for name in ("b.partial", ".checksums.json.partial"):
        (tmp_path / name).symlink_to(tmp_path / "victim")
    place = get(shelf.put("/b", BODY), known=known)
    assert place.read_bytes() == BODY
    assert not place.is_symlink()
    assert (tmp_path / "victim").read_bytes() == b"v" * size
    assert not (tmp_path / "checksums.json").is_symlink()


def test_a_folder_that_cannot_be_written_is_told(shelf: Any, tmp_path: Path, entry: Any, file: Any):
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match=r"file/folder cannot be written \(Not a directory\); .*--root"):
        fetch(tmp_path, [entry("b", file("file/folder/b", BODY, shelf.put("/b", BODY)))], Mirrors([], {}))


def test_of_two_processes_one_is_sent_away(
    shelf: Any, tmp_path: Path, get: Any, patience: Any, monkeypatch: pytest.MonkeyPatch
):
    handle, begun, released = shelf.handle, threading.Event(), threading.Event()

    def wait(handler: Any) -> None:
        begun.set()
        released.wait(60)
        handle(handler)

    monkeypatch.setattr(shelf, "handle", wait)
    patience(timeout_s=60.0)
    thread = threading.Thread(target=get, args=(shelf.put("/b", BODY),))
    thread.start()
    assert begun.wait(10)
    script = (
        "import sys; from pathlib import Path; from jobs.weights.fetch import Mirrors, fetch\n"
        "fetch(Path(sys.argv[1]), [], Mirrors([], {}))"
    )
    other = subprocess.run([sys.executable, "-c", script, tmp_path], cwd=ROOT, capture_output=True, text=True)
    released.set()
    thread.join()
    assert f"WeightsError: another process is fetching into {tmp_path}; wait for it" in other.stderr
    assert (tmp_path / "b").read_bytes() == BODY
    assert len(shelf.answers) == 1


def test_a_download_shows_how_far_it_is(shelf: Any, get: Any, caplog: pytest.LogCaptureFixture):
    with caplog.at_level("INFO", "pipelines.progress"):
        get(shelf.put("/b", bytes(12_000_001)), bytes(12_000_001))
    (line,) = caplog.messages
    assert line.startswith("fetching b, MB: 12 of 12, ")


# messages, mirrors


def test_a_wrong_file_stays_until_the_right_one_has_come(shelf: Any, tmp_path: Path, get: Any):
    url = shelf.put("/b", BODY, {"status": 404})
    (tmp_path / "b").write_bytes(b"wrong")
    with pytest.raises(WeightsError):
        get(url)
    assert (tmp_path / "b").read_bytes() == b"wrong"
    assert get(url).read_bytes() == BODY


def test_mirrors_stand_for_what_urls_begin_with():
    def urls(given: list[str], environment: dict[str, str], *published: str) -> list[str]:
        mirrors = Mirrors(given, environment)
        return [mirrors.source(url)[0] for url in published]

    plain = [f"{HUGGING_FACE}/a/b", "https://x.example/a"]
    assert urls([], {}, *plain) == plain
    given = ["https://all.example/", "https://github.com/a/=http://short/", "https://github.com/a/b/=http://long/"]
    hub = {"HF_ENDPOINT": "https://hub.example/", "HF_TOKEN": "secret"}
    deep = ["https://github.com/a/c", "https://github.com/a/b/c"]
    assert urls(given, hub, *plain, *deep) == [
        "https://hub.example/a/b",
        "https://all.example/x.example/a",
        "http://short/c",
        "http://long/c",
    ]
    assert urls([f"{HUGGING_FACE}/=http://home/"], {}, plain[0]) == ["http://home/a/b"]


def test_the_token_goes_to_the_hub_alone():
    token = {"HF_TOKEN": "secret"}
    mirrors = Mirrors(["https://all.example"], {"HF_ENDPOINT": "https://hub.example", **token})
    assert mirrors.source(f"{HUGGING_FACE}/a") == ("https://hub.example/a", True, "secret")
    assert mirrors.source("https://hub.example/a")[1:] == (False, None)
    assert mirrors.source("https://github.com/a")[1:] == (False, None)
    assert Mirrors([], token).source(f"{HUGGING_FACE}.evil.example/a")[1:] == (False, None)
    moved = Mirrors([f"{HUGGING_FACE}/=https://hugging-face.evil/"], token)
    assert moved.source(f"{HUGGING_FACE}/a") == ("https://hugging-face.evil/a", False, None)
    for given, sent in (("", None), (" \n", None), ("secret\n", "secret")):
        assert Mirrors([], {"HF_TOKEN": given}).source(f"{HUGGING_FACE}/a")[1:] == (True, sent)


@pytest.mark.parametrize("mirror", ["mirror.example", "ftp://mirror.example", "github.com=https://mirror.example"])
def test_a_mirror_that_is_no_url_is_refused(mirror: str):
    with pytest.raises(ConfigError, match="http:// or https:// must begin it"):
        Mirrors([mirror], {})
    with pytest.raises(ConfigError, match="--mirror or HF_ENDPOINT has 'hub'; http"):
        Mirrors([], {"HF_ENDPOINT": "hub"})


def test_a_mirror_of_the_hub_that_is_no_hub_is_asked_for_the_file_alone(
    shelf: Any, tmp_path: Path, entry: Any, file: Any
):
    shelf.put("/copy/a/resolve/1/b", BODY)
    made = entry("b", file("b", BODY, f"{HUGGING_FACE}/a/resolve/1/b"))
    mirrors = Mirrors([f"{HUGGING_FACE}/={shelf.url}/copy/"], {"HF_TOKEN": "secret"})
    fetch(tmp_path, [made], mirrors)
    (answer,) = shelf.answers
    assert (answer.method, "Authorization" in answer.headers) == ("GET", False)


def test_the_environment_of_a_test_leads_nowhere_else(shelf: Any):
    assert not {"HF_TOKEN", "HF_ENDPOINT"} & set(os.environ)
