"""A server with passwords, as `mlflow server --app-name basic-auth` is one: jobs log into it, strangers do not."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from mlflow.server import get_app_client
from mlflow.tracking import MlflowClient

from jobs.running import entry
from jobs.running.config import Config
from jobs.tracking import sender
from jobs.tracking.__main__ import main as send
from jobs.tracking.run import Run
from jobs.tracking.runs import Job, job_run, job_runs
from jobs.tracking.stored import StoredRun
from jobs.tracking.tracker import tracker_answers
from stableanimator.errors import ConfigError

from ...infra.services import free_port, service
from .test_runs import assert_four_runs, begin_together

PASSWORD = uuid.uuid4().hex


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its URL. Runs are in SQLite, artifacts go through the server."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    users = folder / "users.ini"
    users.write_text(f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/users.db\n")
    command = [sys.executable, "-m", "mlflow", "server", "--app-name=basic-auth", "--workers=1", f"--port={port}"]
    command += [f"--backend-store-uri=sqlite:///{folder}/runs.db", f"--artifacts-destination={folder}/artifacts"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment |= {
        "MLFLOW_AUTH_CONFIG_PATH": str(users), "MLFLOW_FLASK_SERVER_SECRET_KEY": "secret",
        "MLFLOW_AUTH_ADMIN_USERNAME": "admin", "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
    }  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    healthy = lambda: requests.get(f"{url}/health").status_code == 200  # noqa: E731
    with service(command, healthy, folder / "log", seconds=300, env=environment, cwd=folder):
        yield url


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that checks passwords takes its time on a busy machine; how long a job waits is test_sender's."""
    for name in ("_START_S", "_STILL_S", "_MOST_S"):
        monkeypatch.setattr(sender, name, 200.0)


@pytest.fixture
def admin(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL, with what logs a job in."""
    return _log_in(monkeypatch, server, "admin", PASSWORD)


def _log_in(monkeypatch: pytest.MonkeyPatch, url: str, name: str, password: str) -> str:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    return url


def test_all_that_a_job_logs_goes_through_the_server(admin: str, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"film")
    with job_run(Job(verb="train", experiment="lab", key="t", params={"seed": 3})) as training:
        training.metrics({"loss": 0.25}, step=3)
        training.dataset("release", "file:///x", "ab" * 32)
        training.picture(np.zeros((8, 8, 3), np.uint8), "worst.png")
        training.table("rows", [{"name": "x", "value": 1.0}])
        training.file(tmp_path / "film.mp4", "videos")
        training.makes_model("model", "small", "cd" * 32, "/models/small", 3)
    with job_runs(Job(verb="evaluate", experiment="lab", key="e")) as runs:
        for name, psnr in (("plain", 20.0), ("hjb", 21.0)):
            run = runs.open(name)
            run.judges_model("cd" * 32)
            run.metrics({"psnr": psnr, "psnr_low": psnr - 1}, model="cd" * 32)
        assert runs.page == f"{admin}/#/experiments/1/runs?workflowType=machine_learning"

    client = MlflowClient(tracking_uri=admin)
    stored = client.get_run(training.run_id)
    assert stored.info.artifact_uri.startswith("mlflow-artifacts:/")
    assert (stored.data.params, stored.data.metrics["loss"]) == ({"seed": "3"}, 0.25)
    kept = {each.path for each in client.list_artifacts(training.run_id)}
    assert kept == {"config.yaml", "rows.json", "videos", "worst.png"}
    assert StoredRun(training.run_id).artifact("videos/film.mp4") == b"film"
    (made,) = [each.model_id for each in stored.outputs.model_outputs]
    assert {metric.value for metric in client.get_logged_model(made).metrics} == {19.0, 20.0, 21.0}
    assert client.get_run(run.run_id).data.params == {}


def test_jobs_that_begin_together_have_a_run_each(admin: str) -> None:
    begin_together()
    # On a busy machine the four are gone before the server has answered them all: then this sends what they left.
    assert send([f"{os.environ['XDG_STATE_HOME']}/stableanimator/tracking"]) == 0
    assert_four_runs(MlflowClient(tracking_uri=admin))


def test_user_and_password_in_the_address_are_not_shown(
    server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.replace("http://", f"http://admin:{PASSWORD}@"))
    assert tracker_answers() == server
    with job_runs(Job(verb="train", experiment="inside", key="inside")) as runs:
        run = runs.open()
        assert runs.page.startswith(f"{server}/#/experiments/")
        assert runs.page.endswith(f"/runs/{run.run_id}?workflowType=machine_learning")
    assert PASSWORD not in "".join(capsys.readouterr())


@pytest.mark.parametrize("password", ["wrong", None])
def test_who_has_no_password_gets_one_line_and_nothing_begins(
    password: str | None,
    admin: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if password is None:
        monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
        monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
    else:
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    config = tmp_path / "config.yaml"
    config.write_text(f"experiment: lab\nroot: {tmp_path}\n")

    def work(config: Config, run: Run) -> str:
        raise AssertionError("it must not begin")

    assert entry.main("encode", work, ["--config", str(config)]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith(f"error: the tracking server {admin} does not let us in (")
    assert said.endswith("or write ~/.mlflow/credentials, where the job runs")
    assert "\n" not in said
    assert PASSWORD not in said


def test_who_may_only_read_gets_one_line(admin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(verb="train", experiment="admins", key="key")
    with job_run(job):
        pass
    name, password = "reader", uuid.uuid4().hex
    get_app_client("basic-auth", tracking_uri=admin).create_user(name, password)
    _log_in(monkeypatch, admin, name, password)
    with pytest.raises(ConfigError, match="does not let us in"), job_run(job):
        pass
