"""What is listed: folders, files, URLs, and lists of them, each source with what its list says about its rights.

A source that cannot be tried carries the reason, so that it becomes a failed row like any other:

    no_url              an entry of a list without one      unreadable_entry    no JSON object, or too many cells
    invalid_url         cannot be read as a URL             credentials_in_url  a user name or password in it
    scheme_not_allowed  not in `allowed_schemes`            relative_path       neither a URL nor an absolute path
    unreadable          a folder that may not be listed
    link_to_folder      in a folder; what it leads to is not listed
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from pipelines.crawling.settings import CrawlSettings
from pipelines.storage.user_files import open_file, read_parquet
from stableanimator.errors import ConfigError, FetchError, InputError
from stableanimator.redaction import public_url, redacted

log = logging.getLogger(__name__)

RIGHTS = ("licence", "uploader", "consent", "language")
"""Columns of a list that are carried through to SOURCES."""

_UNKNOWN: tuple[str | None, ...] = (None,) * len(RIGHTS)
_SPELLINGS = {"license": "licence"}
_PORTS = {"http": 80, "https": 443}

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listed:
    """One listed source and what its list says about it."""

    uri: str
    """As listed, in characters that a table can hold, and without secrets."""
    key: str
    """The same for spellings of one URL that cannot mean different things, and however it was signed."""
    path: str | None = None
    """Of a local file; None for a URL."""
    rights: tuple[str | None, ...] = _UNKNOWN
    """In the order of RIGHTS."""
    error: FetchError | None = None
    """Why it cannot be tried."""
    url: str | None = None
    """What is asked for, with all that it needs; None of a local file."""
    found: bool = False
    """It is here because it lies in a folder; nobody said that it is a video."""


def list_sources(settings: CrawlSettings) -> list[Listed]:
    """Every source that the settings name, in their order; a folder's files in name order, whatever they are called.

    Links inside a folder are followed to files, wherever these lie, and not to folders. Names that begin with a dot
    are passed over, as `ls` does.

    Raises:
        InputError: a folder, file or list that does not exist, or a list that cannot be read as a whole.
        ConfigError: a source with a scheme that cannot be crawled.
    """
    listed: list[Listed] = []
    for text in settings.sources:
        source = read_source(text, (*settings.allowed_schemes, "file"))
        if source.error is not None and source.error.reason == "scheme_not_allowed":
            raise ConfigError(f"crawl.sources: {source.uri}: {source.error.detail}")
        if source.path is not None and not os.path.lexists(source.path):
            raise InputError(f"crawl.sources: {source.uri} does not exist")
        if source.path is not None and os.path.isdir(source.path):
            listed.extend(_files_below(source.path))
        else:
            listed.append(source)
    for path in settings.lists:
        listed.extend(_read_list(path, settings.allowed_schemes))
    return listed


def read_source(text: str, schemes: Iterable[str], rights: tuple[str | None, ...] = _UNKNOWN) -> Listed:
    """One URL or local path; what is wrong with it is its `error`.

    Args:
        schemes: those that are allowed; "file" allows local paths too.
        rights: in the order of RIGHTS.
    """
    uri = _printable(public_url(text) if text.lower().startswith(("http://", "https://")) else redacted(text))
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        return Listed(uri, uri, None, rights, FetchError("invalid_url", str(error)))
    if parts.username is not None or parts.password is not None:
        uri = _printable(parts._replace(netloc="***@" + parts.netloc.rpartition("@")[2]).geturl())
        fault = FetchError("credentials_in_url", "tables and reports would show them; use a URL that needs none")
        return Listed(uri, uri, None, rights, fault)
    if not parts.scheme and not os.path.isabs(text):
        fault = FetchError("relative_path", "give a URL with its scheme, such as https://, or an absolute path")
        return Listed(uri, uri, None, rights, fault)
    if (scheme := parts.scheme or "file") not in schemes:
        known = scheme in (*_PORTS, "file")
        fault = FetchError(
            "scheme_not_allowed",
            f'add "{scheme}" to crawl.allowed_schemes' if known else f"{scheme} cannot be crawled; use http or https",
        )
        return Listed(uri, uri, None, rights, fault)
    if scheme == "file":
        return _local(text, uri, parts, rights)
    if not parts.hostname:
        return Listed(uri, uri, None, rights, FetchError("invalid_url", "it names no host"))
    url = _printable(_normalised(parts, port))
    return Listed(uri, public_url(url), None, rights, url=url)


def _local(text: str, uri: str, parts: SplitResult, rights: tuple[str | None, ...]) -> Listed:
    if not parts.scheme:
        return Listed(_printable(text), _printable(text), text, rights)
    if parts.netloc not in ("", "localhost"):
        return Listed(uri, uri, None, rights, FetchError("invalid_url", f"a file on another host, {parts.netloc}"))
    return Listed(uri, uri, os.fsdecode(unquote_to_bytes(parts.path)), rights)


def _normalised(parts: SplitResult, port: int | None) -> str:
    """Scheme and host in lower case, no default port, a path: what RFC 3986 (6.2.2.1, 6.2.3) says means the same.

    Nothing beyond that: servers may tell paths, queries and even fragments apart.
    """
    host = parts.netloc.lower()
    if port is None or port == _PORTS[parts.scheme]:
        host = host.removesuffix(f":{port}").removesuffix(":")
    return parts._replace(netloc=host, path=parts.path or "/").geturl()


def _printable(text: str) -> str:
    """Without lone surrogates (names that are not UTF-8, broken JSON), which neither Arrow nor JSON can hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def _files_below(folder: str) -> Iterator[Listed]:
    hidden = 0
    unreadable: list[OSError] = []
    for directory, subfolders, names in os.walk(folder, onerror=unreadable.append):  # follows no links to folders
        shown = sorted(name for name in subfolders if not name.startswith("."))
        hidden += len(subfolders) - len(shown) + sum(name.startswith(".") for name in names)
        subfolders[:] = shown
        for name in sorted(names):
            if not name.startswith("."):
                path = os.path.join(directory, name)
                yield Listed(_printable(path), _printable(path), path, found=True)
        for path in (os.path.join(directory, name) for name in shown):
            if os.path.islink(path):
                fault = FetchError("link_to_folder", "links to folders are not followed; list the folder itself")
                yield Listed(_printable(path), _printable(path), error=fault, found=True)
    for error in unreadable:
        uri = _printable(str(error.filename))
        yield Listed(uri, uri, error=FetchError("unreadable", f"the folder cannot be listed: {error.strerror}"))
    if hidden:
        log.info("%s: %d files and folders whose names begin with a dot are not listed", folder, hidden)


