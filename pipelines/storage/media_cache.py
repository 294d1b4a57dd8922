"""This machine's copies of media whose root is an object store, for decoders, which want files.

Copies lie in a folder that only its owner can enter, are named by the SHA-256 of their bytes and held against it by
each process that reads them. Room is made before one is fetched: the copy that was used longest ago goes first, none
that is in use. Any number of processes may share the folder: who reads holds a shared lock of the file, who takes one
away an exclusive one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow.fs as pafs

from pipelines.storage.parquet_files import FULL
from stableanimator.errors import ConfigError, GoneError, StorageError

LIMIT = "SA_MEDIA_CACHE_BYTES"
"""Variable with the most bytes that all copies of a machine may take."""
_LIMIT_BYTES = 16 << 30
_CHUNK = 8 << 20  # each is a request
_OFTEN = 5
"""Times that a copy is fetched for one reading of it."""
_PARTIAL, _LOCK = ".partial-", ".lock"
"""What names of copies that are not whole begin with; the file whose lock serialises the making of room."""


def cache_folder() -> Path:
    """`stableanimator/media` below XDG_CACHE_HOME, or else `~/.cache`.

    Raises:
        ConfigError: neither is known.
    """
    cache = os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    if not os.path.isabs(cache):
        raise ConfigError("there is no home folder to keep copies of media in; let XDG_CACHE_HOME name a folder")
    return Path(cache, "stableanimator", "media")


class MediaCache:
    """Copies of media on this machine.

    Raises:
        ConfigError: the folder cannot be made, is another user's or open to others, or the limit is no number.
    """

    def __init__(self, folder: Path | None = None, limit: int | None = None) -> None:
        self.folder, self.limit = folder or cache_folder(), _limit() if limit is None else limit
        self._seen: dict[str, tuple[int, int, int]] = {}
        """Copies whose bytes this process has read: inode, size and time of each."""
        _make_private(self.folder)

    @contextlib.contextmanager
    def opened(self, source: Any, info: pafs.FileInfo, sha256: str, name: str) -> Iterator[str]:
        """The path of a copy, whose bytes have this checksum and which stays while inside.

        Args:
            source: opens the file for reading from its start.
            info: of the file now: a copy of another size or time is fetched again.
            name: of the copy.

        Raises:
            GoneError: `changed`, the file's bytes have another checksum.
            StorageError: the cache's disk is full.
        """
        path = self.folder / name
        with contextlib.ExitStack() as stack:
            file = self._held(path, info, sha256)
            for _ in range(_OFTEN):  # another process may take it away before it is held
                if file is not None:
                    break
                self._fetch(path, source, info, sha256)
                file = self._held(path, info, sha256)
            if file is None:
                raise GoneError("changed", f"{info.path} changes while it is read")
            stack.enter_context(file)
            yield str(path)

    def _held(self, path: Path, info: pafs.FileInfo, sha256: str) -> BinaryIO | None:
        """The copy, open and locked against its removal; None where there is none that is right."""
        try:
            file = open(path, "rb", opener=_without_links)  # noqa: SIM115 - the caller closes it
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP):  # nothing, or a link, which a copy will replace
                return None
            raise
        fcntl.flock(file, fcntl.LOCK_SH)
        is_now = os.fstat(file.fileno())
        right = is_now.st_nlink > 0 and (is_now.st_size, is_now.st_mtime_ns) == (info.size, info.mtime_ns or 0)
        state = (is_now.st_ino, is_now.st_size, is_now.st_mtime_ns)
        if right and self._seen.get(path.name) != state:
            right = hashlib.file_digest(file, "sha256").hexdigest() == sha256
        if not right:
            file.close()
            return None
        self._seen[path.name] = state
        os.utime(file.fileno(), ns=(time.time_ns(), is_now.st_mtime_ns))  # used now; its time stays the file's own
        return file

    def _fetch(self, path: Path, source: Any, info: pafs.FileInfo, sha256: str) -> None:
        file = self._begun(info.size)
        partial, digest = Path(file.name), hashlib.sha256()
        with file:
            try:
                with source() as stream:
                    while chunk := stream.read(_CHUNK):
                        digest.update(chunk)
                        file.write(chunk)
                file.flush()
                if digest.hexdigest() != sha256:
                    raise GoneError("changed", f"the bytes of {path.name} are not those that its name says")
                os.utime(partial, ns=(time.time_ns(), info.mtime_ns or 0))
                os.replace(partial, path)
            except OSError as error:
                if error.errno not in FULL:
                    raise
                way = f"free space there, let XDG_CACHE_HOME name another disk, or lower {LIMIT}"
                raise StorageError(f"{self.folder}, the cache of media, is full; {way}") from error
            finally:
                partial.unlink(missing_ok=True)

    def _begun(self, size: int) -> Any:
        """A new file for a copy, locked, with its room taken, for others to see. What the limit leaves no room for is
        taken away; so are files whose writer died."""
        with open(self.folder / _LOCK, "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            copies = list(_states(self.folder))
            total = size + sum(state.st_size for _, state in copies)
            for each, state in sorted(copies, key=lambda copy: copy[1].st_atime_ns):
                if (total > self.limit or each.name.startswith(_PARTIAL)) and _taken_away(each):
                    total -= state.st_size
            file = tempfile.NamedTemporaryFile(dir=self.folder, prefix=_PARTIAL, delete=False)  # noqa: SIM115
            fcntl.flock(file, fcntl.LOCK_EX)
            os.ftruncate(file.fileno(), size)
            return file


def _states(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Copies, whole or not; they get their names, and go, without the lock."""
    for each in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if each.name != _LOCK:
                yield each, each.lstat()


def _limit() -> int:
    text = os.environ.get(LIMIT, str(_LIMIT_BYTES))
    if not text.isdecimal():
        raise ConfigError(f"{LIMIT} is {text!r}; give a whole number of bytes")
    return int(text)


def _make_private(folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        state = folder.lstat()
    except OSError as error:
        raise ConfigError(
            f"{folder}, the cache of media, cannot be made ({error.strerror}); let XDG_CACHE_HOME name another"
        ) from error
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid() or state.st_mode & 0o077:
        raise ConfigError(
            f"{folder}, the cache of media, must be a folder of your own that nobody else can enter (chmod 700); mend "
            "it, or let XDG_CACHE_HOME name another place"
        )


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _taken_away(path: Path) -> bool:
    """Whether a copy could be removed: not while anybody reads or writes it."""
    with contextlib.suppress(FileNotFoundError):
        if path.is_symlink():
            path.unlink()
            return True
        try:
            with open(path, "rb", opener=_without_links) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        except BlockingIOError:
            return False
    return True
