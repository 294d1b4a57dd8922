"""A real tracking server that is down, killed, suspended and started again; and stand-ins for those that misbehave."""

from __future__ import annotations

import contextlib
import http.server
import math
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
import requests
from mlflow.entities import Run as Stored
from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient

from jobs.tracking import __main__ as command
from jobs.tracking import sender
from jobs.tracking.delivery import Delivery
from jobs.tracking.run import Run
from jobs.tracking.runs import Job, job_run
from jobs.tracking.spool import Spool, new_spool, spools
from jobs.tracking.stored import StoredRun
from stableanimator.errors import ConfigError

from ...infra.services import free_port, until

MODEL = "ab" * 32


class Server:
    """`mlflow server` on one port and one database, as often as it is started."""

    def __init__(self, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        port = self.url.rpartition(":")[2]
        line = [sys.executable, "-m", "mlflow", "server", "--workers=1", f"--port={port}"]
        line += [f"--backend-store-uri=sqlite:///{self._folder}/runs.db"]
        line += [f"--artifacts-destination={self._folder}/artifacts"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        with (self._folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                line, stdout=log, stderr=log, start_new_session=True, env=environment, cwd=self._folder
            )
        healthy = lambda: requests.get(f"{self.url}/health", timeout=5).status_code == 200  # noqa: E731
        until(healthy, 300, (self._folder / "log").read_text, self._process)

    def signal(self, number: int) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Not started yet."""
    made = Server(tmp_path)
    _track(monkeypatch, made.url)
    yield made
    made.kill()


def _track(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("SA_GIT_COMMIT", "0123456789abcdef")
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, "")  # so that what a job sets is taken back
        monkeypatch.delenv(name)


def _job(root: Path, key: str) -> Job:
    return Job(verb="train", experiment="dance", key=key, root=str(root), params={"rate": "0.1"}, settings={"a": 1})


@contextlib.contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Of waiting, on a machine that may be busy."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds * float(os.environ.get("SA_PATIENCE", "1"))


def _log_everything(run: Run) -> None:
    for step in range(1, 4):
        run.metrics({"loss": math.nan if step == 3 else 1 / step}, step=step)
    run.dataset("shards", "file:///data/shards/x", "cd" * 32)
    run.table("rows", [{"name": "x", "value": 1.0}])
    run.picture(np.zeros((8, 8, 3), np.uint8), "worst.png")
    run.makes_model("model", "small.v2", MODEL, "/models/small.v2/step_9", 9)
    run.judges_model(MODEL)
    run.metrics({"psnr": 20.0}, model=MODEL, dataset="shards")


def _assert_everything_once(client: MlflowClient, job: str) -> None:
    run = client.get_run(_runs(client)[job].info.run_id)
    losses = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in losses[:2]] == [(1, 1.0), (2, 0.5)]
    assert math.isnan(losses[2].value)
    assert len(losses) == 3
    assert run.data.params == {"rate": "0.1"}
    assert len(run.inputs.dataset_inputs) == len(run.inputs.model_inputs) == len(run.outputs.model_outputs) == 1
    stored = StoredRun(run.info.run_id)
    assert stored.artifact("rows.json") == b'{"columns": ["name", "value"], "data": [["x", 1.0]]}'
    assert stored.artifact("worst.png").startswith(b"\x89PNG")
    (model,) = client.search_logged_models([run.info.experiment_id])
    assert (model.name, model.params, model.tags["collection"]) == ("small-v2", {"rate": "0.1"}, MODEL)
    assert [(metric.key, metric.value) for metric in model.metrics] == [("psnr", 20.0)]


def _runs(client: MlflowClient) -> dict[str, Stored]:
    """By job; there are no others."""
    experiment = client.get_experiment_by_name("dance")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], run_view_type=ViewType.ACTIVE_ONLY)
    by_job = {run.data.tags["job"]: run for run in found}
    assert len(by_job) == len(found)
    return by_job


@pytest.mark.slow
def test_a_server_that_comes_goes_stalls_and_comes_back_costs_no_job_anything(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "root"
    with _at_most(15), job_run(_job(root, "down")) as down:
        _log_everything(down)
    assert down.run_id is None
    told = f"records of 1 runs (API request to {server.url}/"
    assert told in caplog.text
    assert f"they lie in {root}/tracking, and the next job on this root sends them" in caplog.text

    server.start()
    monkeypatch.setattr(sender, "_START_S", 200.0)  # a busy machine answers, if late
    client = MlflowClient(tracking_uri=server.url)
    with job_run(_job(root, "killed")) as killed:
        assert killed.run_id is not None
        _assert_everything_once(client, "down")
        server.kill()
        with _at_most(5):
            _log_everything(killed)
        ended = time.monotonic()
    assert time.monotonic() - ended < 15

    server.start()
    server.signal(signal.SIGSTOP)
    monkeypatch.setattr(sender, "_START_S", 2.0)
    monkeypatch.setattr(sender, "_STILL_S", 2.0)
    with _at_most(15), job_run(_job(root, "stalled")) as stalled:
        _log_everything(stalled)
    assert stalled.run_id is None
    server.signal(signal.SIGCONT)
    waiting = lambda: any(thread.name == "tracking" for thread in threading.enumerate())  # noqa: E731
    until(lambda: not waiting(), 100, lambda: "a sender goes on after its job")  # which ended with it in real life

    monkeypatch.setattr(sender, "_START_S", 200.0)
    monkeypatch.setattr(sender, "_STILL_S", 60.0)
    with pytest.raises(KeyError), job_run(_job(root, "after")):
        raise KeyError
    assert command.main([str(root / "tracking")]) == 0
    runs = _runs(client)
    assert {job: run.info.status for job, run in runs.items()} == {
        "down": "FINISHED", "killed": "FINISHED", "stalled": "FINISHED", "after": "FAILED"
    }  # fmt: skip
    assert runs["killed"].info.run_id == killed.run_id
    for job in ("down", "killed", "stalled"):
        losses = client.get_metric_history(runs[job].info.run_id, "loss")
        assert [point.step for point in losses] == [1, 2, 3]
        assert runs[job].data.params == {"rate": "0.1"}
    assert spools(root / "tracking") == []


def test_what_is_sent_twice_is_there_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    _track(monkeypatch, uri)
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(tracking_uri=uri)
    described = {"uri": uri, "experiment": "dance", "name": "train (main)", "started": 1, "tags": {"job": "k"}}
    spool, _ = new_spool(tmp_path / "tracking", described)
    run = Run(spool.folder)
    run.params({"rate": 0.1})
    _log_everything(run)
    run.end("FINISHED")
    for _ in range(2):  # as where a sender is killed before it has noted anything
        delivery = _delivered(client, spool)
        (spool.folder / "sent.json").unlink()
    # A request that was given up, and carried out later.
    experiment = client.get_run(delivery.run_id).info.experiment_id
    late = client.create_run(experiment, tags={"spool": spool.name, "job": "late"}).info.run_id
    assert _delivered(client, spool).run_id == delivery.run_id
    assert client.get_run(late).info.lifecycle_stage == "deleted"
    _assert_everything_once(client, "k")

    # Nor does a file that another process holds delay a job.
    monkeypatch.setattr(sender, "_START_FILE_S", 1.0)
    monkeypatch.setattr(sender, "_STILL_S", 1.0)
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with _at_most(20), job_run(_job(tmp_path, "locked")) as run:
            _log_everything(run)
    assert run.run_id is None


def _delivered(client: MlflowClient, spool: Spool) -> Delivery:
    delivery = Delivery(client, spool, lambda name: False)
    delivery.begin()
    assert sum(delivery.send()) == 13
    assert delivery.ended
    return delivery


class _Misbehaves(http.server.BaseHTTPRequestHandler):
    status = 500

    def _answer(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    do_GET = do_POST = _answer

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def _answering(status: int) -> Iterator[str]:
    kind = type("Handler", (_Misbehaves,), {"status": status})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_that_cannot_now_is_passed_over(status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _answering(status) as url:
        _track(monkeypatch, url)
        with _at_most(10), job_run(_job(tmp_path, "k")) as run:
            _log_everything(run)
    assert [spool.folder for spool in spools(tmp_path / "tracking")] == [Path(run.folder)]


@pytest.mark.parametrize(("status", "what"), [(401, "does not let us in"), (403, "does not let us in"), (404, "404")])
def test_what_will_not_pass_is_told_before_work_begins(
    status: int, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _answering(status) as url:
        _track(monkeypatch, url)
        with pytest.raises(ConfigError, match=what), job_run(_job(tmp_path, "k")):
            raise AssertionError("it must not begin")
    assert spools(tmp_path / "tracking") == []


def test_a_server_that_takes_a_request_and_never_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sender, "_START_S", 1.0)
    monkeypatch.setattr(sender, "_STILL_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        _track(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        with _at_most(10), job_run(_job(tmp_path, "k")) as run:
            _log_everything(run)
    assert "does not answer (no answer yet)" in caplog.text
    assert len(spools(tmp_path / "tracking")) == 1


def test_the_command_says_what_is_still_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with _answering(500) as url:
        _track(monkeypatch, url)
        with job_run(_job(tmp_path, "k")) as run:
            run.metrics({"loss": 1.0})
        assert command.main([str(tmp_path / "tracking")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: not in MLflow yet: 5 records of 1 runs (")


def test_spools_for_another_tracker_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _answering(500) as one, _answering(500) as other:
        for number, url in enumerate((one, other, other)):
            _track(monkeypatch, url)
            with job_run(_job(tmp_path, str(number))):
                pass
        with sender.Sender(other, tmp_path / "tracking") as asked:
            unsent = asked.drain()
    assert unsent is not None
    assert (unsent.runs, unsent.records) == (2, 8)
