"""One URL to one file: streamed, resumed, tried again, and named only when its size and SHA-256 are right.

What has arrived lies in `<name>.partial`, also after an interruption, and what the server said of it in
`<name>.partial.json`. A file whose checksum is known is continued from whatever server has it; another one only while
the server says that it is still the same file (If-Range).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO

import requests
import urllib3

from pipelines.crawling.guarded_http import TEMPORARY, HostTurns, TryAgainError, Visit, one_line, retry_after
from pipelines.crawling.settings import CrawlSettings
from pipelines.progress import duration_text, track
from stableanimator.errors import FetchError, StorageError

log = logging.getLogger(__name__)

MEGABYTE = 1_000_000

_PIECE = 1 << 16  # bytes
_SHOWN = 10 * MEGABYTE  # smaller files need no progress bar
_A_MONTH = 30 * 24 * 3600.0
_PAGE_TYPES = ("text/html", "application/xhtml")
_NO_ENTRY = (401, 403)
_OFFLINE = ("unknown_host", "no_answer")  # to wait helps only where a download has begun
_PERMANENT = (
    requests.exceptions.SSLError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.TooManyRedirects,
)


class DownloadError(Exception):
    """Why a file did not come: one line."""


class _DamagedError(Exception):
    """What has arrived is not the file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long a download is tried."""

    retries: int = 5
    """Further attempts after a failure that may pass; one that brought a megabyte more does not count."""
    backoff_s: float = 1.0
    """Seconds before the first further attempt; doubled each time."""
    max_pause_s: float = 120.0
    """The longest pause, in seconds; a server that asks for more has failed."""
    timeout_s: float = 60.0
    """Seconds without a byte after which an attempt ends."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where a file comes from, and what it must be."""

    url: str
    size: int | None
    """Bytes; None where unknown."""
    sha256: str | None
    """Hex; None where unknown."""
    token: str | None = None
    """Sent as a bearer's, to this URL's host alone."""


def download(source: Source, target: Path, patience: Patience) -> str:
    """Fetch `source` to `target`, whose folder is made; returns the SHA-256 of what came.

    Raises:
        DownloadError: it could not be had, or is not what it must be. What has arrived is kept for the next time where
            it may be right.
        StorageError: the disk has no room for it.
    """
    with _writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    with _Partial.opened(target) as partial:
        while True:
            _attempts(source, partial, patience)
            try:
                sha256 = _check(source, partial)
            except _DamagedError as damage:
                continued = partial.continued
                partial.restart()
                if not continued:  # else the part that lay here may be what is damaged: once more from the beginning
                    raise DownloadError(str(damage)) from damage
            else:
                partial.finish(target)
                return sha256


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file, with a progress bar for a large one."""
    digest = hashlib.sha256()

    def megabytes(handle: BinaryIO) -> Iterator[int]:
        while piece := handle.read(MEGABYTE):
            digest.update(piece)
            if len(piece) == MEGABYTE:
                yield MEGABYTE

    with path.open("rb") as handle:
        _run(megabytes(handle), f"checking {path.name.removesuffix('.partial')}", os.fstat(handle.fileno()).st_size)
    return digest.hexdigest()


def require_space(folder: Path, size: int, what: str) -> None:
    """Raises StorageError when the disk that holds `folder`, which exists, has no room for `size` bytes."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise StorageError(
            f"{what} needs {size_text(size)} below {folder}, where {size_text(free)} are free; free space there, or "
            "give another folder with --root"
        )


def size_text(size: int) -> str:
    """Bytes as a person says them: 607 B, 12 kB, 217 MB, 6.10 GB."""
    for unit, step in (("GB", 1_000_000_000), ("MB", MEGABYTE), ("kB", 1000)):
        if size >= step:
            return f"{size / step:.2f} GB" if unit == "GB" else f"{size / step:.0f} {unit}"
    return f"{size} B"


def partial_size(target: Path) -> int:
    """Bytes of `target` that an interrupted download has left."""
    partial = _partial_path(target)
    return partial.stat().st_size if partial.exists() else 0


def _partial_path(target: Path) -> Path:
    return target.with_name(target.name + ".partial")


