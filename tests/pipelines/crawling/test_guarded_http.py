from __future__ import annotations

import datetime
import email.utils
import http.server
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from pipelines.crawling import guarded_http
from pipelines.crawling.guarded_http import HostTurns, TryAgainError, Visit, refuse_private, retry_after
from pipelines.crawling.settings import CrawlSettings
from stableanimator.errors import FetchError


def _get(url: str, settings: CrawlSettings, turns: HostTurns | None = None) -> bytes:
    with Visit(settings, turns or HostTurns(0.0)) as visit, visit.session() as session:
        return visit.get(session, url, {}).content


PRIVATE = CrawlSettings(allow_private_addresses=True, timeout_s=10.0)
PUBLIC = CrawlSettings(timeout_s=10.0)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.9",
        "172.16.5.5",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "2002:7f00:1::",
        "64:ff9b::a00:1",
        "224.0.0.251",
        "ff02::1",
        "fec0::1",  # site-local
        "feff::1",
        "::127.0.0.1",  # IPv4-compatible
        "::8.8.8.8",
        "::ffff:0:127.0.0.1",  # IPv4-translated
        "::ffff:0:8.8.8.8",
        "64:ff9b:1::a00:1",  # NAT64 of one network
        "64:ff9b:1::808:808",
        "64:ff9b::7f00:1",
        "::ffff:192.0.0.8",
        "2002:a9fe:a9fe::1",
        "2001:0:7f00:1::f7f7:f7f7",  # Teredo: the server inside, the client outside
        "2001:0:808:808::80ff:fffe",  # and the other way round: 127.0.0.1, inverted
        "2606:4700:0:1:0:5efe:10.0.0.1",  # ISATAP
        "2606:4700:0:1:200:5efe:127.0.0.1",
        "2001:db8::1",
        "2001:2::1",
        "2001:10::1",
        "3fff::1",
        "5f00::1",
        "4000::1",
        "100::1",
        "fc00::1",
        "2606:4700:4700::1111%eth0",
        "0.1.2.3",
        "192.0.0.1",
        "192.0.0.170",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "239.255.255.250",
        "240.0.0.1",
        "0177.0.0.1",
        "2130706433",
        "0x7f.1",
        "",
        "no address",
    ],
)
def test_addresses_inside_are_refused(address: str):
    with pytest.raises(FetchError, match="private_address"):
        refuse_private(address)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "192.0.1.1",
        "198.17.255.255",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",  # how a network without IPv4 reaches all the rest
        "2002:808:808::1",
        "2001:0:808:808::f7f7:f7f7",
    ],
)
def test_public_addresses_are_not(address: str):
    refuse_private(address)


def test_a_public_name_is_asked(site: Any, public_name: str):
    site.file("/a", b"body")
    assert _get(f"{public_name}/a", PUBLIC) == b"body"


