"""Sources that lie, hang, redirect inside or are no files: each is exactly one row with a named reason."""

from __future__ import annotations

import datetime
import gzip
import http.server
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipelines.crawling.crawl import crawl
from pipelines.crawling.settings import CrawlSettings
from pipelines.storage.store import Store

Handler = http.server.BaseHTTPRequestHandler

LIMITS: dict[str, Any] = {
    "seconds_between_requests": 0,
    "backoff_s": 0.01,
    "timeout_s": 5.0,
    "deadline_s": 20.0,
    "max_pause_s": 0.2,
    "retries": 1,
    "max_bytes": 1_000_000,
    "max_failed_share": 1.0,
    "workers": 16,
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "root"))


@pytest.fixture
def clip(tmp_path: Path, make_clip: Callable[..., Path]) -> bytes:
    return make_clip(tmp_path / "served.mp4", frames=6).read_bytes()


def _results(store: Store, sources: list[str], **options: Any) -> list[tuple[str, str | None]]:
    settings = CrawlSettings(sources=tuple(sources), **{**LIMITS, **options})
    rows = crawl(settings, store).sources.to_pylist()
    assert len(rows) == len(sources)
    return [(row["status"], row["reason"]) for row in rows]


# hostile servers


def _drip(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    for _ in range(50):
        handler.wfile.write(b"x")
        time.sleep(0.1)


def _drip_without_length(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n\0\0\0\x20ftypisom")
    for _ in range(50):
        handler.wfile.write(b"x")
        time.sleep(0.1)


def _endless(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
    while True:
        handler.wfile.write(bytes(1 << 16))


def _raw(data: bytes) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.wfile.write(data)

    return answer


BOMB = gzip.compress(bytes(20_000_000))

SERVERS: dict[str, tuple[Any, str]] = {
    # name: (what is served: a status and headers, or an answer, the reason)
    "gone": ({"status": 404}, "http_404"),
    "forbidden": ({"status": 403}, "http_403"),
    "no content": ({"status": 204}, "http_204"),
    "unavailable for legal reasons": ({"status": 451}, "http_451"),
    "always broken": ({"status": 500}, "http_500"),
    "always busy": ({"status": 429}, "http_429"),
    "busy for an hour": ({"status": 429, "Retry_After": 3600}, "http_429"),
    "never answers": (lambda handler: time.sleep(3), "timeout"),
    "stops in the middle": (_raw(b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nabc"), "cut_short"),
    "drips": (_drip, "deadline"),
    "drips, length unknown": (_drip_without_length, "deadline"),
    "never ends": (_endless, "too_large"),
    "promises more than it has": ({"body": bytes(500), "Content_Length": 1000}, "cut_short"),
    "promises too much": ({"body": b"", "Content_Length": 10**15}, "too_large"),
    "length is no number": ({"body": b"x", "Content_Length": "many"}, "not_a_video"),
    "length is below zero": ({"body": b"x", "Content_Length": -5}, "not_a_video"),
    "empty": ({"body": b""}, "empty_file"),
    "page as video": ({"body": b"\n<html><p>sign in"}, "html_instead_of_video"),
    "page": ({"body": b"<!DOCTYPE html><p>hi", "kind": "text/html"}, "html_instead_of_video"),
    "picture": ({"body": b"\xff\xd8\xff\xe0"}, "not_a_video"),
    "quota message": ({"body": b'{"error": "quota"}', "kind": "application/json"}, "not_a_video"),
    "decompresses above the cap": ({"body": BOMB, "Content_Encoding": "gzip"}, "too_large"),
    "is not compressed as it says": ({"body": b"plain", "Content_Encoding": "gzip"}, "bad_encoding"),
    "speaks no HTTP": (_raw(b"220 ftp.test ready\r\n"), "connection_failed"),
    "closes at once": (_raw(b""), "connection_failed"),
    "endless header": (_raw(b"HTTP/1.0 200 OK\r\nX: " + b"x" * 100_000), "connection_failed"),
    "redirects to itself": ({"status": 302, "Location": "{path}"}, "too_many_redirects"),
    "redirects to a file": ({"status": 302, "Location": "file:///etc/passwd"}, "scheme_not_allowed"),
    "redirects to FTP": ({"status": 302, "Location": "ftp://host.test/a.mp4"}, "scheme_not_allowed"),
    "redirects to nowhere": ({"status": 302, "Location": "http://no-such-host.invalid/a.mp4"}, "unknown_host"),
    "redirects to no URL": ({"status": 302, "Location": "http://[bad"}, "invalid_url"),
    "redirects to no text": (_raw(b"HTTP/1.0 302 Found\r\nLocation: http://h/\xff\xfe\r\n\r\n"), "invalid_url"),
}


def _serve(site: Any, reply: Callable[..., None], name: str) -> str:
    what, _ = SERVERS[name]
    path = "/" + name.replace(" ", "-").replace(",", "") + ".mp4"
    if callable(what):
        return site.on(path, what)
    named = {key: value.format(path=path) if key == "Location" else value for key, value in what.items()}
    return site.on(path, lambda handler: reply(handler, **{"body": b"", **named}))


@pytest.mark.parametrize("name", SERVERS)
def test_a_hostile_server_is_one_failed_row(store: Store, site: Any, reply: Callable[..., None], name: str):
    url = _serve(site, reply, name)
    reason = SERVERS[name][1]
    quick: dict[str, Any] = {"deadline": {"deadline_s": 0.8}, "timeout": {"timeout_s": 0.4}}.get(reason, {})
    assert _results(store, [url], allow_private_addresses=True, **quick) == [("failed", reason)]


def test_all_of_them_in_one_list_are_as_many_rows_and_the_good_ones_are_had(
    store: Store, site: Any, reply: Callable[..., None], clip: bytes, tmp_path: Path
):
    urls = [_serve(site, reply, name) for name in SERVERS]
    good = [site.file(f"/good{number}.mp4", clip + bytes([number])) for number in range(3)]
    listing = tmp_path / "list.jsonl"
    entries = [json.dumps({"url": url}) for url in (good[0], *urls, good[1], good[2])]
    listing.write_text("\n".join([*entries, "{not json"]))
    patient = {**LIMITS, "timeout_s": 1.9, "deadline_s": 5.0}  # so many at once keep the machine busy
    settings = CrawlSettings(lists=(str(listing),), allow_private_addresses=True, **patient)
    rows = crawl(settings, store).sources.to_pylist()
    expected = [None, *(reason for _, reason in SERVERS.values()), None, None, "unreadable_entry"]
    slow = dict.fromkeys(("timeout", "deadline"), "too slow")  # which of the two comes first is the machine's affair
    assert [slow.get(row["reason"], row["reason"]) for row in rows] == [slow.get(one, one) for one in expected]


def test_a_body_longer_than_was_promised_is_read_as_far_as_was_promised(store: Store, site: Any, clip: bytes):
    url = site.file("/a.mp4", clip + b"and more", Content_Length=len(clip))
    assert _results(store, [url], allow_private_addresses=True) == [("fetched", None)]
    (stored,) = (Path(store.root) / "media").rglob("*.mp4")
    assert stored.read_bytes() == clip


def test_a_compressed_body_is_stored_decompressed(store: Store, site: Any, clip: bytes):
    url = site.file("/a.mp4", gzip.compress(clip), Content_Encoding="gzip")
    assert _results(store, [url], allow_private_addresses=True) == [("fetched", None)]
    (stored,) = (Path(store.root) / "media").rglob("*.mp4")
    assert stored.read_bytes() == clip


# the way inside


INSIDE = (
    "http://127.0.0.1:{port}/secret.mp4",
    "http://localhost:{port}/secret.mp4",
    "http://inside.test:{port}/secret.mp4",
    "http://[::1]:{port}/secret.mp4",
    "http://[::ffff:127.0.0.1]:{port}/secret.mp4",
    "http://2130706433:{port}/secret.mp4",
    "http://0x7f.1:{port}/secret.mp4",
    "http://0177.0.0.1:{port}/secret.mp4",
    "http://0:{port}/secret.mp4",
    "http://169.254.169.254/latest/meta-data/x.mp4",
    "http://10.0.0.1/x.mp4",
    "http://public.test@127.0.0.1:{port}/secret.mp4",
)


@pytest.fixture
def outside(public_name: str, site: Any, clip: bytes, monkeypatch: pytest.MonkeyPatch) -> str:
    """A public site whose network also resolves a name to a private address."""
    look_up = socket.getaddrinfo

    def resolver(host: Any, *args: Any, **kwargs: Any) -> Any:
        return look_up("192.168.7.7" if host == "inside.test" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    site.file("/secret.mp4", clip)
    return public_name


@pytest.mark.parametrize("target", INSIDE)
def test_no_redirect_leads_inside(store: Store, site: Any, outside: str, target: str):
    site.redirect("/a.mp4", "/b.mp4")
    site.redirect("/b.mp4", target.format(port=site.port))
    assert _results(store, [f"{outside}/a.mp4"]) == [("failed", "private_address")]
    assert site.asked == {"/a.mp4": 1, "/b.mp4": 1}


@pytest.mark.parametrize("target", INSIDE[:-1])
def test_no_url_leads_inside(store: Store, site: Any, outside: str, target: str):
    assert _results(store, [target.format(port=site.port)]) == [("failed", "private_address")]
    assert site.asked == {}


def test_what_is_outside_is_had_under_the_same_limits(store: Store, site: Any, outside: str, clip: bytes):
    site.redirect("/a.mp4", "/good.mp4")
    site.file("/good.mp4", clip)
    assert _results(store, [f"{outside}/a.mp4"]) == [("fetched", None)]


# hostile URLs


def test_hostile_urls(store: Store, site: Any):
    cases = {
        "http://no-such-host.invalid/a.mp4": "unknown_host",
        f"http://{'l' * 64}.test/a.mp4": "unknown_host",
        "http://[bad/a.mp4": "invalid_url",
        "http://host.test:99999/a.mp4": "invalid_url",
        "https://name:secret@host.test/a.mp4": "credentials_in_url",
        f"https://127.0.0.1:{site.port}/a.mp4": "tls_error",
        "http://127.0.0.1:1/a.mp4": "connection_failed",
        "http://*/a.mp4": "invalid_url",
        f"{site.url}/{'n' * 300}.mp4": "http_404",
        f"{site.url}/%00%ff.mp4": "http_404",
    }
    results = _results(store, list(cases), allow_private_addresses=True)
    assert dict(zip(cases, [reason for _, reason in results], strict=True)) == cases


@pytest.fixture
def untrusted(tmp_path: Path) -> Iterator[str]:
    """A server with a certificate that nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    pem += key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (tmp_path / "pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pem")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *args: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_certificate_that_nobody_signed_is_refused(store: Store, untrusted: str):
    assert _results(store, [f"{untrusted}/a.mp4"], allow_private_addresses=True) == [("failed", "tls_error")]


@pytest.mark.parametrize(
    "path", ["/zoë ü.mp4", "/日本語/видео.MP4", "/a/../../%2e%2e/%2e%2e/etc/passwd.mp4", "/a.mp4?x=../../b", "/n" * 150]
)
def test_odd_names_are_fetched_and_name_nothing_here(store: Store, site: Any, clip: bytes, path: str, tmp_path: Path):
    site.file("*", clip, Content_Disposition='attachment; filename="../../../../tmp/evil.mp4"')
    before = set(os.listdir("/tmp"))
    assert _results(store, [site.url + path], allow_private_addresses=True) == [("fetched", None)]
    files = [file for file in Path(store.root).rglob("*") if file.is_file()]
    assert sorted(file.suffix for file in files) == [".mp4", ".parquet"]
    assert "evil.mp4" not in set(os.listdir("/tmp")) - before


# hostile folders


def _special(folder: Path, clip: bytes) -> dict[str, tuple[str, str | None]]:
    """Fill a folder; returns what becomes of each name, in the order of listing."""
    (folder / "A.MP4").write_bytes(clip)
    (folder / "aaa.mp4").symlink_to(folder / "loop.mp4")
    (folder / "empty.avi").write_bytes(b"")
    os.mkfifo(folder / "fifo.mp4")
    (folder / "gone.mp4").symlink_to(folder / "nowhere.mp4")
    (folder / "hole.mp4").symlink_to("/dev/zero")
    (folder / "loop.mp4").symlink_to(folder / "aaa.mp4")
    (folder / ("n" * 251 + ".mp4")).write_bytes(clip + b"long name")
    (folder / "outside.mp4").symlink_to(folder.parent / "served.mp4")
    (folder / "page.mp4").write_bytes(b"<!DOCTYPE html>")
    server = socket.socket(socket.AF_UNIX)
    place = os.getcwd()
    os.chdir(folder)  # a socket's path may have 107 bytes
    server.bind("socket.mp4")
    os.chdir(place)
    server.close()
    (folder / "unreadable.mp4").symlink_to("/proc/self/mem")  # a file whose first byte cannot be read, even by root
    (folder / "zoë 日本.webm").write_bytes(clip + b"unicode")
    (folder / "x.mp4").mkdir()
    (folder / "x.mp4" / "y.mkv").write_bytes(clip + b"inside")
    (folder / "x.mp4" / "back").symlink_to(folder, target_is_directory=True)
    with open(os.fsencode(folder) + b"/\xff\xfe.mp4", "wb") as handle:
        handle.write(clip + b"no UTF-8")
    return {
        "A.MP4": ("fetched", None),
        "aaa.mp4": ("failed", "not_found"),
        "empty.avi": ("failed", "empty_file"),
        "fifo.mp4": ("failed", "not_a_file"),
        "gone.mp4": ("failed", "not_found"),
        "hole.mp4": ("failed", "not_a_file"),
        "loop.mp4": ("failed", "not_found"),
        "n" * 251 + ".mp4": ("fetched", None),
        "outside.mp4": ("duplicate", None),
        "page.mp4": ("failed", "html_instead_of_video"),
        "socket.mp4": ("failed", "not_a_file"),
        "unreadable.mp4": ("failed", "unreadable"),
        "zoë 日本.webm": ("fetched", None),
        "\\udcff\\udcfe.mp4": ("fetched", None),
        "x.mp4/y.mkv": ("fetched", None),
        "x.mp4/back": ("passed_over", "link_to_folder"),
    }


def test_a_hostile_folder_is_one_row_for_each_name(store: Store, tmp_path: Path, clip: bytes):
    folder = tmp_path / "folder"
    folder.mkdir()
    expected = _special(folder, clip)
    rows = crawl(CrawlSettings(sources=(str(folder),), **LIMITS), store).sources.to_pylist()
    found = {os.path.relpath(row["source_uri"], folder): (row["status"], row["reason"]) for row in rows}
    assert found == expected
    assert len(rows) == len(expected)


def test_hostile_paths_in_a_list(store: Store, tmp_path: Path):
    cases = {
        "/" + "n" * 300 + ".mp4": "unreadable",
        "/dev/zero": "not_a_file",
        "/etc/passwd": "not_a_video",
        "/proc/self/mem": "unreadable",
        str(tmp_path): "not_a_file",
        f"{tmp_path}/list.jsonl/a.mp4": "not_found",
        "/nul\0l.mp4": "not_found",
        "file:///%00.mp4": "not_found",
        "file://elsewhere/a.mp4": "invalid_url",
        "../../etc/passwd": "relative_path",
    }
    (tmp_path / "list.jsonl").write_text("\n".join(json.dumps({"url": path}) for path in cases))
    schemes = ("http", "https", "file")
    settings = CrawlSettings(lists=(str(tmp_path / "list.jsonl"),), allowed_schemes=schemes, **LIMITS)
    rows = crawl(settings, store).sources.to_pylist()
    assert {path: row["reason"] for path, row in zip(cases, rows, strict=True)} == cases
