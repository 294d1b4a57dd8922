"""Programs that tests run, and waiting for them."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest


def program(name: str, package: str, *folders: str) -> str:
    """Path of a program of Debian; a test that needs one which is missing is skipped."""
    path = os.pathsep.join([os.environ["PATH"], *folders])
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"no {name}: `apt-get install {package}` brings it (CONTRIBUTING.md)")
    return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextlib.contextmanager
def service(
    command: Sequence[str], ready: Callable[[], bool], log: Path, *, seconds: float = 120, **options: Any
) -> Iterator[None]:
    """Run a program until the block ends, from when `ready` says so; its output goes to `log`."""
    with open(log, "w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, **options)
    try:
        until(ready, seconds, lambda: f"{command[0]} does not answer:\n{log.read_text()[-3000:]}", process)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait(timeout=10)


def until(
    true: Callable[[], bool],
    seconds: float,
    otherwise: Callable[[], str],
    process: subprocess.Popen[bytes] | None = None,
) -> None:
    """Wait for something; an error of the question counts as no. SA_PATIENCE=5 waits five times as long."""
    deadline = time.monotonic() + seconds * float(os.environ.get("SA_PATIENCE", "1"))
    while time.monotonic() < deadline and (process is None or process.poll() is None):
        with contextlib.suppress(Exception):
            if true():
                return
        time.sleep(0.5)
    raise AssertionError(otherwise())
