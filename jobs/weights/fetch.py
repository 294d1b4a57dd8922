"""Entries of the catalogue into a weights folder: from where, whether they fit, and out of their zips.

huggingface_hub says which size and SHA-256 a repository's file has. The bytes of all files come by the project's one
resume, pipelines.crawling.fetch: hf_hub_download begins a file again after every stop.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO

import httpx2
from filelock import FileLock, Timeout
from rich.filesize import decimal

from jobs.weights.catalogue import HUGGING_FACE, Entry, WeightsFile
from jobs.weights.folder import accept, is_right, partial, size_of, state
from pipelines.crawling.fetch import Partial, fetch_file, persist
from pipelines.crawling.guarded_http import TEMPORARY, HostTurns, TryAgainError, Visit, one_line, retry_after
from pipelines.crawling.settings import CrawlSettings
from pipelines.progress import counter
from stableanimator.errors import ConfigError, FetchError, StorageError, WeightsError
from stableanimator.paths import open_own, own_size

# A mirror may be at home.
PATIENCE = CrawlSettings(allow_private_addresses=True, seconds_between_requests=0.0, deadline_s=30 * 24 * 3600.0)
_RATIO = 20  # of a file of unknown size to its zip; weights hardly pack
_CHUNK = 1 << 20
_WAY_OUT = "free space there, or give another folder with --root"


class Mirrors:
    """Where files come from instead of their publishers: by HF_ENDPOINT and --mirror; raises ConfigError for no URL."""

    def __init__(self, given: Sequence[str], environment: Mapping[str, str]) -> None:
        self._hub = (environment.get("HF_ENDPOINT") or HUGGING_FACE).rstrip("/") + "/"
        self._token = environment.get("HF_TOKEN", "").strip() or None
        self._places = {f"{HUGGING_FACE}/": self._hub}
        for mirror in given:
            prefix, _, target = mirror.rpartition("=")
            self._places[prefix or "https://"] = target if prefix else target.rstrip("/") + "/"
        for url in (*self._places, *self._places.values()):
            if not url.startswith(("http://", "https://")):
                raise ConfigError(f"--mirror or HF_ENDPOINT has {url.rstrip('/')!r}; http:// or https:// must begin it")

    def source(self, published: str) -> tuple[str, bool, str | None]:
        """Where a file is asked for; whether that is the hub; HF_TOKEN, for the hub alone."""
        prefix = max(filter(published.startswith, self._places), key=len, default="")
        url = self._places.get(prefix, "") + published.removeprefix(prefix)
        hub = published.startswith(f"{HUGGING_FACE}/") and url.startswith(self._hub)
        return url, hub, self._token if hub else None


def by_hand(root: Path, entry: Entry, file: WeightsFile) -> str:
    """How to put a file, or the archive that it comes in, there without this program."""
    come, then = (entry.archive, "fetch") if entry.archive else (file, "verify")
    steps = f"download {come.url} (terms: {entry.home}) to {root / come.path}"
    return f"by hand: {steps}, then python -m jobs.weights {then} {entry.name}"


def fetch(root: Path, entries: Sequence[Entry], mirrors: Mirrors) -> None:
    """Show the terms, then bring what is missing; what is wrong is replaced when the right file has come.

    Raises:
        WeightsError: a file could not be had or is not what it must be; says how to put it there by hand.
        StorageError, ConfigError: the disk is too small, or full.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".fetch.lock", timeout=0):
            missing = {entry: [file for file in entry.files if not is_right(root, file)] for entry in entries}
            for entry in entries:
                terms = f"{entry.what}\n  licence: {entry.licence}\n  home:    {entry.home}"
                print(f"{entry.name}: {terms if missing[entry] else 'everything is there'}", flush=True)
            coming = [file for files in missing.values() for file in files]
            zips = [entry.archive for entry in entries if entry.archive and missing[entry]]
            coming += [file for file in zips if not is_right(root, file)]  # a zip may have been put there by hand
            needed = sum(max(0, (file.size or 0) - own_size(partial(root, file))) for file in coming)
            if needed > (free := shutil.disk_usage(root).free):
                what = f"{', '.join(entry.name for entry in entries if missing[entry])} needs {decimal(needed)}"
                raise StorageError(f"{what} below {root}, where {decimal(free)} are free; {_WAY_OUT}")
            for entry in filter(missing.get, missing):
                if entry.archive:
                    _bring(root, entry, entry.archive, mirrors)
                    _unpack(root, root / entry.archive.path, missing[entry])
                for file in missing[entry]:
                    _bring(root, entry, file, mirrors)
                    seen = f"NOT VERIFIED: {state(root, file)[1]}; compare it with {entry.home}"
                    what = f"{decimal(size_of(root / file.path))}, {'SHA-256 as published' if file.sha256 else seen}"
                    print(f"fetched {root / file.path} ({what})", flush=True)
    except Timeout as error:
        raise WeightsError(f"another process is fetching into {root}; wait for it") from error
    except OSError as error:
        raise WeightsError(f"{error.filename or root} cannot be written ({error.strerror}); {_WAY_OUT}") from error
    print(f"weights: {sum(map(len, missing.values()))} files fetched into {root}")


