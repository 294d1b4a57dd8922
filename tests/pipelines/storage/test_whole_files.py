from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from pipelines.storage.store import Store
from pipelines.storage.whole_files import write_whole


def _cut_short(error: BaseException) -> Iterator[bytes]:
    """A source that gives half of what it has."""
    yield b"half"
    raise error


@pytest.mark.parametrize("error", [OSError("the disk went"), KeyboardInterrupt()])
def test_a_file_that_is_cut_short_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    filesystem, path = pafs.LocalFileSystem(), tmp_path / "folder" / "file"
    write_whole(filesystem, str(path), [b"whole", b" one"])
    with pytest.raises(type(error)):
        write_whole(filesystem, str(path), _cut_short(error))
    assert path.read_bytes() == b"whole one"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError("the disk went"), KeyboardInterrupt()])
def test_half_an_object_is_none(s3_root: str, error: BaseException) -> None:
    """Closing a stream is how an object is made, also where a source or a signal has cut it short."""
    store = Store(s3_root)
    store.write_bytes("media/one", b"whole one")
    with pytest.raises(type(error)):
        write_whole(store.filesystem, store._full("media/two"), _cut_short(error))
    assert not store.exists("media/two")
    assert store.read_bytes("media/one") == b"whole one"


@pytest.fixture
def refusing() -> Iterator[tuple[pafs.FileSystem, list[str]]]:
    """An object store for a key that may read and delete and not write, and what it was asked."""
    asked: list[str] = []

    class Refuses(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            asked.append(f"{self.command} {self.path}")
            code = 403 if self.command in ("PUT", "POST") else 204 if self.command == "DELETE" else 200
            said = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>" if code == 403 else b""
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(code)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield (
        pafs.S3FileSystem(
            access_key="a", secret_key="b", region="us-east-1", scheme="http", allow_bucket_creation=False,
            endpoint_override=f"127.0.0.1:{server.server_port}", allow_delayed_open=True,
        ),
        asked,
    )  # fmt: skip
    server.shutdown()
    server.server_close()


def test_what_an_object_store_refuses_leaves_the_equal_object_that_was_there(
    refusing: tuple[pafs.FileSystem, list[str]],
) -> None:
    filesystem, asked = refusing
    with pytest.raises(OSError, match="ACCESS_DENIED"):
        write_whole(filesystem, "bucket/media/one", [b"whole one"])
    assert any(each.startswith(("PUT", "POST")) for each in asked)
    assert not [each for each in asked if each.startswith("DELETE")]
