"""Addresses and logs of a real head: what Ray converts, tokens, and connections that break while a log is followed."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from ray.job_submission import JobStatus, JobSubmissionClient

from jobs.running.addresses import job_server_address
from jobs.running.follow import follow
from jobs.running.job_server import job_client, nodes, versions
from jobs.running.local_ray import local_head
from stableanimator.errors import ConfigError

from ..proxies import Fault, Proxy

TALK = """
import os, sys, time
number = 0
while not os.path.exists(sys.argv[1]) and number < 1000:
    print("line", number, "x" * 40, flush=True)
    number += 1
    time.sleep(0.2)
"""


@pytest.fixture(scope="module")
def head() -> Iterator[str]:
    with local_head(num_cpus=2) as address:
        yield address


@pytest.fixture
def port_of(head: str) -> dict[str, str]:
    """The head's ports by the options of `ray start`, from its command line."""
    number = str(urlsplit(head).port)
    for process in psutil.process_iter(["cmdline"]):
        options = dict(
            part[2:].split("=", 1) for part in process.info["cmdline"] or [] if part[:2] == "--" and "=" in part
        )
        if options.get("dashboard-port") == number and "ray-client-server-port" in options:
            return options
    raise AssertionError("the head's process is gone")


def _run(client: JobSubmissionClient, program: str, *arguments: str) -> str:
    return client.submit_job(entrypoint=shlex.join([sys.executable, "-c", program, *arguments]))


@pytest.fixture
def through(head: str) -> Iterator[list[Proxy]]:
    """Proxies before the head, which are closed at the end."""
    proxies: list[Proxy] = []
    yield proxies
    for proxy in proxies:
        proxy.close()


@pytest.mark.parametrize(("fault", "count", "quiet"), [("reset", 3, 60.0), ("silence", 1, 2.0), ("refuse", 1000, 60.0)])
def test_a_log_is_shown_whole_and_once(
    fault: Fault, count: int, quiet: float, head: str, through: list[Proxy], tmp_path: Path
) -> None:
    proxy = Proxy(head, [fault] * count)
    through.append(proxy)
    client, shown, enough = job_client(proxy.url), [], tmp_path / "enough"
    job_id = _run(client, TALK, str(enough))

    def show(text: str) -> None:
        shown.append(text)
        if proxy.followed > min(count, 3):  # the faults are behind it
            enough.touch()

    assert follow(client, job_id, quiet=quiet, show=show) == 0
    whole = "".join(shown)
    numbers = [int(line.split()[1]) for line in whole.splitlines() if line.startswith("line ")]
    assert numbers == list(range(len(numbers)))
    assert proxy.followed > min(count, 3)
    assert whole == job_client(head).get_job_logs(job_id)  # with what Ray itself says of the job


def test_a_server_that_never_comes_back_ends_it_with_1(
    head: str, through: list[Proxy], capsys: pytest.CaptureFixture[str]
) -> None:
    proxy = Proxy(head, ["reset"])
    client = job_client(proxy.url)
    job_id = _run(client, "import time; print('x' * 1000, flush=True); time.sleep(500)")

    def gone(text: str) -> None:
        proxy.close()

    assert follow(client, job_id, patience=3.0, show=gone) == 1
    assert f"no answer of {proxy.url} for 3 s; job {job_id} may go on" in capsys.readouterr().err
    assert job_client(head).get_job_info(job_id).status == JobStatus.RUNNING
    job_client(head).stop_job(job_id)


@pytest.mark.parametrize(("ends", "code"), [("", 0), ("import sys; sys.exit(2)", 2), ("1 / 0", 1)])
def test_how_a_job_ends_is_the_exit_code(head: str, ends: str, code: int) -> None:
    client = job_client(head)
    shown: list[str] = []
    assert follow(client, _run(client, f"print('last words')\n{ends}"), show=shown.append) == code
    assert "\nlast words\n" in "".join(shown)


def test_what_users_write_becomes_the_job_server(
    head: str, port_of: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    assert job_server_address(f"{head}/") == head
    assert job_server_address(urlsplit(head).netloc) == head
    assert job_server_address(f"127.0.0.1:{port_of['port']}") == head
    assert job_server_address(None) == head  # RAY_ADDRESS, which local_head sets
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port_of['port']}")
    assert job_server_address(None) == head
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")
    assert job_server_address(None) == "http://127.0.0.1:1"  # Ray looks there first
    assert job_server_address(head) == head  # and what was asked for counts most


def test_a_ray_client_address_becomes_the_job_server(head: str, port_of: dict[str, str]) -> None:
    port = port_of["ray-client-server-port"]
    logs = Path(port_of["temp-dir"], "session_latest", "logs", "ray_client_server.err")
    if "Traceback" in logs.read_text():
        pytest.skip("the head's Ray Client server did not come up, which happens on a busy machine")
    try:
        found = job_server_address(f"ray://127.0.0.1:{port}")
    except ConfigError as error:
        # Its server for this client was too slow for Ray, or another head of this machine has the port of that server.
        if any(text in str(error) for text in ("Proxy failed to Connect", "Starting Ray client server failed")):
            pytest.skip(str(error))
        raise
    assert found == head


def test_the_gcs_refuses_a_wrong_token_in_one_line(
    head: str, port_of: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    with pytest.raises(ConfigError, match="refuses the token of RAY_AUTH_TOKEN; set RAY_AUTH_TOKEN") as caught:
        job_server_address(f"127.0.0.1:{port_of['port']}")
    assert "\n" not in str(caught.value)


def test_a_head_says_what_it_runs_and_has(head: str) -> None:
    found = versions(head)
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.ray.startswith("2.60.")
    (node,) = nodes(head)
    assert (node.resources["CPU"], node.resources.get("GPU", 0)) == (2, 0)
    assert node.address


def test_tokens_are_found_where_ray_finds_them(head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = os.environ["RAY_AUTH_TOKEN"]
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="wants a token, and none was found; set RAY_AUTH_TOKEN"):
        versions(head)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("wrong\n")
    with pytest.raises(ConfigError, match=r"refuses the token of .*/\.ray/auth_token; set RAY_AUTH_TOKEN"):
        versions(head)
    (tmp_path / "token").write_text(f"{right}\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    assert versions(head).ray
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"RAY_AUTH_TOKEN_PATH: .*/none cannot be read \(No such file"):
        versions(head)
    monkeypatch.setenv("RAY_AUTH_TOKEN", right)
    assert job_client(head).list_jobs() is not None
