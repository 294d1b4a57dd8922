"""Roots that can be full, or not answer for a while: both need rights that not everybody has."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from stableanimator.errors import StableAnimatorError

_ROOM = 256 << 20
"""Bytes of a small disk."""
_FILLER = "filler"


def can_mount() -> bool:
    """Whether this process may mount a file system of its own."""
    return sys.platform == "linux" and os.geteuid() == 0


def can_stall() -> bool:
    """Whether there is what passes a folder on and can be stopped."""
    return can_mount() and shutil.which("bindfs") is not None and Path("/dev/fuse").exists()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """The folder is a disk of its own in memory."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_ROOM}", "chaos", str(folder)], check=True)
    try:
        yield
    finally:
        _unmount(folder)


def fill(folder: Path) -> None:
    """Leave not a byte."""
    with open(folder / _FILLER, "wb", buffering=0) as filler:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while filler.write(b"\0" * size):
                    pass
            except OSError:
                continue


def empty(folder: Path) -> None:
    """Take the filler away again."""
    (folder / _FILLER).unlink(missing_ok=True)


@contextmanager
def passed_on(folder: Path, source: Path) -> Iterator[psutil.Process]:
    """The folder shows what lies in another one, through a process: who stops it, stalls the folder."""
    source.mkdir()
    process = subprocess.Popen(["bindfs", "-f", "-o", "nonempty", str(source), str(folder)])
    try:
        while not folder.is_mount():
            if process.poll() is not None:
                raise StableAnimatorError(f"bindfs does not mount {folder}, and ended with {process.returncode}")
            time.sleep(0.05)
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGCONT)
        if folder.is_mount():
            _unmount(folder)
        process.wait(10)
        shutil.rmtree(source)


def _unmount(folder: Path) -> None:
    """Also where a process that is being killed still holds a file."""
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
