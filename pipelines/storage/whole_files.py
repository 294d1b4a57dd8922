"""Files that appear whole, on any filesystem of `pyarrow.fs`.

A folder's file is written beside its place and renamed, so that an equal one that another job is reading, or that a
kill or a full disk would cut short, stays whole. What a kill leaves is `….partial`, which nobody lists. An object store
does the same by itself.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.fs as pafs


def write_whole(filesystem: pafs.FileSystem, path: str, chunks: Iterable[bytes]) -> None:
    """Write a file, and its folder where that is missing.

    Raises:
        OSError: it could not be written, or its chunks could not be read, and nothing of it is left.
    """
    local = isinstance(filesystem, pafs.LocalFileSystem)
    written = f"{path}.{uuid.uuid4().hex[:12]}.partial" if local else path
    half = False
    try:
        with _opened(filesystem, written) as stream:
            half = True
            for chunk, last in _with_last(chunks):
                half = not last
                stream.write(chunk)
        if local:
            os.replace(written, path)
    except BaseException:
        if local or half:  # an object store takes what was closed for the whole, whyever it was
            with contextlib.suppress(OSError):
                filesystem.delete_file(written)
        raise


def _with_last(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each, and whether it is the last."""
    rest = iter(chunks)
    chunk = next(rest, None)
    while chunk is not None:
        following = next(rest, None)
        yield chunk, following is None
        chunk = following


def _opened(filesystem: pafs.FileSystem, path: str) -> pa.NativeFile:
    folder = path.rsplit("/", 1)[0]
    filesystem.create_dir(folder, recursive=True)
    try:
        return filesystem.open_output_stream(path)
    except FileNotFoundError:  # another process has just taken the folder away, since it was empty
        filesystem.create_dir(folder, recursive=True)
        return filesystem.open_output_stream(path)