def test_the_address_that_was_checked_is_the_one_connected_to(
    site: Any, monkeypatch: pytest.MonkeyPatch, public_name: str
):
    """DNS rebinding: a name is public when it is looked up first and private ever after."""
    site.file("/a", b"body")
    lookups: list[Any] = []
    connected: list[str] = []
    look_up, connect = socket.getaddrinfo, guarded_http.create_connection

    def resolver(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "rebind.test":
            lookups.append(host)
            host = "public.test" if len(lookups) == 1 else "127.0.0.1"
        return look_up(host, *args, **kwargs)

    def route(address: tuple[str, int], *args: Any, **kwargs: Any) -> socket.socket:
        connected.append(address[0])
        return connect(address, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    monkeypatch.setattr(guarded_http, "create_connection", route)
    assert _get("http://rebind.test/a", PUBLIC) == b"body"
    assert (lookups, connected) == (["rebind.test"], ["93.184.215.14"])
    with pytest.raises(FetchError, match="private_address"):
        _get("http://rebind.test/a", PUBLIC)
    assert connected == ["93.184.215.14"]


def test_one_private_address_among_several_is_enough(monkeypatch: pytest.MonkeyPatch, public_name: str, site: Any):
    look_up = socket.getaddrinfo

    def resolver(host: Any, *args: Any, **kwargs: Any) -> Any:
        names = ["public.test", "127.0.0.1"] if host == "both.test" else [host]
        return [entry for name in names for entry in look_up(name, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    with pytest.raises(FetchError, match="private_address"):
        _get("http://both.test/a", PUBLIC)
    assert site.asked == {}


def test_the_next_address_is_tried_when_the_first_does_not_answer(site: Any, monkeypatch: pytest.MonkeyPatch):
    site.file("/a", b"body")
    look_up = socket.getaddrinfo

    def resolver(host: Any, *args: Any, **kwargs: Any) -> Any:
        names = ["127.0.0.2", "127.0.0.1"] if host == "two.test" else [host]  # nobody listens on the first
        return [entry for name in names for entry in look_up(name, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    assert _get(f"http://two.test:{site.port}/a", PRIVATE) == b"body"


def test_a_resolver_out_of_order_is_no_unknown_host_for_good(monkeypatch: pytest.MonkeyPatch):
    def resolver(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    with pytest.raises(TryAgainError, match="Temporary failure"):
        _get("http://host.test/", PUBLIC)


def test_what_a_proxy_would_be_asked_is_checked_too(
    site: Any, monkeypatch: pytest.MonkeyPatch, reply: Callable[..., None]
):
    """The site serves as the proxy, which is asked for whole URLs."""
    for url in ("http://8.8.8.8/a", "http://name-of-elsewhere.invalid/a"):
        site.on(url, lambda handler: reply(handler, b"through the proxy"))
    monkeypatch.setenv("http_proxy", site.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert _get("http://8.8.8.8/a", PUBLIC) == b"through the proxy"
    assert _get("http://name-of-elsewhere.invalid/a", PUBLIC) == b"through the proxy"
    for odd in ("010.0.0.1", "8.8.2056", "0x8.8.8.8", "134744072", "8.8.8.8."):  # which a proxy may read in another way
        with pytest.raises(FetchError, match="private_address"):
            _get(f"http://{odd}/a", PUBLIC)
    with pytest.raises(FetchError, match="private_address"):
        _get("http://169.254.169.254/latest", PUBLIC)


def test_passwords_of_this_machine_are_not_sent(site: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any):
    (tmp_path / "netrc").write_text("default login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    site.file("/a", b"body")
    _get(f"{site.url}/a", PRIVATE)
    assert site.headers["/a"][0]["Authorization"] is None
    assert site.headers["/a"][0]["User-Agent"] == PRIVATE.user_agent


def test_requests_to_one_host_keep_their_distance_redirects_included(site: Any):
    site.file("/a", b"body")
    site.redirect("/b", "/a")
    turns = HostTurns(0.1)
    started = time.monotonic()
    for path in ("/a", "/b", "/a"):
        _get(site.url + path, PRIVATE, turns)
    assert time.monotonic() - started >= 0.3
    assert site.asked == {"/a": 3, "/b": 1}


def test_hosts_do_not_wait_for_each_other_and_a_postponed_one_waits_longer():
    turns = HostTurns(10.0)
    assert turns.take("a") == turns.take("b") == 0.0
    assert turns.take("a") == pytest.approx(10.0, abs=0.1)
    turns.postpone("b", 60.0)
    assert turns.take("b") == pytest.approx(60.0, abs=0.1)


def test_the_body_of_a_redirect_is_not_read(site: Any, reply: Callable[..., None]):
    def endless(handler: http.server.BaseHTTPRequestHandler) -> None:
        reply(handler, b"", status=302, Location="/a", Content_Length=10**12)
        read.wait(20)

    read = threading.Event()
    site.file("/a", b"body")
    site.on("/endless", endless)
    assert _get(f"{site.url}/endless", PRIVATE) == b"body"
    read.set()


def _drip_header(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
    for _ in range(400):
        time.sleep(0.05)
        handler.wfile.write(b"x")


def test_the_watchdog_cuts_a_header_that_drips(site: Any):
    site.on("/drip", _drip_header)
    settings = CrawlSettings(allow_private_addresses=True, timeout_s=20.0, deadline_s=0.3)
    started = time.monotonic()
    with Visit(settings, HostTurns(0.0)) as visit, visit.session() as session:
        for _ in range(2):
            with pytest.raises(FetchError, match="deadline"):
                visit.get(session, f"{site.url}/drip", {})
    assert time.monotonic() - started < 8.0


def test_the_watchdog_cuts_a_handshake_that_hangs():
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = CrawlSettings(allow_private_addresses=True, timeout_s=20.0, deadline_s=0.3)
        started = time.monotonic()
        with Visit(settings, HostTurns(0.0)) as visit, visit.session() as session:
            with pytest.raises(requests.RequestException):
                visit.get(session, f"https://127.0.0.1:{server.getsockname()[1]}/", {})
            with pytest.raises(FetchError, match="deadline"):
                visit.check()
    assert time.monotonic() - started < 8.0


def test_a_visit_that_is_ended_from_outside_wakes_up():
    with Visit(PUBLIC, HostTurns(0.0)) as visit:
        threading.Timer(0.1, visit.end, (FetchError("stopped"),)).start()
        started = time.monotonic()
        with pytest.raises(FetchError, match="stopped"):
            visit.pause(60.0)
    assert time.monotonic() - started < 8.0


def test_retry_after_is_seconds_or_a_date():
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=50)
    assert retry_after("120") == 120.0
    assert retry_after(email.utils.format_datetime(soon, usegmt=True)) == pytest.approx(50.0, abs=2.0)
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert [retry_after(value) for value in (None, "", "soon", "-5")] == [None] * 4