def _run(megabytes: Iterable[int], what: str, size: int | None) -> None:
    """Exhaust `megabytes`, which yields for each; show how far it is where that takes a while."""
    shown = size is not None and size >= _SHOWN
    for _ in track(megabytes, f"{what}, MB", (size or 0) // MEGABYTE) if shown else megabytes:
        pass


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DownloadError(f"{folder} cannot be written ({error.strerror or error})") from error


class _Partial:
    """What has arrived so far, held open and locked."""

    def __init__(self, handle: FileIO, path: Path) -> None:
        self.path = path
        self._handle = handle
        self._note = path.with_name(path.name + ".json")
        self.continued = self.size() > 0
        """Whether bytes of an earlier run are in it."""
        self.plain = True
        """Whether its bytes are the server's: not when they were compressed on the way."""
        self.validator: str | None = None
        self.total: int | None = None
        with contextlib.suppress(OSError, ValueError, AttributeError):
            note = json.loads(self._note.read_text())
            self.validator, self.total = note.get("validator"), note.get("total")

    @classmethod
    @contextlib.contextmanager
    def opened(cls, target: Path) -> Iterator[_Partial]:
        path = _partial_path(target)
        with _writing(path.parent):
            handle = FileIO(path, "ab+")
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DownloadError(f"another process is writing {path}; wait for it") from error
            except OSError:
                pass  # a file system without locks
            if not path.exists() or not os.path.samestat(path.stat(), os.fstat(handle.fileno())):
                raise DownloadError(f"another process has just finished {target}; ask again")
            partial = cls(handle, path)
            try:
                yield partial
            finally:
                if not partial.size():
                    path.unlink(missing_ok=True)
                    partial._note.unlink(missing_ok=True)

    def size(self) -> int:
        return os.fstat(self._handle.fileno()).st_size

    def write(self, piece: bytes) -> None:
        rest = memoryview(piece)
        with _writing(self.path.parent):
            while rest:
                rest = rest[self._handle.write(rest) :]

    def restart(self) -> None:
        """Forget what is here."""
        self._handle.truncate(0)
        self.continued, self.plain = False, True
        self.note(None, None)

    def note(self, validator: str | None, total: int | None) -> None:
        self.validator, self.total = validator, total
        with _writing(self.path.parent):
            self._note.write_text(json.dumps({"validator": validator, "total": total}))

    def finish(self, target: Path) -> None:
        with _writing(target.parent):
            os.fsync(self._handle.fileno())
            os.replace(self.path, target)
            self._note.unlink(missing_ok=True)


def _check(source: Source, partial: _Partial) -> str:
    size = partial.size()
    if source.size not in (None, size):
        raise _DamagedError(f"{size} bytes came, not {source.size}; they were deleted")
    if not size:
        raise _DamagedError("an empty file came")
    sha256 = file_sha256(partial.path)
    if source.sha256 not in (None, sha256):
        raise _DamagedError(f"what came has SHA-256 {sha256}, not {source.sha256}; it was deleted")
    return sha256


def _attempts(source: Source, partial: _Partial, patience: Patience) -> None:
    begun = reached = partial.size()
    failed = 0
    while True:
        try:
            return _attempt(source, partial, patience)
        except TryAgainError as failure:
            size = partial.size()
            failed = 0 if size >= reached + MEGABYTE else failed + 1
            offline = failure.reason in _OFFLINE and size == begun
            reached = max(reached, size)
            pause = patience.backoff_s * 2 ** max(0, failed - 1)
            wait = failure.wait_s if failure.wait_s is not None else min(pause, patience.max_pause_s)
            if offline or failed > patience.retries or wait > patience.max_pause_s:
                tried = f" ({failed} attempts)" if failed > 1 else ""
                raise DownloadError(f"{failure.reason}: {failure.detail}{tried}") from failure
            log.info("%s: %s; again in %s", failure.reason, failure.detail, duration_text(wait))
            time.sleep(wait)


def _attempt(source: Source, partial: _Partial, patience: Patience) -> None:
    """Fetch what is missing; raises TryAgainError or DownloadError."""
    if (have := partial.size()) and have == (source.size or partial.total):
        return
    headers = _headers(source, partial)
    settings = CrawlSettings(
        allow_private_addresses=True,  # a mirror may be at home
        seconds_between_requests=0.0,
        timeout_s=patience.timeout_s,
        max_pause_s=patience.max_pause_s,
        deadline_s=_A_MONTH,
        user_agent="stableanimator-ray (weights)",
    )
    try:
        with (
            Visit(settings, HostTurns(0.0)) as visit,
            visit.session() as session,
            visit.get(session, source.url, headers) as response,
        ):
            _check_answer(response)
            _store(response, source, partial)
    except _PERMANENT as error:
        raise DownloadError(one_line(str(error))) from error
    except requests.ConnectTimeout as error:
        raise TryAgainError("no_answer", one_line(str(error))) from error
    except requests.Timeout as error:
        raise TryAgainError("timeout", one_line(str(error))) from error
    except requests.RequestException as error:
        refusal = getattr(error.args[0] if error.args else None, "reason", None)
        if isinstance(refusal, urllib3.exceptions.NewConnectionError):
            raise TryAgainError("no_answer", one_line(str(refusal))) from error
        raise TryAgainError("connection_failed", one_line(str(error))) from error
    except FetchError as error:
        raise DownloadError(one_line(str(error))) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise TryAgainError("cut_short", one_line(str(error))) from error
    except ValueError as error:  # no URL, or a redirect to none
        raise DownloadError(one_line(str(error))) from error


def _headers(source: Source, partial: _Partial) -> dict[str, str]:
    """What to ask for: the rest, where what is here can be continued, else everything."""
    headers = {"Accept-Encoding": "identity"}
    if source.token:
        headers["Authorization"] = f"Bearer {source.token}"
    have = partial.size()
    known = partial.plain and (source.sha256 or partial.validator)
    if have and (not known or have > (source.size or have)):
        partial.restart()
    elif have:
        headers["Range"] = f"bytes={have}-"
        if not source.sha256 and partial.validator:
            headers["If-Range"] = partial.validator
    return headers


def _check_answer(response: requests.Response) -> None:
    status, reason = response.status_code, one_line(str(response.reason))
    if status in TEMPORARY:
        raise TryAgainError(f"http {status}", reason, retry_after(response.headers.get("Retry-After")))
    if status in _NO_ENTRY:
        raise DownloadError(
            f"http {status} {reason}: accept the terms on the home page, and set HF_TOKEN to your token"
        )
    if status not in (200, 206, 416):
        raise DownloadError(f"http {status} {reason}")
    if status != 416 and response.headers.get("Content-Type", "").lower().startswith(_PAGE_TYPES):
        raise DownloadError("a web page came instead of the file")


def _store(response: requests.Response, source: Source, partial: _Partial) -> None:
    have = partial.size()
    length = response.headers.get("Content-Range" if response.status_code == 206 else "Content-Length", "")
    whole = length.rpartition("/")[2]
    plain = response.headers.get("Content-Encoding", "identity").lower() in ("", "identity")
    total = int(whole) if whole.isdecimal() and plain else None
    continues = response.status_code == 206 and length.startswith(f"bytes {have}-") and bool(have)
    if response.status_code == 416 or (response.status_code == 206 and not continues):
        partial.restart()
        raise TryAgainError("cut_short", "the server sent another part than asked for")
    if total is not None and source.size not in (None, total):
        raise DownloadError(f"the server's file has {total} bytes, not {source.size}")
    if have and not continues:
        partial.restart()
    etag = response.headers.get("ETag")
    strong = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
    partial.plain = plain
    partial.note(strong if plain else None, total)
    left = None if total is None else total - partial.size()
    if left is not None:
        require_space(partial.path.parent, left, partial.path.name.removesuffix(".partial"))
    _run(_pieces(response, partial, source.size), f"fetching {partial.path.name.removesuffix('.partial')}", left)
    if total not in (None, partial.size()):
        raise TryAgainError("cut_short", f"{partial.size()} of {total} bytes")


def _pieces(response: requests.Response, partial: _Partial, limit: int | None) -> Iterator[int]:
    """Write what comes as it comes, so that nothing is lost when the connection breaks; yields for each megabyte."""
    size = told = 0
    begun = partial.size()
    while piece := response.raw.read1(_PIECE, decode_content=True):
        partial.write(piece)
        size += len(piece)
        if limit is not None and begun + size > limit:
            partial.restart()
            raise DownloadError(f"more came than the {limit} bytes that it should have; it was deleted")
        while size >= told + MEGABYTE:
            told += MEGABYTE
            yield MEGABYTE
