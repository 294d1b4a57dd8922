"""A release with poses, made through the real store and schema; files behind HTTP, served well or badly."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pyarrow as pa
import pytest

from pipelines.storage.store import Collection, Store
from pipelines.storage.tables import CLIPS, FRAMES, VERDICTS

HEIGHT = 100


def mover(seed: int, frames: int) -> np.ndarray:
    """One person's poses [F, 133, 3] in pixels: body joints that sway by up to 3 pixels; no hands, feet or face."""
    random = np.random.default_rng(seed)
    poses = np.full((frames, 133, 3), (np.nan, np.nan, 0), np.float32)
    poses[:, :17, :2] = random.uniform(20, 80, (17, 2)) + random.uniform(-3, 3, (frames, 17, 2))
    poses[:, :17, 2] = 0.9
    return poses


@pytest.fixture
def release_with_poses() -> Callable[..., Collection]:
    """Commit a release below a root: `release_with_poses(root, [{"shot_id": "a", "split": "train", "poses": …}])`.

    A clip's `poses` [F, 133, 3] are those of frames 10, 12, 14 …; by default eight of somebody who sways. `start`,
    `end`, `uploader`, `media` and `camera_translation` may be given.
    """

    def commit(root: Path, clips: list[dict[str, Any]]) -> Collection:
        rows, frames, verdicts = [], [], []
        for number, clip in enumerate(clips):
            poses = clip["poses"] if "poses" in clip else mover(number, 8)
            row = {
                "video_id": f"video of {clip['shot_id']}", "media": f"media/{clip['shot_id']}.mp4", "start": 10,
                "end": 10 + 2 * len(poses), "fps": 10.0, "height": HEIGHT, "width": 2 * HEIGHT, **clip,
            }  # fmt: skip
            rows.append({name: row.get(name) for name in CLIPS.names})
            verdicts.append({name: row.get(name) for name in VERDICTS.names})
            frames += [
                {"shot_id": clip["shot_id"], "frame_index": 10 + 2 * place, "keypoints": [pose.ravel()]}
                for place, pose in enumerate(poses)
            ]
        verdicts.append({"shot_id": "rejected", "verdict": "reject"})
        tables = {
            "clips": pa.Table.from_pylist(rows, schema=CLIPS),
            "frames": pa.Table.from_pylist(frames, schema=FRAMES),
            "verdicts": pa.Table.from_pylist(verdicts, schema=VERDICTS),
        }
        return Store(str(root)).commit("releases", content={}, tables=tables, build={})

    return commit


@dataclass(frozen=True)
class Answer:
    """What a shelf was asked for, and what it sent."""

    method: str
    path: str
    start: int
    """The first byte sent."""
    sent: int
    """Bytes of body."""
    headers: dict[str, str]


class Shelf:
    """Files behind HTTP on the loopback address. `faults[path]` holds what is wrong with the coming answers to it:

    status     instead of 200           location   where to, with a status of 3xx
    cut        bytes after which the connection ends, as if the whole came   kind   Content-Type
    length     False: no Content-Length            slow       seconds before each tenth of the body
    encoding   Content-Encoding                    piece      bytes of the range that are promised and sent
    headers    more of them

    and `faults["HEAD " + path]` of those to HEAD. It is also a hub, as huggingface_hub expects one: a file of a
    repository names commit and ETag; a large one (LFS) also size and SHA-256, and is on another host, with ranges.
    """

    COMMIT = "c0ffee" + "0" * 34

    def __init__(self, url: str) -> None:
        self.url = url
        self.cdn = url.replace("127.0.0.1", "localhost")
        """The same shelf by another name: another host for whoever sends a token."""
        self.files: dict[str, bytes] = {}
        self.large: dict[str, str] = {}
        """Where each large file of a repository is on the other host."""
        self.faults: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.etags: dict[str, str] = {}
        self.ranges = True
        self.answers: list[Answer] = []

    def put(self, path: str, body: bytes, *faults: dict[str, Any]) -> str:
        """Serve a file; returns its URL."""
        self.files[path] = body
        self.faults[path] += faults
        return self.url + path

    def put_hub(
        self, name: str, body: bytes, *faults: dict[str, Any], large: bool = True, revision: str = COMMIT
    ) -> str:
        """Serve a file of the repository a/b, with faults of its bytes; returns the real hub's URL for it."""
        path = f"/a/b/resolve/{revision}/{name}"
        self.files[path] = body
        if large:
            self.large[path] = f"/cdn/{hashlib.sha256(body).hexdigest()}"
        self.put(self.large.get(path, path), body, *faults)
        return f"https://huggingface.co{path}"

    def hub_headers(self, path: str) -> dict[str, str]:
        body = self.files[path]
        if path not in self.large:
            blob = b"blob %d\0" % len(body) + body  # what git hashes
            return {"X-Repo-Commit": self.COMMIT, "ETag": f'"{hashlib.sha1(blob).hexdigest()}"'}
        return {
            "X-Repo-Commit": self.COMMIT,
            "X-Linked-Size": str(len(body)),
            "X-Linked-ETag": f'"{hashlib.sha256(body).hexdigest()}"',
            "Location": self.cdn + self.large[path],
        }

    def handle(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        faults = self.faults[handler.path if handler.command == "GET" else f"HEAD {handler.path}"]
        fault = faults.pop(0) if faults else {}
        if "/resolve/" in handler.path and handler.path in self.files and "status" not in fault:
            fault = {"headers": self.hub_headers(handler.path) | fault.get("headers", {}), **fault}
            if handler.path in self.large:
                fault["status"] = 302
        body, etag = self.files.get(handler.path), self.etags.get(handler.path)
        status = fault.get("status", 404 if body is None else 200)
        if status != 200 or body is None:
            body = b"" if status // 100 == 3 else b"no"
        start = 0
        asked = handler.headers.get("Range")
        if asked and self.ranges and status == 200 and handler.headers.get("If-Range", etag) == etag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            status = 206 if start < len(body) else 416
        rest = b"" if status == 416 else body[start:][: fault.get("piece")]
        handler.send_response(status)
        if status == 206:
            handler.send_header("Content-Range", f"bytes {start}-{start + len(rest) - 1}/{len(body)}")
        if fault.get("length", True):
            handler.send_header("Content-Length", str(len(rest)))
        named = {"Content-Type": "kind", "Location": "location", "Content-Encoding": "encoding"}
        headers = {name: fault.get(key) for name, key in named.items()} | {"ETag": etag} | fault.get("headers", {})
        for name, value in headers.items():
            if value:
                handler.send_header(name, value)
        sent = b"" if handler.command == "HEAD" else rest[: fault.get("cut", len(rest))]
        # Before the headers go out: who is refused does not wait for the body, and may look here at once.
        self.answers.append(Answer(handler.command, handler.path, start, len(sent), dict(handler.headers)))
        handler.end_headers()
        step = max(1, len(sent) // 10) if "slow" in fault else max(1, len(sent))
        for begin in range(0, len(sent), step):
            if "slow" in fault:
                time.sleep(fault["slow"])
            handler.wfile.write(sent[begin : begin + step])


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """The shelf of one test; nothing of this machine's environment leads elsewhere."""
    for name in ("HF_ENDPOINT", "HF_TOKEN", "SA_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_TELEMETRY", True)  # it asks the real hub a question

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError):
                shelf.handle(self)

        do_HEAD = do_GET

        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    shelf = Shelf(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield shelf
    server.shutdown()
    server.server_close()
