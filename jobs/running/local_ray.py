"""A Ray head of our own on this machine, for the demo and the tests."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from jobs.running.environment import variables
from jobs.running.job_server import job_client
from stableanimator.errors import StableAnimatorError

_START_SECONDS = 120


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def local_head(num_cpus: int) -> Iterator[str]:
    """Start a head, yield the address of its job server (http://127.0.0.1:port), and stop it at the end.

    The head gets a token of its own (Ray's job server refuses callers without one) through RAY_AUTH_TOKEN, which
    with RAY_ADDRESS is also set in this process while the head lives. `num_cpus` is logical: training workers and
    actors of one small machine may share its cores.

    Raises:
        StableAnimatorError: it did not answer within two minutes.
    """
    port, dashboard, agent, client = _free_ports(4)
    temporary = tempfile.mkdtemp(prefix="sa-ray-", dir="/tmp")  # Ray's socket paths must stay short
    address = f"http://127.0.0.1:{dashboard}"
    private = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        # The head's jobs run `python`, which must be this one.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    log_path = Path(temporary) / "head.log"
    command = [
        str(Path(sys.executable).with_name("ray")), "start", "--head", "--block",
        f"--port={port}", f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}",
        f"--ray-client-server-port={client}", "--dashboard-host=127.0.0.1", "--node-ip-address=127.0.0.1",
        f"--num-cpus={num_cpus}", f"--temp-dir={temporary}",
    ]  # fmt: skip
    with variables(private):
        with open(log_path, "w") as log:
            environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
            process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, env=environment
            )
        try:
            _wait(process, address, log_path)
            with variables({"RAY_ADDRESS": address}):
                yield address
        finally:
            _stop(process)
            shutil.rmtree(temporary, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], address: str, log_path: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(Exception):
            job_client(address).list_jobs()
            return
        time.sleep(0.5)
    raise StableAnimatorError(f"Ray did not start at {address}; its output:\n{log_path.read_text()[-2000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """With all that it started: a driver of a job is in a session of its own, and may take long to see that its head is
    gone."""
    if process.poll() is not None:
        return
    started = psutil.Process(process.pid).children(recursive=True)
    process.terminate()  # `ray start --block` stops its children on SIGTERM
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait(timeout=10)
    _, left = psutil.wait_procs(started, timeout=5)
    for each in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
