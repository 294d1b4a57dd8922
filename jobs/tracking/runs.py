"""The runs of a job. All stand at the top level of its experiment; what belongs together has equal tags.

line        a line of experiments, as the configuration names it
verb        the job's kind
job         one job: a fingerprint of verb and settings
variant     of an evaluation, which has a run for each
commit      of the sources
release, benchmark, shards, aligner, model, predictions, ...
            the collections that were read or made, by the first 12 characters of their ids
"""

from __future__ import annotations

import contextlib
import getpass
import logging
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
import yaml
from filelock import FileLock
from mlflow.environment_variables import MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT

from jobs.tracking.delivery import FAILED, FINISHED
from jobs.tracking.pages import experiment_page, run_page, without_password
from jobs.tracking.run import Run
from jobs.tracking.sender import Sender
from jobs.tracking.spool import Record, Spool, new_spool, spools_folder
from jobs.tracking.system import SystemMetrics
from jobs.tracking.tracker import git_commit, tracking_uri
from stableanimator.errors import StorageError

log = logging.getLogger(__name__)

_ONCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}
"""The sender asks again by itself; a minute is what a large file may take."""
_QUIET = {"mlflow": logging.WARNING, "mlflow.system_metrics": logging.WARNING, "mlflow.store.db": logging.CRITICAL}
"""Of a locked file MLflow writes a traceback for each try."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What is known of a job before it begins."""

    verb: str
    experiment: str
    key: str
    """A fingerprint of verb and configuration."""
    root: str = ""
    """Of its datasets, below which its runs are spooled; without one they are among the user's state files."""
    line: str = "main"
    """The line of experiments that it belongs to."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Its settings, flat."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The whole configuration."""


class JobRuns:
    """The runs that a job has begun. Use `job_runs`."""

    def __init__(self, job: Job, uri: str, sender: Sender, folder: Path) -> None:
        self.outputs: dict[str, str] = {}
        """Ids of what the job recorded as made, by name."""
        self._job, self._uri, self._sender, self._folder = job, uri, sender, folder
        self._open: dict[str, Run] = {}
        self._monitor = SystemMetrics(lambda: list(self._open.values()))
        self._started = time.monotonic()

    def open(self, variant: str | None = None, params: Mapping[str, Any] | None = None) -> Run:
        """A run, which ends with the job.

        An unfinished run of the same job and variant is continued, so a job that was killed and started again has
        the same runs; finished ones are left alone, and so are those of an equal job that is at work.

        Args:
            variant: what tells it from the job's other runs.
            params: what decides its numbers, where that is more than the job's settings.

        Raises:
            ConfigError: the tracker does not let us write.
            StorageError: the disk of the spool is full.
        """
        job, name = self._job, self._job.verb if variant is None else f"{self._job.verb} {variant}"
        tags = self._tags({} if variant is None else {"variant": variant})
        described = {
            "uri": without_password(self._uri), "experiment": job.experiment, "name": f"{name} ({job.line})",
            "started": time.time_ns() // 1_000_000, "tags": tags,
        }  # fmt: skip
        spool, lock = _spooled(self._folder, described)
        run = Run(spool.folder, self.outputs)
        run.params(job.params if params is None else params)
        run.text(yaml.safe_dump(dict(job.settings), sort_keys=False, allow_unicode=True), "config.yaml")
        self._sender.own(spool, lock)
        run.run_id = self._sender.runs.get(spool.name)
        self._open[spool.name] = run
        if not self._monitor.is_alive():
            self._monitor.start()
        return run

    def _tags(self, tags: dict[str, str]) -> dict[str, str]:
        job, commit = self._job, git_commit()
        return {
            "line": job.line,
            "verb": job.verb,
            "job": job.key,
            **tags,
            "commit": _short(commit),
            "mlflow.source.name": f"jobs.{job.verb}",
            "mlflow.source.type": "JOB",
            "mlflow.source.git.commit": commit,
            "mlflow.user": _user(),
        }

    @property
    def page(self) -> str:
        """Where MLflow shows what the job has begun: its run, or, where there are several, the experiment's runs. Where
        MLflow does not have it yet, its spool."""
        known = [self._sender.runs[name] for name in self._open if name in self._sender.runs]
        if not known or self._sender.experiment_id is None:
            return f"not in MLflow yet: {self._folder}"
        if len(self._open) == 1:
            return run_page(self._uri, self._sender.experiment_id, *known)
        return experiment_page(self._uri, self._sender.experiment_id)

    def end(self, status: str) -> None:
        """End all runs that were begun, and say what is not sent. Those of a job that succeeded know its seconds."""
        if self._monitor.is_alive():
            self._monitor.finish()
        for run in self._open.values():
            if status == FINISHED:
                run.metrics({"job_seconds": time.monotonic() - self._started})
            run.end(status)
        unsent = self._sender.drain()
        for name, run in self._open.items():
            run.run_id = self._sender.runs.get(name)
        if unsent is not None:
            log.warning("%s", unsent)


def _spooled(folder: Path, described: Record) -> tuple[Spool, FileLock | None]:
    try:
        return new_spool(folder, described)
    except OSError as error:
        raise StorageError(f"{folder} cannot be written ({error}); a job notes there what it logs") from error


def _short(commit: str) -> str:
    """Its first 12 characters, and whether the sources were changed since."""
    name, dash, changed = commit.partition("-")
    return name[:12] + dash + changed


def _user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # in a container of a user without a name
        return "unknown"


def quietly(uri: str) -> None:
    """Tell MLflow where runs go, to ask once, and to say no more than we do."""
    mlflow.set_tracking_uri(uri)  # for what takes no client, as external models
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.set(True)  # it would show passwords and open another page than ours
    for name, value in _ONCE.items():
        os.environ.setdefault(name, value)
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)


@contextlib.contextmanager
def job_runs(job: Job) -> Iterator[JobRuns]:
    """What a job's work begins its runs with. They are finished when the block is, and failed where it raises.

    A tracker that does not answer is waited for some seconds at the start and at the end, and never in between.

    Raises:
        ConfigError: the tracker does not let us in or is none, or the experiment was deleted.
    """
    uri = tracking_uri()
    quietly(uri)
    folder = spools_folder(job.root)
    with Sender(uri, folder, job.experiment) as sender:
        sender.greet()
        runs, ended = JobRuns(job, uri, sender, folder), FAILED
        try:
            yield runs
            ended = FINISHED
        finally:
            runs.end(ended)


@contextlib.contextmanager
def job_run(job: Job) -> Iterator[Run]:
    """The run of a job that has one."""
    with job_runs(job) as runs:
        yield runs.open()