def _bring(root: Path, entry: Entry, file: WeightsFile, mirrors: Mirrors) -> None:
    """Have a file at its place; nobody is asked where the right one is there already, by hand or out of a zip."""
    if is_right(root, file):
        return
    url, hub, token = mirrors.source(str(file.url))
    try:
        (root / file.path).parent.mkdir(parents=True, exist_ok=True)
        with Visit(PATIENCE, HostTurns(0.0)) as visit:
            known = persist(lambda: _as_the_hub_says(url, file, token), visit) if hub else file
        _download(root, url, file, known, token)
    except FetchError as error:
        terms = "accept the terms on the home page, and set HF_TOKEN to your token; "
        advice = (terms if error.reason in ("http_401", "http_403") else "") + by_hand(root, entry, file)
        raise WeightsError(f"{root / file.path} could not be fetched from {url}: {error}; {advice}") from error


def _as_the_hub_says(url: str, file: WeightsFile, token: str | None) -> WeightsFile:
    """The file with size and SHA-256 of the hub; raises FetchError where the catalogue has others, or TryAgainError."""
    try:
        from huggingface_hub import get_hf_file_metadata  # reads the HF_ variables

        told = get_hf_file_metadata(url, token=token or False)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        answer = getattr(error, "response", None)
        status, headers = getattr(answer, "status_code", None), getattr(answer, "headers", {})
        why = f"http_{status}" if status else "no_answer", one_line(str(error))
        if status in TEMPORARY or isinstance(error, (httpx2.ReadTimeout, httpx2.ReadError, httpx2.RemoteProtocolError)):
            raise TryAgainError(*why, retry_after(headers.get("Retry-After"))) from error
        raise FetchError(*why) from error
    sha256 = told.etag if len(told.etag or "") == 64 else None  # else it is git's SHA-1
    for what, ours, theirs in (("size", file.size, told.size), ("SHA-256", file.sha256, sha256)):
        if ours and theirs and ours != theirs:
            raise FetchError("another_file", f"the server's has {what} {theirs}, not {ours}")
    return replace(file, size=file.size or told.size, sha256=file.sha256 or sha256)


def _download(root: Path, url: str, file: WeightsFile, known: WeightsFile, token: str | None) -> None:
    path = partial(root, file)
    begun = own_size(path) if known.sha256 else 0
    limits = replace(PATIENCE, max_bytes=known.size or 1 << 40, user_agent="stableanimator-ray (weights)")
    if not begun or begun != known.size:
        megabytes = (known.size or 0) // 1_000_000
        shown = counter(f"fetching {path.stem}, MB", megabytes) if megabytes >= 10 else nullcontext(lambda done: None)
        with Visit(limits, HostTurns(0.0)) as visit, shown as advance:
            come = Partial(path, bool(known.sha256), _WAY_OUT, lambda size: advance(size // 1_000_000))
            fetch_file(url, come, visit, {"Authorization": f"Bearer {token}"} if token else {})
    with suppress(FetchError) if begun else nullcontext():  # what an earlier run has left may be what is damaged
        accept(path, root, file, known)
        return
    _download(root, url, file, known, token)


def _unpack(root: Path, archive: Path, files: Sequence[WeightsFile]) -> None:
    """Take files out of a zip whose SHA-256 is right, whatever its folders, and delete it. Nothing else of it is
    unpacked, and of a file no more than it has bytes."""
    try:
        with zipfile.ZipFile(archive) as opened:
            for file in files:
                with opened.open(_member(opened, file)) as packed:
                    _take(packed, file.size or _RATIO * size_of(archive), partial(root, file))
                accept(partial(root, file), root, file, file)
    except Exception as error:  # a damaged zip raises whatever its packing does
        for file in files:
            partial(root, file).unlink(missing_ok=True)
        told = " ".join(str(error).split())[:200] or type(error).__name__
        raise WeightsError(f"{archive} cannot be unpacked ({told}); free space, or delete it") from error
    archive.unlink()


def _member(archive: zipfile.ZipFile, file: WeightsFile) -> zipfile.ZipInfo:
    """The one file of a zip that has a file's name, in whichever folder inside.

    Raises:
        BadZipFile: there is none, or several, or it is a link, or longer than the file.
    """
    name = PurePosixPath(file.path).name
    found = [each for each in archive.infolist() if _inside(each) and PurePosixPath(each.filename).name == name]
    if len(found) != 1:
        raise zipfile.BadZipFile(f"it has {len(found)} files called {name}")
    if stat.S_ISLNK(found[0].external_attr >> 16):
        raise zipfile.BadZipFile(f"its {name} is a link")
    return found[0]


def _inside(member: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(member.filename.replace("\\", "/")).parts
    return not member.is_dir() and ".." not in parts and not member.filename.startswith("/")


def _take(packed: IO[bytes], most: int, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_own(path) as file:
        while chunk := packed.read(_CHUNK):
            if file.tell() + len(chunk) > most:
                raise zipfile.BadZipFile(f"more than {most} bytes come of {path.stem}")
            file.write(chunk)
