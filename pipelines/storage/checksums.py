"""Checksums of what people name, and of what was committed: the bytes that were read, wherever they lie."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.fs as pafs

from stableanimator.errors import GoneError, InputError
from stableanimator.paths import frame_of

if TYPE_CHECKING:
    from pipelines.storage.store import Store

_CHUNK = 1 << 20


def uri_sha256(uri: str) -> str:
    """SHA-256 (hex) of a file by path or URI; of a folder that of its files' names and checksums, in their order. What
    follows a `#` names a part of the file.

    Raises:
        GoneError: not_found.
    """
    return Checksums().sha256(uri)


class Checksums:
    """Checksums of files and folders, each read once: again where its size, its time or its files changed."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Any, str]] = {}

    def sha256(self, uri: str) -> str:
        """As `uri_sha256`."""
        whole, _ = frame_of(uri)
        try:
            filesystem, path = pafs.FileSystem.from_uri(whole) if "://" in whole else (pafs.LocalFileSystem(), whole)
            files, is_folder = _files(filesystem, path)
            state = [(each.path, each.size, each.mtime_ns) for each in files]
            if self._known.get(whole, (None,))[0] != state:
                self._known[whole] = state, _sha256(filesystem, path, files) if is_folder else _file(filesystem, path)
            return self._known[whole][1]
        except (OSError, ValueError, pa.ArrowException) as error:
            raise GoneError("not_found", f"{whole} cannot be read ({' '.join(str(error).split())})") from error


def _files(filesystem: pafs.FileSystem, path: str) -> tuple[list[pafs.FileInfo], bool]:
    """A file, or those of a folder by name, and whether it is a folder."""
    found = filesystem.get_file_info(path)
    if found.type == pafs.FileType.Unknown:  # a pipe would be waited for, and a device may have no end
        raise ValueError("it is no regular file")
    if found.type != pafs.FileType.Directory:
        return [found], False
    inside = filesystem.get_file_info(pafs.FileSelector(path, recursive=True))
    return sorted((each for each in inside if each.type == pafs.FileType.File), key=lambda each: each.path), True


def _sha256(filesystem: pafs.FileSystem, folder: str, files: list[pafs.FileInfo]) -> str:
    listed = "".join(f"{_file(filesystem, each.path)}  {each.path[len(folder) :]}\n" for each in files)
    return hashlib.sha256(listed.encode()).hexdigest()


def _file(filesystem: pafs.FileSystem, path: str) -> str:
    digest = hashlib.sha256()
    with filesystem.open_input_stream(path, compression=None) as stream:
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
