"""Checksums of what people name, and of what was committed: the bytes that were read, wherever they lie."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.fs as pafs

from stableanimator.errors import DecodeError, InputError

if TYPE_CHECKING:
    from pipelines.storage.store import Store

_CHUNK = 1 << 20


def uri_sha256(uri: str) -> str:
    """SHA-256 (hex) of a file by path or URI; of a folder that of its files' names and checksums, in their order. What
    follows a `#` names a part of the file.

    Raises:
        DecodeError: not_found.
    """
    whole = uri.partition("#frame=")[0]
    try:
        filesystem, path = pafs.FileSystem.from_uri(whole) if "://" in whole else (pafs.LocalFileSystem(), whole)
        if filesystem.get_file_info(path).type == pafs.FileType.Directory:
            found = filesystem.get_file_info(pafs.FileSelector(path, recursive=True))
            files = sorted(each.path for each in found if each.type == pafs.FileType.File)
            listed = "".join(f"{_sha256(filesystem, each)}  {each[len(path) :]}\n" for each in files)
            return hashlib.sha256(listed.encode()).hexdigest()
        return _sha256(filesystem, path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DecodeError("not_found", f"{whole} cannot be read ({' '.join(str(error).split())})") from error


def _sha256(filesystem: pafs.FileSystem, path: str) -> str:
    digest = hashlib.sha256()
    with filesystem.open_input_stream(path) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def require_whole(store: Store, path: str, sha256: str) -> None:
    """Refuse a file below the root that is not what was committed; it is read once, a megabyte at a time.

    Raises:
        InputError: it is gone, cut short or changed.
    """
    if not store.holds(path, sha256):
        raise damaged(store.uri(path))


def damaged(uri: str) -> InputError:
    """What is wrong with a file that is not what was committed, and what to do."""
    return InputError(
        f"{uri} is not what was committed (its SHA-256 differs, or it is gone); restore it, or run the job that wrote "
        "it again"
    )
