"""Files of the hub, from a local server that answers as the hub does."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from jobs.weights.fetch import Mirrors, fetch
from stableanimator.errors import WeightsError

BODY = hashlib.shake_256(b"hub").digest(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def get(shelf: Any, tmp_path: Path, entry: Any, file: Any) -> Callable[..., Path]:
    """Fetch a file of the hub, which is the shelf by HF_ENDPOINT, as `w/b`, which is to be BODY; returns its place."""

    def fetch_b(published: str, body: bytes = BODY, *, known: bool = True, token: str = "") -> Path:
        mirrors = Mirrors([], {"HF_ENDPOINT": shelf.url, "HF_TOKEN": token})
        fetch(tmp_path, [entry("b", file("w/b", body, published, known=known))], mirrors)
        return tmp_path / "w" / "b"

    return fetch_b


def _asked(shelf: Any) -> list[tuple[str, str]]:
    return [(answer.method, answer.path.split("/")[1]) for answer in shelf.answers]


def _left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_large_file_comes_from_the_other_host_at_the_pinned_revision(shelf: Any, get: Any):
    place = get(shelf.put_hub("b", BODY))
    assert place.read_bytes() == BODY
    assert _asked(shelf) == [("HEAD", "a"), ("GET", "a"), ("GET", "cdn")]
    assert {answer.path for answer in shelf.answers[:2]} == {f"/a/b/resolve/{shelf.COMMIT}/b"}
    assert _left(place.parent) == ["b"]


def test_a_small_file_has_gits_checksum_there_and_ours_is_checked(shelf: Any, get: Any, tmp_path: Path):
    assert get(shelf.put_hub("sub/config.json", BODY, large=False)).read_bytes() == BODY
    assert _asked(shelf) == [("HEAD", "a"), ("GET", "a")]
    (tmp_path / "w" / "b").unlink()
    with pytest.raises(WeightsError, match=f"damaged: what came has SHA-256 .* not {SHA256}"):
        get(shelf.put_hub("other.json", BODY[::-1], large=False))


def test_the_token_goes_to_the_hub_and_not_where_it_redirects(shelf: Any, get: Any):
    get(shelf.put_hub("b", BODY), token="secret")
    assert [answer.headers.get("Authorization", answer.headers.get("authorization")) for answer in shelf.answers] == [
        "Bearer secret",
        "Bearer secret",
        None,
    ]


def test_another_file_is_refused_before_a_byte_of_it_has_come(shelf: Any, get: Any):
    with pytest.raises(WeightsError, match=f"another_file: the server's has SHA-256 .*, not {SHA256}"):
        get(shelf.put_hub("b", BODY[::-1]))
    with pytest.raises(WeightsError, match="another_file: the server's has size 299999, not 300000"):
        get(shelf.put_hub("c", BODY[:-1]))
    assert _asked(shelf) == [("HEAD", "a"), ("HEAD", "a")]


def test_a_cut_body_is_continued_and_so_is_a_run_that_gave_up(shelf: Any, tmp_path: Path, get: Any, patience: Any):
    url = shelf.put_hub("b", BODY, {"cut": 100_000}, {"cut": 50_000}, {"cut": 50_000}, {"cut": 1})
    patience(retries=2)
    with pytest.raises(WeightsError, match="cut_short"):
        get(url)
    assert (tmp_path / "w" / "b.partial").read_bytes() == BODY[:200_000]
    patience(retries=2)
    assert get(url).read_bytes() == BODY
    starts = [answer.start for answer in shelf.answers if answer.path.startswith("/cdn")]
    assert starts == [0, 100_000, 150_000, 200_000, 200_001]


def test_what_nobody_has_written_down_is_checked_by_what_the_hub_says(shelf: Any, tmp_path: Path, get: Any):
    """Also across runs: a part of the version before is not mixed with the one that is there now."""
    url = shelf.put_hub("b", BODY, revision="main")
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "b.partial").write_bytes(BODY[:70_000])
    assert get(url, known=False).read_bytes() == BODY
    assert shelf.answers[-1].start == 70_000
    (tmp_path / "w" / "b").unlink()
    (tmp_path / "w" / "b.partial").write_bytes(bytes(70_000))
    assert get(url, known=False).read_bytes() == BODY
    assert [answer.start for answer in shelf.answers[-4:]] == [0, 70_000, 0, 0]


def test_what_the_other_host_has_instead_is_found_though_nobody_has_written_it_down(
    shelf: Any, tmp_path: Path, get: Any
):
    url = shelf.put_hub("b", BODY)
    shelf.files[f"/cdn/{SHA256}"] = BODY[::-1]
    with pytest.raises(WeightsError, match=f"damaged: .* not {SHA256}; it was deleted"):
        get(url, known=False)
    assert _left(tmp_path / "w") == []


@pytest.mark.parametrize(
    ("status", "headers", "message"),
    [
        (401, {"X-Error-Code": "GatedRepo"}, "http_401: .*gated.*; accept the terms .* set HF_TOKEN"),
        (403, {"X-Error-Code": "GatedRepo"}, "http_403: .*gated.*; accept the terms .* set HF_TOKEN"),
        (404, {"X-Error-Code": "EntryNotFound"}, "http_404: .*Entry Not Found"),
        (404, {"X-Error-Code": "RevisionNotFound"}, "http_404: .*Revision Not Found"),
    ],
)
def test_a_refusal_is_final(shelf: Any, tmp_path: Path, get: Any, status: int, headers: dict[str, str], message: str):
    url = shelf.put_hub("b", BODY)
    fault = {"status": status, "headers": headers}
    shelf.faults[f"HEAD /a/b/resolve/{shelf.COMMIT}/b"] += [fault]
    with pytest.raises(WeightsError, match=message) as failure:
        get(url)
    assert "\n" not in str(failure.value)
    assert f"by hand: download {url} " in str(failure.value)
    assert _asked(shelf) == [("HEAD", "a")]
    shelf.faults[f"/a/b/resolve/{shelf.COMMIT}/b"] += [{"status": status}]
    with pytest.raises(WeightsError, match=f"http_{status}"):
        get(url)
    assert _left(tmp_path / "w") == []


def test_a_hub_that_is_busy_is_asked_again_after_the_pause_it_asks_for(shelf: Any, get: Any):
    url, head = shelf.put_hub("b", BODY), f"HEAD /a/b/resolve/{shelf.COMMIT}/b"
    shelf.faults[head] += [{"status": 503}, {"status": 429, "headers": {"Retry-After": "1"}}]
    shelf.faults[f"/a/b/resolve/{shelf.COMMIT}/b"] += [{"status": 503, "headers": {"Retry-After": "0"}}]
    started = time.monotonic()
    assert get(url).read_bytes() == BODY
    assert time.monotonic() - started >= 1.0
    assert _asked(shelf) == [*[("HEAD", "a")] * 3, *[("GET", "a")] * 2, ("GET", "cdn")]
    shelf.faults[f"HEAD /a/b/resolve/{shelf.COMMIT}/c"] += [{"status": 429, "headers": {"Retry-After": "3600"}}]
    with pytest.raises(WeightsError, match=r"http_429: .*a pause of 3600 s"):
        get(shelf.put_hub("c", b"else"), b"else")


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "http://nowhere.invalid", "http://["])
def test_a_hub_that_is_not_there_is_told_at_once(
    shelf: Any, tmp_path: Path, entry: Any, file: Any, patience: Any, endpoint: str
):
    patience(backoff_s=60.0)
    made = entry("b", file("w/b", BODY, "https://huggingface.co/a/b/resolve/main/b"))
    with pytest.raises(WeightsError, match=r"no_answer: .*; by hand"):
        fetch(tmp_path, [made], Mirrors([], {"HF_ENDPOINT": endpoint}))


def test_offline_by_the_hubs_own_setting_is_told(shelf: Any, get: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match=r"no_answer: .*offline mode is enabled.*HF_HUB_OFFLINE"):
        get(shelf.put_hub("b", BODY))
    assert shelf.answers == []


def test_a_page_of_a_network_that_wants_a_login_is_no_file(shelf: Any, tmp_path: Path, get: Any):
    page = {"status": 200, "kind": "text/html", "headers": {}}
    url = shelf.put_hub("b", BODY)
    path = url.removeprefix("https://huggingface.co")
    shelf.files[path] = b"<html>log in</html>"
    shelf.faults[f"HEAD {path}"] += [page]
    with pytest.raises(WeightsError, match="another_file: the server's has size 19, not 300000"):
        get(url)
    shelf.faults[f"HEAD {path}"] += [page]
    shelf.faults[path] += [page]
    with pytest.raises(WeightsError, match="web_page"):
        get(url, known=False)
    assert _left(tmp_path / "w") == []


def test_a_repository_that_was_renamed_is_found(shelf: Any, get: Any):
    shelf.put_hub("b", BODY)
    path = f"/old/name/resolve/{shelf.COMMIT}/b"
    for key in (path, f"HEAD {path}"):
        shelf.faults[key] += [{"status": 307, "location": f"/a/b/resolve/{shelf.COMMIT}/b"}]
    assert get(f"https://huggingface.co{path}", token="secret").read_bytes() == BODY
    assert _asked(shelf) == [("HEAD", "old"), ("HEAD", "a"), ("GET", "old"), ("GET", "a"), ("GET", "cdn")]


def test_a_hub_that_says_nothing_at_first_is_asked_again(shelf: Any, get: Any, monkeypatch: pytest.MonkeyPatch):
    handle, begun = shelf.handle, []

    def hang_up_once(handler: Any) -> None:
        begun.append(handler.path)
        if len(begun) > 1:
            handle(handler)

    monkeypatch.setattr(shelf, "handle", hang_up_once)
    assert get(shelf.put_hub("b", BODY)).read_bytes() == BODY
    assert _asked(shelf) == [("HEAD", "a"), ("GET", "a"), ("GET", "cdn")]


def test_a_silent_hub_is_given_up(shelf: Any, get: Any, patience: Any):
    patience(retries=0, timeout_s=0.3)
    with pytest.raises(WeightsError, match="timeout"):
        get(shelf.put_hub("b", BODY, {"slow": 1.0}))
