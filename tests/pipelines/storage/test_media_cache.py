from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import pytest

from pipelines.storage.media_cache import LIMIT, MediaCache, cache_folder
from stableanimator.errors import ConfigError, GoneError


class Source:
    """A file elsewhere, and how often it was read."""

    def __init__(self, data: bytes, time: int = 7) -> None:
        self.data, self.reads = data, 0
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.name = f"{self.sha256}.mp4"
        self.info = pafs.FileInfo("bucket/a", pafs.FileType.File, size=len(data), mtime_ns=time)

    def __call__(self) -> Any:
        self.reads += 1
        return io.BytesIO(self.data)

    def read_by(self, cache: MediaCache) -> bytes:
        with cache.opened(self, self.info, self.sha256, self.name) as path:
            return Path(path).read_bytes()


def test_a_copy_is_fetched_once_and_damaged_or_old_ones_again(tmp_path: Path) -> None:
    source, cache = Source(b"frames" * 1000), MediaCache(tmp_path / "c")
    assert [source.read_by(cache) for _ in range(2)] == [source.data] * 2
    assert source.reads == 1
    copy = tmp_path / "c" / source.name
    state = copy.stat()
    copy.write_bytes(b"Frames" * 1000)  # as long, and with the old time
    os.utime(copy, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert source.read_by(MediaCache(tmp_path / "c")) == source.data
    assert source.reads == 2
    source.info = pafs.FileInfo("bucket/a", pafs.FileType.File, size=len(source.data), mtime_ns=8)
    assert source.read_by(cache) == source.data
    assert source.reads == 3


def test_bytes_that_are_not_those_of_the_name_are_kept_by_nobody(tmp_path: Path) -> None:
    source, cache = Source(b"frames"), MediaCache(tmp_path / "c")
    source.data = b"Frames"
    with pytest.raises(GoneError, match="changed"):
        source.read_by(cache)
    assert [path.name for path in (tmp_path / "c").iterdir()] == [".lock"]


def test_a_link_that_lies_at_a_copys_name_is_not_followed(tmp_path: Path) -> None:
    """It would let whoever planted it choose the file that is read from then on."""
    source, cache = Source(b"frames"), MediaCache(tmp_path / "c")
    (tmp_path / "planted").write_bytes(source.data)
    os.utime(tmp_path / "planted", ns=(7, 7))
    (tmp_path / "c" / source.name).symlink_to(tmp_path / "planted")
    assert source.read_by(cache) == source.data
    assert (source.reads, (tmp_path / "c" / source.name).is_symlink()) == (1, False)


def test_what_was_used_longest_ago_goes_first_and_nothing_that_is_in_use(tmp_path: Path) -> None:
    cache = MediaCache(tmp_path / "c", limit=250)
    first, second, third, fourth = (Source(bytes([number]) * 100) for number in range(4))
    for source in (first, second, first, third):
        source.read_by(cache)
    names = {path.name for path in (tmp_path / "c").glob("*.mp4")}
    assert names == {first.name, third.name}
    with cache.opened(first, first.info, first.sha256, first.name) as path:
        third.read_by(cache)  # so that the first one is the oldest
        fourth.read_by(cache)
        assert Path(path).read_bytes() == first.data
    assert {path.name for path in (tmp_path / "c").glob("*.mp4")} == {first.name, fourth.name}


def test_what_a_killed_process_left_goes_and_what_another_writes_stays(tmp_path: Path) -> None:
    cache = MediaCache(tmp_path / "c", limit=250)
    code = (
        "import sys, pathlib; from pipelines.storage.media_cache import MediaCache; "
        "file = MediaCache(pathlib.Path(sys.argv[1]), limit=250)._begun(200); print('begun', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "c")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"begun\n"
        Source(b"1" * 100).read_by(cache)
        assert len(list((tmp_path / "c").glob(".partial-*"))) == 1
        other.kill()
    Source(b"2" * 100).read_by(cache)
    assert list((tmp_path / "c").glob(".partial-*")) == []
    assert len(list((tmp_path / "c").glob("*.mp4"))) == 2


def test_only_its_owner_may_enter_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MediaCache(tmp_path / "c")
    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o700
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(tmp_path / "c")
    (tmp_path / "file").write_bytes(b"")
    for name in ("open", "link", "file"):
        with pytest.raises(ConfigError, match="must be a folder of your own that nobody else can enter"):
            MediaCache(tmp_path / name)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ConfigError, match="folder of your own"):
        MediaCache(tmp_path / "c")


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    source, cache = Source(b"frames"), MediaCache(tmp_path / "c")
    (tmp_path / "secret").write_bytes(b"frames")
    (tmp_path / "c" / source.name).symlink_to(tmp_path / "secret")
    assert source.read_by(cache) == b"frames"
    assert not (tmp_path / "c" / source.name).is_symlink()


def test_place_and_size_are_said_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    monkeypatch.setenv(LIMIT, "1000")
    assert (MediaCache().folder, MediaCache().limit) == (tmp_path / "mine/stableanimator/media", 1000)
    monkeypatch.setenv(LIMIT, "16 GB")
    with pytest.raises(ConfigError, match="SA_MEDIA_CACHE_BYTES is '16 GB'; give a whole number of bytes"):
        MediaCache()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home/.cache/stableanimator/media"


def _read_many(folder: Path, seed: int, failed: Any) -> None:
    cache, sources = MediaCache(folder, limit=2500), [Source(bytes([number]) * 1000) for number in range(4)]
    for turn in range(60):
        source = sources[(turn * 7 + seed * turn) % 4]
        if source.read_by(cache) != source.data:
            failed.value += 1
    failed.value -= 1


def test_several_processes_share_it(tmp_path: Path) -> None:
    """With room for two of four copies each takes away what others want next."""
    context = multiprocessing.get_context("fork")
    failed = [context.Value("i", 1) for _ in range(3)]
    workers = [context.Process(target=_read_many, args=(tmp_path / "c", n, failed[n])) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [each.value for each in failed] == [0, 0, 0]
    assert sum(path.stat().st_size for path in (tmp_path / "c").iterdir()) <= 2500