def _read_list(path: str, schemes: Iterable[str]) -> Iterator[Listed]:
    suffix = PurePosixPath(path).suffix.lower()
    data = _list_bytes(path)
    try:
        if suffix in (".parquet", ".pq"):
            columns, entries = _parquet_entries(data)
        elif suffix in (".jsonl", ".ndjson"):
            columns, entries = _json_entries(data)
        else:
            columns, entries = _csv_entries(data)
    except UnicodeDecodeError as error:
        raise InputError(
            f"crawl.lists: {path} cannot be read: it is not text in UTF-8 ({error}); save it so"
        ) from error
    except (ValueError, csv.Error, OSError, pa.ArrowException) as error:
        raise InputError(f"crawl.lists: {path} cannot be read: {' '.join(str(error).split())[:200]}") from error
    if (entries or columns) and not {"url", "uri"} & set(columns):
        found = ", ".join(name if name.isprintable() else repr(name) for name in columns)[:200] or "none"
        raise InputError(f"crawl.lists: {path} has no column `url` or `uri`; its columns: {found}")
    twice = [name for name in ("url", "uri", *RIGHTS) if columns.count(name) > 1]
    if twice:
        raise InputError(f"crawl.lists: {path} has the column `{twice[0]}` more than once; keep one")
    for number, entry in enumerate(entries, start=1):
        yield _listed_entry(entry, f"{_printable(path)}, entry {number}", schemes)


def _listed_entry(entry: Entry | str, where: str, schemes: Iterable[str]) -> Listed:
    """`entry` says what is wrong with it where it is text."""
    if isinstance(entry, str):
        return Listed(where, where, error=FetchError("unreadable_entry", f"{where} {entry}"))
    rights = tuple(_text(entry.get(name)) for name in RIGHTS)
    url = _text(entry.get("url")) or _text(entry.get("uri"))
    if url is None:
        fault = FetchError("no_url", f"{where} has no value in a column `url` or `uri`")
        return Listed(where, where, None, rights, fault)
    return read_source(url, schemes, rights)


def _text(value: Any) -> str | None:
    """A cell as text; None where it is empty. A consent of `false` is not a consent that nobody asked for."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if value != value:  # NaN, an empty cell of pandas
        return None
    return _printable(str(value)).strip() or None if value is not None else None


def _list_bytes(path: str) -> bytes:
    try:
        local = "://" not in path
        filesystem, inner = (pafs.LocalFileSystem(), path) if local else pafs.FileSystem.from_uri(path)
        with open_file(filesystem, inner) as stream:
            return stream.read()
    except FileNotFoundError as error:
        raise InputError(f"crawl.lists: {path} does not exist") from error
    except (OSError, ValueError) as error:
        raise InputError(f"crawl.lists: {path} cannot be read: {' '.join(str(error).split())[:200]}") from error


def _column(name: Any) -> str:
    plain = str(name).strip().lower()
    return _SPELLINGS.get(plain, plain)


def _csv_entries(data: bytes) -> tuple[list[str], list[Entry | str]]:
    # Strict: a quotation mark that is not closed would make one entry of all that follow.
    reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
    rows = [row for row in reader if row]
    if not rows:
        raise ValueError("it is empty; a CSV file begins with a header such as `url,licence`")
    columns = [_column(name) for name in rows[0]]
    return columns, [_csv_entry(columns, row) for row in rows[1:]]


def _csv_entry(columns: list[str], row: list[str]) -> Entry | str:
    """Of a row with as many cells as columns; missing ones at its end are empty."""
    if any(cell.strip() for cell in row[len(columns) :]):
        return f"has {len(row)} cells for {len(columns)} columns; put a cell with a comma into quotation marks"
    return dict(zip(columns, row, strict=False))


def _json_entries(data: bytes) -> tuple[list[str], list[Entry | str]]:
    entries = [_json_object(line) for line in data.decode("utf-8-sig").split("\n") if line.strip()]
    objects = [entry for entry in entries if not isinstance(entry, str)]
    if entries and not objects:
        raise ValueError("no line of it is a JSON object")
    return list(dict.fromkeys(name for entry in objects for name in entry)), entries


def _json_object(line: str) -> Entry | str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        return "is not a JSON object"
    entry = {_column(name): cell for name, cell in value.items()}
    return entry if len(entry) == len(value) else "names a column more than once"


def _parquet_entries(data: bytes) -> tuple[list[str], list[Entry | str]]:
    known = ("url", "uri", *RIGHTS)
    names, table = read_parquet([pa.BufferReader(data)], lambda name: _column(name) in known)
    entries: list[Entry | str] = [{_column(name): cell for name, cell in row.items()} for row in table.to_pylist()]
    return [_column(name) for name in names], entries
