"""A run read back from MLflow."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlflow.tracking import MlflowClient

from jobs.tracking.tracker import tracking_uri


@dataclass(frozen=True, slots=True)
class StoredRun:
    """What MLflow has of a run, by the id that it gave."""

    run_id: str

    def curve(self, name: str) -> list[tuple[int, float]]:
        """The steps and values of a metric that was logged; empty where none was."""
        history = MlflowClient(tracking_uri()).get_metric_history(self.run_id, name)
        return [(point.step, point.value) for point in history]

    def artifact(self, name: str) -> bytes:
        """A file that was logged.

        Raises:
            MlflowException: there is none of that name.
        """
        with tempfile.TemporaryDirectory() as folder:
            return Path(MlflowClient(tracking_uri()).download_artifacts(self.run_id, name, folder)).read_bytes()
