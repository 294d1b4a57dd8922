"""Submission to a real Ray head: what is checked before, what is sent, and the exit code afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ray.job_submission import JobStatus

from jobs.running.config import load
from jobs.running.local_ray import job_client, local_head
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
