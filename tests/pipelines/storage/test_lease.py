"""Holders are real processes: killed, suspended, and in a hurry."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.storage import lease
from pipelines.storage.lease import held
from stableanimator.errors import ConfigError

REPOSITORY = Path(__file__).parents[3]
HOLDER = """
import sys
from pipelines.storage import lease
lease._BEAT_S = 0.1
with lease.held(sys.argv[1], "the first job") as taken:
    print("taken", flush=True)
    sys.stdin.readline()
    try:
        taken.require()
        print("still held", flush=True)
    except lease.LeaseLost as error:
        print(error, flush=True)
"""


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_BEAT_S", 0.1)
    monkeypatch.setattr(lease, "_LOOK_S", 0.05)


@contextmanager
def _holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the folder until it is written to."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, cwd=REPOSITORY, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "taken\n"
        yield process
        if process.poll() is None:
            process.kill()


def _says(process: subprocess.Popen[str]) -> str:
    """Whether it still has the folder, as it sees it."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline()


def test_the_second_is_told_who_works_there_and_may_after_the_first(tmp_path: Path) -> None:
    with _holder(tmp_path) as first:
        for path in (tmp_path / "lease").iterdir():  # what clocks say is nothing
            os.utime(path, (0, 0))
        told = rf"{tmp_path} is in use by the first job, process {first.pid} on \S+, since \d{{4}}-\d\d-\d\d "
        with pytest.raises(ConfigError, match=told), held(tmp_path, "the second job"):
            pass
        assert _says(first) == "still held\n"
        assert first.wait() == 0
    with (
        held(tmp_path, "the second job"),
        pytest.raises(ConfigError, match="the second job"),
        held(tmp_path, "a third"),
    ):
        pass


def test_who_was_killed_is_followed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_LOOK_S", 1000.0)
    with _holder(tmp_path) as first:
        first.send_signal(signal.SIGKILL)
        first.wait()
        with held(tmp_path, "the second job") as taken:
            taken.require()


def test_who_was_suspended_is_followed_after_a_while_and_finds_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LOOKS", 20)
    with _holder(tmp_path) as first:
        first.send_signal(signal.SIGSTOP)
        with held(tmp_path, "the second job") as taken:
            first.send_signal(signal.SIGCONT)
            said = _says(first)
            assert first.wait() == 0  # its leaving leaves the second's alone
            taken.require()
            with pytest.raises(ConfigError, match="the second job"), held(tmp_path, "a third"):
                pass
    assert said.startswith(f"{tmp_path} was taken over by the second job, process {os.getpid()} on ")


def test_of_many_one_takes_it(tmp_path: Path) -> None:
    (tmp_path / "lease").mkdir()
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: lease._made(tmp_path / "lease", 7, "job"), range(64)))
    assert sum(made) == 1
    assert not lease._made(tmp_path / "lease", 6, "a job that was elsewhere when 6 was given and tidied away")
    assert [path.name for path in (tmp_path / "lease").iterdir()] == ["00000007.json"]
