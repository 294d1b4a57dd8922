"""Files that rows name, opened after a look at their bytes: whoever reads one knows that it is what was meant.

Media are named by their checksum; of a file elsewhere it was taken when the job was planned. A file is read whole once
a process (0.6 GB/s a core), and again where its size or time changed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import PurePosixPath

import pyarrow.fs as pafs

from pipelines.storage.checksums import Checksums
from pipelines.storage.media_cache import MediaCache
from pipelines.storage.store import Store
from stableanimator.errors import GoneError
from stableanimator.paths import frame_of

_REFERENCE = re.compile(r"(media|predictions/videos|previews/sheets)(/[^/\\\0]+)+")
_MEDIA = re.compile(r"media/[0-9a-f]{2}/([0-9a-f]{64})(\.\w+)?")


def is_reference(path: str) -> bool:
    """Whether a path can be one below a root to a file that tables name, with or without `#frame=…`."""
    return _REFERENCE.fullmatch(frame_of(path)[0]) is not None and ".." not in path.split("/")


def media_sha256(reference: str) -> str | None:
    """The checksum that a medium is named by; None of any other file."""
    found = _MEDIA.fullmatch(frame_of(reference)[0])
    return None if found is None else found[1]


class Inputs:
    """Opens what rows name. One for each process; copies of media of a root elsewhere are shared by a machine's."""

    def __init__(self, store: Store) -> None:
        self.store, self._checksums = store, Checksums()

    @cached_property
    def _cache(self) -> MediaCache:
        return MediaCache()

    @contextlib.contextmanager
    def opened(self, reference: str, sha256: str | None = None) -> Iterator[str]:
        """The path or URI that readers of media take for a reference (`Store.resolve`), with its `#frame=…`. It is good
        while inside.

        Args:
            sha256: of a file that is no medium; None: it is not looked at.

        Raises:
            GoneError: `not_found`, or `changed` where its bytes are others.
            ConfigError, StorageError: as `MediaCache`.
        """
        path, frame = frame_of(reference)
        named = media_sha256(reference)
        if named is None:
            place = self.store.resolve(path)
            if sha256 is not None and self._checksums.sha256(place) != sha256:
                raise GoneError(
                    "changed", f"{path} has changed since it was first read; run the jobs that read it again"
                )
            yield place + frame
            return
        info = self.store.file_info(path)
        if info.type != pafs.FileType.File:
            raise GoneError("not_found", f"{path} is not in the root any more")
        with self._medium(path, info, named) as place:
            yield place + frame

    @contextlib.contextmanager
    def _medium(self, path: str, info: pafs.FileInfo, sha256: str) -> Iterator[str]:
        local = self.store.local_path(path)
        if local is None:
            with self._cache.opened(
                partial(self.store.open_file, path), info, sha256, PurePosixPath(path).name
            ) as copy:
                yield copy
            return
        if self._checksums.sha256(local) != sha256:
            raise GoneError(
                "changed",
                f"the bytes of {path} are not those that its name says; delete it, and curate brings it again",
            )
        yield local
