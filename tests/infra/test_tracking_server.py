"""MLflow as compose.yaml starts it: on PostgreSQL and an S3 store, with passwords, used by the jobs' own tracker."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import pytest
import requests
from mlflow.server import get_app_client
from mlflow.tracking import MlflowClient

from jobs.tracking import sender
from jobs.tracking.run import Run
from jobs.tracking.runs import Job, job_run

from .services import free_port, program, service, until
from .test_compose import compose

COVERS = ("compose/compose.yaml", "kubernetes/monitoring/users.ini")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
PATIENCE_S = 400  # MLflow's first start makes all its tables, and the machine may be busy


@dataclass(frozen=True)
class Servers:
    """What runs."""

    url: str
    postgres: int
    """Port."""
    objects: Path
    """Where the store keeps what it is given."""
    again: Callable[[], contextlib.AbstractContextManager[None]]
    """Starts MLflow."""


@contextlib.contextmanager
def postgres_server(secrets: dict[str, str]) -> Iterator[int]:
    """A database server whose user and database are those that the image makes of its environment; its port."""
    bin_folders = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")))
    initdb, server = program("initdb", "postgresql", *bin_folders), program("postgres", "postgresql", *bin_folders)
    folder = Path(tempfile.mkdtemp(prefix="sa-postgres-", dir="/tmp"))
    other = {"user": "postgres"} if os.geteuid() == 0 else {}  # it refuses to be root
    if other:
        shutil.chown(folder, "postgres")
    try:
        (folder / "password").write_text(secrets["POSTGRES_PASSWORD"])
        (folder / "password").chmod(0o644)
        make = [initdb, "--pgdata", folder / "db", "--username=mlflow", "--auth=scram-sha-256", "--no-sync"]
        subprocess.run([*make, f"--pwfile={folder}/password"], check=True, capture_output=True, cwd=folder, **other)
        port = free_port()
        command = [server, "-D", str(folder / "db"), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder), "-F"]

        def ready() -> bool:
            with contextlib.closing(_database(port, secrets, "postgres")) as connection:
                connection.autocommit = True
                connection.cursor().execute("CREATE DATABASE mlflow")
            return True

        with service(command, ready, Path(tempfile.mkstemp(prefix="sa-postgres-")[1]), cwd=folder, **other):
            yield port
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _database(port: int, secrets: dict[str, str], name: str) -> Any:
    return psycopg2.connect(
        host="127.0.0.1", port=port, user="mlflow", dbname=name, password=secrets["POSTGRES_PASSWORD"]
    )


@pytest.fixture(scope="module")
def servers(infra: Path, secrets: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder, said = tmp_path_factory.mktemp("servers"), compose(infra, secrets)["services"]
    (folder / "data" / "mlflow").mkdir(parents=True)  # the volume that is the bucket
    store_port, port = free_port(), free_port()
    store = _replaced(said["objects"]["command"], {"/data": str(folder / "data"), ":9000": f"127.0.0.1:{store_port}"})
    pair = said["objects"]["environment"]["RCLONE_AUTH_KEY"]
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(postgres_server(secrets))
        rclone = [str(Path(sys.executable).with_name("rclone")), *store]
        answers = lambda: requests.get(f"http://127.0.0.1:{store_port}").status_code == 400  # noqa: E731
        log = folder / "objects.log"
        stack.enter_context(service(rclone, answers, log, env=os.environ | {"RCLONE_AUTH_KEY": pair}))
        there = {
            "@postgres/": f"@127.0.0.1:{database}/", "--host=0.0.0.0": "--host=127.0.0.1",
            "--port=5000": f"--port={port}", "--workers=2": "--workers=1",
        }  # fmt: skip
        command = [sys.executable, "-m", *_replaced(said["mlflow"]["command"], there)]
        users = folder / "users.ini"
        users.write_text(
            (infra / "kubernetes" / "monitoring" / "users.ini").read_text().replace(*next(iter(there.items())))
        )
        environment = os.environ | {name: value or "" for name, value in said["mlflow"]["environment"].items()} | {
            "MLFLOW_AUTH_CONFIG_PATH": str(users), "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{store_port}",
            "NO_PROXY": "127.0.0.1",
        }  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        healthy = lambda: requests.get(f"{url}/health").status_code == 200  # noqa: E731

        def start() -> contextlib.AbstractContextManager[None]:
            return service(command, healthy, folder / "mlflow.log", env=environment, cwd=folder, seconds=PATIENCE_S)

        yield Servers(url, database, folder / "data" / "mlflow", start)


def _replaced(words: list[str], others: dict[str, str]) -> list[str]:
    result = list(words)
    for old, new in others.items():
        result = [new if word == old else word.replace(old, new) if len(old) > 6 else word for word in result]
    return result


def _log_in(monkeypatch: pytest.MonkeyPatch, url: str, name: str, password: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with passwords takes its time on a busy machine; how long a job waits is test_sender's."""
    for name in ("_START_S", "_STILL_S", "_MOST_S"):
        monkeypatch.setattr(sender, name, 200.0)


