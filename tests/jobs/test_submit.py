"""Submission to a real Ray head: what is checked before, what is sent, and the exit code afterwards."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ray.job_submission import JobStatus

from jobs.running.config import load
from jobs.running.job_server import job_client
from jobs.running.local_ray import local_head
from jobs.submit import main, working_directory


@pytest.fixture(scope="module")
def head() -> Iterator[str]:
    with local_head(num_cpus=2) as address:
        yield address


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SA_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    path = tmp_path / "config.yaml"
    path.write_text(f"experiment: submission\nroot: {tmp_path}/data\nencode: {{gpus_per_actor: 0}}\n")
    return path


def test_a_typo_is_refused_before_anything_is_sent(head: str, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = len(job_client(head).list_jobs())
    assert main(["encode", "--config", str(config), "--address", head, "encode.bacth=2"]) == 2
    assert len(job_client(head).list_jobs()) == before
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines == ["error: unknown setting 'encode.bacth'; did you mean 'batch'?"]


def test_only_animate_has_a_preview(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", "--config", str(config), "--preview", "--dry-run"]) == 2
    assert "encode has no such thing" in capsys.readouterr().err
    assert main(["animate", "--config", str(config), "--preview", "--dry-run"]) == 0
    assert "preview: true" in capsys.readouterr().out


def test_no_head_is_one_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", "--config", str(config), "--address", "http://127.0.0.1:9"]) == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    assert "no Ray job server answers at http://127.0.0.1:9" in error


def test_a_mistake_found_on_the_cluster_is_2_and_one_line(
    head: str, config: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # There is no release to encode, which only the job can see. Ray's own CLI would return 1.
    assert main(["encode", "--config", str(config), "--address", head]) == 2
    output = capfd.readouterr().out
    mistakes = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(mistakes) == 1
    assert "no committed latest under" in mistakes[0]
    assert "Traceback" not in output


def test_a_stopped_job_is_1(head: str, config: Path) -> None:
    client = job_client(head)
    known = {job.submission_id for job in client.list_jobs()}
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.submit", "encode", "--config", str(config), "--address", head],
        env=os.environ,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        running = [
            job for job in client.list_jobs() if job.submission_id not in known and job.status == JobStatus.RUNNING
        ]
        if running:
            assert client.stop_job(running[0].submission_id)
            break
        time.sleep(0.2)
    assert process.wait(timeout=60) == 1


def test_the_working_directory_holds_packages_and_resolved_settings(config: Path) -> None:
    loaded = load(str(config), ["encode.batch=3"])
    with working_directory(loaded) as folder:
        assert {path.name for path in folder.iterdir()} == {"jobs", "pipelines", "stableanimator", "settings.yaml"}
        assert load(str(folder / "settings.yaml")) == loaded
        assert yaml.safe_load((folder / "settings.yaml").read_text())["encode"]["batch"] == 3
        assert sum(path.stat().st_size for path in folder.rglob("*")) < 25e6


def test_dry_run_prints_settings_and_resources(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", "--config", str(config), "--dry-run", "encode.actors=3"]) == 0
    output = capsys.readouterr().out
    assert yaml.safe_load(output.rsplit("encode reserves", 1)[0])["encode"]["actors"] == 3
    assert "encode reserves 3 actors x (1 CPU, 0 GPU) = 3 CPU, 0 GPU" in output


def test_dry_run_holds_what_is_asked_for_against_a_named_cluster(
    head: str, config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(job_client(head).list_jobs())
    arguments = ["encode", "--config", str(config), "--dry-run", "--address", head]
    assert main([*arguments, "encode.actors=2"]) == 0
    output = capsys.readouterr().out
    assert f"ok     {head}: 1 node with 2 CPU and 0 GPU together\n" in output
    fits = "encode asks for 2 actors of 1 CPU cores and 0 GPUs, and the cluster has places for 2\n"
    assert f"ok     {fits}" in output
    assert main([*arguments, "encode.actors=3", "encode.gpus_per_actor=0.5"]) == 0  # an autoscaler might add them
    output = capsys.readouterr().out
    assert "note   encode asks for 3 actors of 1 CPU cores and 0.5 GPUs, and the cluster has places for 0 (" in output
    assert "unless an autoscaler adds machines, the job refuses; else lower encode.cpus_per_actor" in output
    assert len(job_client(head).list_jobs()) == before
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    assert main(arguments[:-2]) == 0
    assert "no cluster is named (--address, RAY_ADDRESS)" in capsys.readouterr().out


@pytest.fixture
def slow_source() -> Iterator[tuple[str, threading.Event]]:
    """A URL whose server answers, with 404, when the event is set."""
    answer = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer.wait(120)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/a.mp4", answer
    answer.set()
    server.shutdown()
    server.server_close()


def test_the_command_of_a_submitter_that_was_killed_follows_the_same_job(
    head: str, config: Path, slow_source: tuple[str, threading.Event], capfd: pytest.CaptureFixture[str]
) -> None:
    url, answer = slow_source
    settings = f"{{sources: [{url}], allow_private_addresses: true, retries: 0, max_failed_share: 1, timeout_s: 120}}"
    arguments = ["curate", "--config", str(config), "--address", head, "curate.measures=[camera_motion]"]
    arguments.append(f"curate.crawl={settings}")
    client = job_client(head)
    known = {job.submission_id for job in client.list_jobs()}
    first = subprocess.Popen([sys.executable, "-m", "jobs.submit", *arguments], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (new := [job for job in client.list_jobs() if job.submission_id not in known]):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    first.kill()
    first.wait(timeout=30)
    assert main([*arguments, "--no-wait"]) == 0
    (job,) = new
    assert f"is running as {job.submission_id} on {head}; following it" in capfd.readouterr().out
    assert main([*arguments, "--no-wait", "curate.sample_fps=4"]) == 0  # other settings, another job
    assert "submitted curate as curate-" in capfd.readouterr().out
    threading.Timer(10, answer.set).start()
    assert main(arguments) == 0
    assert len([job for job in client.list_jobs() if job.submission_id not in known]) == 2


def test_a_wrong_token_is_one_line_and_2(
    head: str, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    assert main(["encode", "--config", str(config), "--address", head]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: the Ray job server at {head} refuses the token of RAY_AUTH_TOKEN; set ")
    assert error.count("\n") == 1
