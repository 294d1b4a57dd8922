"""Where runs are kept: a SQLite file or a server, its experiments, and whose mistake it is where it does not answer."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from jobs.tracking import credentials
from jobs.tracking.pages import without_password
from stableanimator.errors import ConfigError

IMPATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
"""Variables under which MLflow's client asks once, where it would else go on for minutes."""
_EXISTS = "RESOURCE_ALREADY_EXISTS"
_REFUSALS = ("UNAUTHENTICATED", "PERMISSION_DENIED")
_TIMEOUT, _TOO_MANY = 408, 429
_LOCK_S = 300.0
"""Seconds for which a sender waits for others that are beginning; each takes one or two."""


def default_root() -> str:
    """SA_ROOT, the default root of datasets and runs; `~/stableanimator` where it is not set."""
    return os.environ.get("SA_ROOT") or str(Path.home() / "stableanimator")


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, of a server without name and password; by default a SQLite file under SA_ROOT."""
    credentials.take()
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{default_root()}/mlflow.db"


def tracker_answers() -> str:
    """Ask the tracking server for an experiment and return what answered.

    Raises:
        ConfigError: it does not answer, does not let us in, or its file cannot be written.
    """
    uri = tracking_uri()
    with explained(uri), beginning(uri) as client:
        client.search_experiments(max_results=1)
    return without_password(uri)


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


@contextlib.contextmanager
def beginning(uri: str) -> Iterator[MlflowClient]:
    """A client for the first words with the tracker.

    One process at a time where the runs are in a SQLite file, whose tables the first one makes: MLflow does not guard
    that. A server makes its own.

    Raises:
        MlflowException, SQLAlchemyError, OSError, Timeout: it does not answer, does not let us in, or its file cannot
            be written.
    """
    database = _database(uri)
    if database is not None:
        database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock", timeout=_LOCK_S) if database is not None else contextlib.nullcontext():
        yield MlflowClient(tracking_uri=uri)


def is_refused(error: Exception) -> bool:
    """Whether the tracker will never take it: a request is wrong, or what it is about is gone."""
    if not isinstance(error, MlflowException) or _locked_out(error):
        return False
    status = error.get_http_status_code()
    return 400 <= status < 500 and status not in (_TIMEOUT, _TOO_MANY)


def users_mistake(uri: str, error: Exception) -> ConfigError | None:
    """What is wrong with the tracker, in one line, where that is sure: it does not let us in, it is none, its file
    cannot be used, the experiment was deleted. None where it may pass by itself, as with networks and busy servers."""
    if isinstance(error, ConfigError):
        return error
    if isinstance(error, MlflowException) and (_locked_out(error) or is_refused(error)):
        return _explained(uri, error)
    return _explained(uri, error) if is_file(uri) and not _passes(error) else None


def _passes(error: Exception) -> bool:
    """Of errors about a file."""
    return isinstance(error, Timeout) or any(word in str(error) for word in ("locked", "full", "No space"))


def _locked_out(error: MlflowException) -> bool:
    return error.error_code in _REFUSALS or "not authenticated" in str(error)


@contextlib.contextmanager
def explained(uri: str) -> Iterator[None]:
    """Whatever goes wrong with the tracker is said in one line.

    Raises:
        ConfigError: in place of what MLflow, the network and the disk raise.
    """
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, Timeout) as error:
        raise _explained(uri, error) from error


def _explained(uri: str, error: Exception) -> ConfigError:
    shown, reason = without_password(uri), brief(error)
    if isinstance(error, MlflowException) and _locked_out(error):
        return ConfigError(
            f"the tracking server {shown} does not let us in ({reason}); set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, or write ~/.mlflow/credentials, where the job runs"
        )
    return ConfigError(
        f"the tracking server {shown} does not answer ({reason}); start it with `mlflow server --host 0.0.0.0`, or "
        "name another in MLFLOW_TRACKING_URI where you submit"
    )


def brief(error: Exception) -> str:
    """What it says, as part of a line."""
    return " ".join(str(error).split())[:200]


def _database(uri: str) -> Path | None:
    """The file of a SQLite tracking URI; None for servers."""
    name = uri.partition("?")[0].removeprefix("sqlite:///")
    return Path(name) if uri.startswith("sqlite:///") and name else None


def experiment_id(client: MlflowClient, name: str) -> str:
    """Of the experiment of this name, which is made where there is none.

    Raises:
        ConfigError: it was deleted.
    """
    if (experiment := client.get_experiment_by_name(name)) is None:
        # Without a server MLflow would put artifacts under the working directory, which for a job is a passing copy.
        database = _database(client.tracking_uri)
        location = str(database.parent / "mlflow-artifacts" / name) if database else None
        try:
            made: str = client.create_experiment(name, artifact_location=location)
            return made
        except MlflowException as error:
            if error.error_code != _EXISTS:
                raise
        experiment = client.get_experiment_by_name(name)  # another job has just made it
    if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
        where = without_password(client.tracking_uri)
        raise ConfigError(f"experiment: {name!r} was deleted in {where}; restore it there, or use another name")
    found: str = experiment.experiment_id
    return found