def test_runs_are_in_postgres_artifacts_in_the_store_and_only_who_may_writes(
    servers: Servers, secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = (secrets["MLFLOW_AUTH_ADMIN_USERNAME"], secrets["MLFLOW_AUTH_ADMIN_PASSWORD"])
    listing = f"{servers.url}/api/2.0/mlflow/experiments/search?max_results=5"
    with servers.again():
        _strangers_are_refused(listing, admin)
        _log_in(monkeypatch, servers.url, *admin)
        with job_run(Job(verb="train", experiment="lab", key="key")) as run:
            run.metrics({"loss": 0.25}, step=3)
            run.text("a: 1\n", "config.yaml")
            run.picture(np.zeros((8, 8, 3), np.uint8), "picture.png")
            run.table("rows", [{"name": "x", "value": 1.0}])
        client = MlflowClient(tracking_uri=servers.url)
        assert {each.path for each in client.list_artifacts(run.run_id)} == {"config.yaml", "picture.png", "rows.json"}
        assert Path(client.download_artifacts(run.run_id, "config.yaml")).read_text() == "a: 1\n"
        kept = [path.name for path in servers.objects.rglob("*") if path.is_file()]
        assert {"config.yaml", "picture.png", "rows.json"} <= set(kept)
        with contextlib.closing(_database(servers.postgres, secrets, "mlflow")) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT value, step FROM metrics WHERE run_uuid = %s AND key = 'loss'", (run.run_id,))
            assert cursor.fetchall() == [(0.25, 3)]
            cursor.execute("SELECT username, password_hash FROM users")
            [(name, stored)] = cursor.fetchall()
            assert name == admin[0]
            assert admin[1] not in stored
        _a_reader_reads_and_does_not_write(servers.url, run, monkeypatch)
    with servers.again():  # a server that starts again finds what was there
        _log_in(monkeypatch, servers.url, *admin)
        assert MlflowClient(tracking_uri=servers.url).get_run(run.run_id).data.metrics["loss"] == 0.25


def _strangers_are_refused(listing: str, admin: tuple[str, str]) -> None:
    assert requests.get(listing).status_code == 401
    assert requests.get(listing, auth=(admin[0], "password")).status_code == 401
    until(
        lambda: requests.get(listing, auth=admin).status_code == 200, 60, lambda: requests.get(listing, auth=admin).text
    )
    elsewhere = {"Host": "elsewhere.example"}
    assert requests.get(listing, auth=admin, headers=elsewhere).status_code == 403


def _a_reader_reads_and_does_not_write(url: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    name, password = "reader", uuid.uuid4().hex
    get_app_client("basic-auth", tracking_uri=url).create_user(name, password)
    _log_in(monkeypatch, url, name, password)
    reader = MlflowClient(tracking_uri=url)
    assert reader.get_run(run.run_id).data.metrics["loss"] == 0.25
    with pytest.raises(Exception, match=r"403|Permission denied"):
        reader.log_metric(run.run_id, "loss", 0.0)
