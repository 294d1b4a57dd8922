"""Pictures, clips and web sites for the tests of the pipelines: what is in them is known exactly."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipelines.crawling import guarded_http
from stableanimator.media.video import write_mp4

Picture = np.ndarray


def texture(seed: int, height: int = 200, width: int = 320) -> Picture:
    """A smooth random picture, uint8 [H, W, 3]: trackable everywhere, and unlike that of any other seed."""
    coarse = np.random.default_rng(seed).uniform(20, 235, (height // 10, width // 10, 3)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def new_texture() -> Callable[..., Picture]:
    return texture


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., Path]:
    """Write a clip: `make_clip(path, seeds=(1, 2), frames=24, speed=0)`.

    One shot of `frames` frames for each seed, at 24 per second, in front of which the camera moves right by `speed`
    pixels a frame; pictures of 320x200.
    """

    def make(path: Path, seeds: Iterable[int] = (1,), frames: int = 24, speed: int = 0) -> Path:
        pictures = []
        for seed in seeds:
            world = texture(seed, width=320 + speed * frames)
            pictures += [world[:, speed * number : speed * number + 320] for number in range(frames)]
        write_mp4(path, [np.ascontiguousarray(picture) for picture in pictures], 24.0)
        return path

    return make


Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Site:
    """A web site on the loopback address: what each path answers, and what was asked for."""

    def __init__(self) -> None:
        self.url = ""
        self.port = 0
        self.answers: dict[str, Answer] = {}
        self.asked: Counter[str] = Counter()
        self.headers: dict[str, list[Any]] = defaultdict(list)

    def handle(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        self.asked[handler.path] += 1
        self.headers[handler.path].append(handler.headers)
        answer = self.answers.get(handler.path) or self.answers.get("*")
        if answer is None:
            handler.send_error(404)
        else:
            answer(handler)

    def file(self, path: str, body: bytes, kind: str = "video/mp4", status: int = 200, **headers: Any) -> str:
        """Serve a body whole, for "*" under every other path; returns its URL.

        `Content_Length=5` replaces that header, None leaves it out.
        """
        return self.on(path, lambda handler: send(handler, body, kind, status, **headers))

    def redirect(self, path: str, to: str) -> str:
        return self.on(path, lambda handler: send(handler, b"", "text/plain", 302, Location=to))

    def on(self, path: str, answer: Answer) -> str:
        self.answers[path] = answer
        return self.url + path


def send(
    handler: http.server.BaseHTTPRequestHandler,
    body: bytes,
    kind: str = "video/mp4",
    status: int = 200,
    **headers: Any,
) -> None:
    """An answer with these headers, `_` for `-`; a header that is None is left out."""
    handler.send_response(status)
    lines = {"Content-Type": kind, "Content-Length": len(body)}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in lines.items():
        if value is not None:
            handler.send_header(name, str(value))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def site() -> Iterator[Site]:
    """A web site of one test."""
    site = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError):
                site.handle(self)

        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    site.port = server.server_port
    site.url = f"http://127.0.0.1:{site.port}"
    yield site
    server.shutdown()
    server.server_close()


@pytest.fixture
def reply() -> Callable[..., None]:
    """`reply(handler, body, kind, status, **headers)`: one answer of a site."""
    return send


PUBLIC = "93.184.215.14"


@pytest.fixture
def public_name(site: Site, monkeypatch: pytest.MonkeyPatch) -> str:
    """`http://public.test`: a name with a public address, whose connections reach the test's site all the same.

    Only the outside is replaced: the resolver, and the route to one address.
    """
    look_up, connect = socket.getaddrinfo, guarded_http.create_connection

    def resolver(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        return look_up(PUBLIC if host == "public.test" else host, port, *args, **kwargs)

    def route(address: tuple[str, int], *args: Any, **kwargs: Any) -> socket.socket:
        return connect(("127.0.0.1", site.port) if address[0] == PUBLIC else address, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    monkeypatch.setattr(guarded_http, "create_connection", route)
    return "http://public.test"
