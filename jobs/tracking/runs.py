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
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import mlflow
import yaml
from mlflow.entities import RunStatus
from mlflow.environment_variables import MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking import MlflowClient

from jobs.tracking.pages import experiment_page, run_page
from jobs.tracking.run import Run
from jobs.tracking.tracker import beginning, experiment_id, explained, git_commit, tracking_uri

_SAMPLING_S = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What is known of a job before it begins."""

    verb: str
    experiment: str
    key: str
    """A fingerprint of verb and configuration."""
    line: str = "main"
    """The line of experiments that it belongs to."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Its settings, flat."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The whole configuration."""


class JobRuns:
    """The runs that a job has begun. Use `job_runs`."""

    def __init__(self, job: Job, uri: str, experiment: str) -> None:
        self.outputs: dict[str, str] = {}
        """Ids of what the job recorded as made, by name."""
        self._job, self._uri, self._experiment = job, uri, experiment
        self._client = MlflowClient(tracking_uri=uri)
        self._open: dict[str, Run] = {}
        self._monitors: list[SystemMetricsMonitor] = []
        self._started = time.monotonic()

    def open(self, variant: str | None = None, params: Mapping[str, Any] | None = None) -> Run:
        """A run, which ends with the job.

        An unfinished run of the same job and variant is continued, so a job that was killed and started again has
        the same runs; finished ones are left alone.

        Args:
            variant: what tells it from the job's other runs.
            params: what decides its numbers, where that is more than the job's settings.

        Raises:
            ConfigError: the tracker does not answer, or does not let us write.
        """
        job, name = self._job, self._job.verb if variant is None else f"{self._job.verb} {variant}"
        with explained(self._uri):
            run_id, continued = self._begin(f"{name} ({job.line})", {} if variant is None else {"variant": variant})
        run = self._open[run_id] = Run(self._uri, run_id, self.outputs)
        monitor = SystemMetricsMonitor(run_id, _SAMPLING_S, resume_logging=continued, tracking_uri=self._uri)
        monitor.start()
        self._monitors.append(monitor)
        run.params(job.params if params is None else params)
        run.text(yaml.safe_dump(dict(job.settings), sort_keys=False, allow_unicode=True), "config.yaml")
        return run

    def _begin(self, name: str, tags: dict[str, str]) -> tuple[str, bool]:
        """Id of a run that goes on or is new, and whether it goes on."""
        job, commit = self._job, git_commit()
        tags = {"line": job.line, "verb": job.verb, "job": job.key, **tags, "commit": _short(commit)}
        tags |= {
            "mlflow.source.name": f"jobs.{job.verb}",
            "mlflow.source.type": "JOB",
            "mlflow.source.git.commit": commit,
            "mlflow.user": _user(),
        }
        finished = RunStatus.to_string(RunStatus.FINISHED)
        for run in self._client.search_runs([self._experiment], f"tags.job = '{job.key}'"):
            if run.info.run_name == name and run.info.status != finished:
                self._client.update_run(run.info.run_id, RunStatus.to_string(RunStatus.RUNNING))
                for tag, value in tags.items():
                    self._client.set_tag(run.info.run_id, tag, value)
                return run.info.run_id, True
        return self._client.create_run(self._experiment, tags=tags, run_name=name).info.run_id, False

    @property
    def page(self) -> str:
        """Where MLflow shows what the job has begun: its run, or, where there are several, the experiment's runs."""
        if len(self._open) == 1:
            return run_page(self._uri, self._experiment, *self._open)
        return experiment_page(self._uri, self._experiment)

    def end(self, status: int) -> None:
        """End all runs that were begun; those of a job that succeeded know how long it took."""
        for monitor in self._monitors:
            monitor.finish()
        for run_id, run in self._open.items():
            if status == RunStatus.FINISHED:
                run.metrics({"job_seconds": time.monotonic() - self._started})
            self._client.set_terminated(run_id, RunStatus.to_string(status))


def _short(commit: str) -> str:
    """Its first 12 characters, and whether the sources were changed since."""
    name, dash, changed = commit.partition("-")
    return name[:12] + dash + changed


def _user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # in a container of a user without a name
        return "unknown"


@contextlib.contextmanager
def job_runs(job: Job) -> Iterator[JobRuns]:
    """What a job's work begins its runs with. They are finished when the block is, and failed where it raises.

    Raises:
        ConfigError: the tracker does not answer or does not let us in, or the experiment was deleted.
    """
    uri = tracking_uri()
    mlflow.set_tracking_uri(uri)  # for what takes no client, as external models
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.set(True)  # it would show passwords and open another page than ours
    for name in ("mlflow", "mlflow.system_metrics"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with beginning(uri) as client:
        runs = JobRuns(job, uri, experiment_id(client, job.experiment))
    ended = RunStatus.FAILED
    try:
        yield runs
        ended = RunStatus.FINISHED
    finally:
        runs.end(ended)


@contextlib.contextmanager
def job_run(job: Job) -> Iterator[Run]:
    """The run of a job that has one."""
    with job_runs(job) as runs:
        yield runs.open()
