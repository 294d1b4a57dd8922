"""The one place that talks to MLflow: one run for each job, under one parent run for each experiment."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout
from mlflow.entities import Dataset, DatasetInput, InputTag, LifecycleStage, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from jobs.running.environment import variables
from stableanimator.errors import ConfigError

_ROLE = "sa.role"
_KEY = "sa.key"
_PARENT = "mlflow.parentRunId"
_NAME = "mlflow.runName"
_EXISTS = "RESOURCE_ALREADY_EXISTS"
_LOCK_S = 300.0
"""Seconds for which a job waits for others that are beginning; each takes one or two."""
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
_DIGEST_LENGTH = 32  # MLflow refuses dataset digests over 36 characters


def default_root() -> str:
    """SA_ROOT, the default root of datasets and runs; `~/stableanimator` where it is not set."""
    return os.environ.get("SA_ROOT") or str(Path.home() / "stableanimator")


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI; by default a SQLite file under SA_ROOT."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{default_root()}/mlflow.db"


def tracker_answers() -> str:
    """Ask the tracking server for an experiment, without patience, and return what answered.

    Raises:
        ConfigError: it does not answer, or its file cannot be written.
    """
    uri = tracking_uri()
    database = _database(uri)
    try:
        if database is not None:
            database.parent.mkdir(parents=True, exist_ok=True)
        with _alone(uri), variables(_IMPATIENT):
            MlflowClient(tracking_uri=uri).search_experiments(max_results=1)
    except (MlflowException, OSError, Timeout) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"the tracking server {uri} does not answer ({reason}); start it with `mlflow server --host 0.0.0.0`, or "
            "name another in MLFLOW_TRACKING_URI where you submit"
        ) from error
    return uri


def is_file(uri: str) -> bool:
    """Whether runs are kept in a file, which one machine alone can write well."""
    return _database(uri) is not None


def git_commit() -> str:
    """SA_GIT_COMMIT (passed by jobs.submit, since Ray leaves `.git` behind), else git's own answer, else "unknown"."""
    if commit := os.environ.get("SA_GIT_COMMIT"):
        return commit
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


