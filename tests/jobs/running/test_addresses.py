"""What is written for a cluster and leads to no job server of Ray: one line that says what, where, and what to do."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jobs.running.addresses import job_server_address
from jobs.running.job_server import versions
from stableanimator.errors import ConfigError


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_JOB_HEADERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


@pytest.fixture
def web() -> Iterator[Callable[..., str]]:
    """`web(status, body, kind)`: the netloc of a plain HTTP server that answers every request so."""
    servers = []

    def serve(status: int, body: str, kind: str = "text/html") -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *args: Any) -> None:
                pass

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"127.0.0.1:{servers[-1].server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _refused(given: str | None, ask: Callable[[str | None], object] = job_server_address) -> str:
    with pytest.raises(ConfigError) as caught:
        ask(given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("head.example", "has no host and port"),
        ("head:port", "has no host and port"),
        (":8265", "has no host and port"),
        ("head:8265/jobs", "has no host and port"),
        ("http://", "is no URL of a job server"),
        ("http://head:port", "is no URL of a job server"),
        ("ftp://head:21", "ftp:// is no address of a Ray cluster"),
        ("anyscale://cluster", "anyscale:// is no address of a Ray cluster"),
        ("local", "`local` names no running cluster"),
    ],
)
def test_what_names_no_cluster_is_refused(given: str, why: str) -> None:
    line = _refused(given)
    assert line.startswith(f"--address {given!r}")
    assert why in line
    assert "give http://HEAD:8265 (the dashboard), HEAD:6379 (the GCS), ray://HEAD:10001 (Ray Client) or auto" in line


@pytest.mark.parametrize("variable", ["RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"])
def test_a_variable_is_named_where_it_is_wrong(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "head")
    assert _refused(None).startswith(f"{variable} 'head' has no host and port")


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_a_port_where_nobody_listens_is_refused_and_never_8265(form: str) -> None:
    given = form.format(_free_port())
    assert _refused(given).startswith(f"--address {given!r}: nobody answers there (Connection refused)")


def test_a_url_where_nobody_listens_is_refused_when_it_is_asked() -> None:
    url = f"http://127.0.0.1:{_free_port()}"
    assert job_server_address(url) == url
    assert f"no Ray job server answers at {url} (" in _refused(url, versions)
    assert "Connection refused" in _refused(url, versions)


@pytest.mark.parametrize(
    ("status", "body"), [(200, "<h1>Welcome</h1>"), (404, "no"), (302, ""), (200, '{"version": "4"}'), (200, "[1]")]
)
def test_another_server_is_refused(status: int, body: str, web: Callable[..., str]) -> None:
    place = web(status, body)
    why = f"what answers at http://{place} is no Ray job server (it answers /api/version with status {status}"
    assert why in _refused(f"http://{place}", versions)
    assert why in _refused(place)  # it speaks HTTP, so nobody asks it for a GCS


@pytest.mark.parametrize("status", [401, 403])
def test_a_login_before_the_cluster_is_told_from_rays_own(status: int, web: Callable[..., str]) -> None:
    place = web(status, "please log in")
    line = _refused(f"http://{place}", versions)
    assert line.startswith(f"something before http://{place} refuses the request (status {status}); log in there")


def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.running.job_server._PROBE_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        started = time.monotonic()
        line = _refused(url, lambda given: versions(str(given)))
    assert f"no Ray job server answers at {url} (" in line
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("token", ["two words", "täglich", "\n"])
def test_what_is_no_token_is_not_sent(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    line = _refused("http://127.0.0.1:1", versions)
    assert line.startswith("RAY_AUTH_TOKEN holds no token; put in it what `ray get-auth-token` prints")


def test_headers_of_ones_own_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_JOB_HEADERS", "Authorization: x")
    assert _refused("http://127.0.0.1:1", versions).startswith("RAY_JOB_HEADERS is no JSON object")