class Run:
    """A handle on one MLflow run that any process can hold: it carries the tracking URI and the run's id."""

    def __init__(self, uri: str, run_id: str) -> None:
        self.uri = uri
        self.run_id = run_id
        self.outputs: dict[str, str] = {}
        """Ids of what this process recorded as made, by name."""
        self._client = MlflowClient(tracking_uri=uri)

    def __reduce__(self) -> tuple[type[Run], tuple[str, str]]:
        return Run, (self.uri, self.run_id)

    def params(self, values: dict[str, Any]) -> None:
        """Log flat parameters. A value that this run already has is left as it is (a restart logs them again)."""
        known = self._client.get_run(self.run_id).data.params
        for name, value in values.items():
            if name not in known:
                self._client.log_param(self.run_id, name, str(value)[:6000])

    def metrics(self, values: dict[str, float], step: int = 0) -> None:
        """Log numbers of one step. NaN and None are left out: what is missing is recorded as missing."""
        for name, value in values.items():
            if value is not None and value == value:
                self._client.log_metric(self.run_id, name, float(value), step=step)

    def table(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Log rows as the table artifact `<name>.json`, which the MLflow page shows and compares."""
        if rows:
            columns = {key: [row.get(key) for row in rows] for key in rows[0]}
            self._client.log_table(self.run_id, data=columns, artifact_file=f"{name}.json")

    def file(self, local_path: str | Path, folder: str = "") -> None:
        """Log a local file as an artifact."""
        self._client.log_artifact(self.run_id, str(local_path), artifact_path=folder or None)

    def text(self, text: str, name: str) -> None:
        """Log a text (YAML, HTML) as the artifact `name`."""
        self._client.log_text(self.run_id, text, name)

    def picture(self, picture: npt.NDArray[np.uint8], name: str) -> None:
        """Log an RGB picture [H, W, 3] as the artifact `name`."""
        self._client.log_image(self.run_id, picture, artifact_file=name)

    def curve(self, name: str) -> list[tuple[int, float]]:
        """The steps and values of a metric that was logged; empty where none was."""
        return [(point.step, point.value) for point in self._client.get_metric_history(self.run_id, name)]

    def artifact(self, name: str) -> bytes:
        """A file that was logged.

        Raises:
            MlflowException: there is none of that name.
        """
        with tempfile.TemporaryDirectory() as folder:
            return Path(self._client.download_artifacts(self.run_id, name, folder)).read_bytes()

    def tag(self, key: str, value: str) -> None:
        self._client.set_tag(self.run_id, key, value)

    def dataset(self, name: str, uri: str, digest: str, context: str = "input") -> None:
        """Record a dataset by its manifest's SHA-256: MLflow gets 32 characters of `digest`, a tag gets all."""
        source = json.dumps({"uri": uri})
        dataset = Dataset(name=name, digest=digest[:_DIGEST_LENGTH], source_type="uri", source=source)
        tags = [InputTag(key="mlflow.data.context", value=context)]
        self._client.log_inputs(self.run_id, [DatasetInput(dataset=dataset, tags=tags)])
        self.tag(f"dataset.{name}", digest)
        if context == "output":
            self.outputs[name] = digest

    @contextlib.contextmanager
    def below(self, name: str) -> Iterator[Run]:
        """A run of its own under this one, for what is to be compared with its siblings. One of the same name that an
        earlier attempt left is continued."""
        experiment = self._client.get_run(self.run_id).info.experiment_id
        known = self._client.search_runs(
            [experiment], f"tags.`{_PARENT}` = '{self.run_id}' and tags.`{_NAME}` = '{name}'"
        )
        tags = {_PARENT: self.run_id, "sa.git_commit": git_commit()}
        found = known[0] if known else self._client.create_run(experiment, tags=tags, run_name=name)
        ended = RunStatus.FAILED
        try:
            yield Run(self.uri, found.info.run_id)
            ended = RunStatus.FINISHED
        finally:
            self._client.set_terminated(found.info.run_id, RunStatus.to_string(ended))


def resume(run_id: str, uri: str | None = None) -> Run:
    """The run that the driver created, on a worker."""
    return Run(uri or tracking_uri(), run_id)


def _database(uri: str) -> Path | None:
    """The file of a SQLite tracking URI; None for servers."""
    name = uri.partition("?")[0].removeprefix("sqlite:///")
    return Path(name) if uri.startswith("sqlite:///") and name else None


@contextlib.contextmanager
def _alone(uri: str) -> Iterator[None]:
    """One process at a time where the runs are in a SQLite file, whose tables the first one makes: MLflow does not
    guard that. A server makes its own."""
    database = _database(uri)
    if database is None:
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock", timeout=_LOCK_S):
        yield


def _experiment_id(client: MlflowClient, uri: str, name: str) -> str:
    """Of the experiment of this name, which is made where there is none.

    Raises:
        ConfigError: it was deleted.
    """
    if (experiment := client.get_experiment_by_name(name)) is None:
        # Without a server MLflow would put artifacts under the working directory, which for a job is a passing copy.
        database = _database(uri)
        location = str(database.parent / "mlflow-artifacts" / name) if database else None
        try:
            return client.create_experiment(name, artifact_location=location)
        except MlflowException as error:
            if error.error_code != _EXISTS:
                raise
        experiment = client.get_experiment_by_name(name)  # another job has just made it
    if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
        raise ConfigError(f"experiment: {name!r} was deleted in {uri}; restore it there, or use another name")
    return experiment.experiment_id


def _parent_id(client: MlflowClient, experiment_id: str, name: str) -> str:
    """The run below which the experiment's jobs hang; it is made where there is none."""
    if (known := _oldest_parent(client, experiment_id)) is not None:
        return known
    parent = client.create_run(experiment_id, tags={_ROLE: "parent"}, run_name=name)
    client.set_terminated(parent.info.run_id)
    return _oldest_parent(client, experiment_id) or parent.info.run_id


def _oldest_parent(client: MlflowClient, experiment_id: str) -> str | None:
    """The one that counts. Jobs that begin on a server at one moment may each make a parent, since a server has no
    lock: what hangs below a younger one is hung below the oldest, and the younger one is deleted."""
    found = client.search_runs([experiment_id], f"tags.`{_ROLE}` = 'parent'")
    oldest, *others = sorted(found, key=lambda run: (run.info.start_time, run.info.run_id)) or [None]
    for other in others:
        with contextlib.suppress(MlflowException):  # another job does the same
            for child in client.search_runs([experiment_id], f"tags.`{_PARENT}` = '{other.info.run_id}'"):
                client.set_tag(child.info.run_id, _PARENT, oldest.info.run_id)
            client.delete_run(other.info.run_id)
    return oldest.info.run_id if oldest is not None else None


@contextlib.contextmanager
def job_run(verb: str, experiment: str, key: str) -> Iterator[Run]:
    """The MLflow run of one job.

    An unfinished run of the same `key` (a fingerprint of verb and configuration) is continued, so a job that was
    killed and started again is one run; a finished one is left alone and a new run begins.

    Raises:
        ConfigError: the experiment was deleted.
    """
    uri = tracking_uri()
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    mlflow.set_tracking_uri(uri)
    mlflow.set_system_metrics_sampling_interval(5)
    with _alone(uri):
        client = MlflowClient(tracking_uri=uri)
        experiment_id = _experiment_id(client, uri, experiment)
        parent_id = _parent_id(client, experiment_id, experiment)
    unfinished = [
        run
        for run in client.search_runs([experiment_id], f"tags.`{_KEY}` = '{key}'", max_results=10)
        if run.info.status != RunStatus.to_string(RunStatus.FINISHED)
    ]
    with mlflow.start_run(
        run_id=unfinished[0].info.run_id if unfinished else None,
        experiment_id=experiment_id,
        run_name=verb,
        tags={_KEY: key, "sa.verb": verb, "sa.git_commit": git_commit(), _PARENT: parent_id},
        log_system_metrics=True,
    ) as active:
        run = Run(uri, active.info.run_id)
        try:
            yield run
        finally:
            with _alone(uri):
                run.tag(_PARENT, _parent_id(client, experiment_id, experiment))
