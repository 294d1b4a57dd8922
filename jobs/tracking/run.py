"""One MLflow run, as any process of a job can hold it."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, LoggedModelOutput, Metric, Param
from mlflow.tracking import MlflowClient

from jobs.tracking.tracker import tracking_uri

_DIGEST_LENGTH = 32  # MLflow refuses dataset digests over 36 characters
_SHORT = 12
"""Characters of an id in a tag, where people read it: enough for every setting that names a collection."""
_PARAMS_AT_ONCE = 100
_METRICS_AT_ONCE = 1000
_COLLECTION = "collection"


class Run:
    """A handle on one MLflow run that any process can hold: it carries the tracking URI and the run's id."""

    def __init__(self, uri: str, run_id: str, outputs: dict[str, str] | None = None) -> None:
        self.uri = uri
        self.run_id = run_id
        self.outputs = {} if outputs is None else outputs
        """Ids of what this process recorded as made, by name."""
        self._digests: dict[str, str] = {}
        self._client = MlflowClient(tracking_uri=uri)

    def __reduce__(self) -> tuple[type[Run], tuple[str, str]]:
        return Run, (self.uri, self.run_id)

    def params(self, values: Mapping[str, Any]) -> None:
        """Log flat parameters in their order, which is the one of MLflow's captions (its tables sort by name). A value
        that this run already has is left as it is (a restart logs them again)."""
        known = self._client.get_run(self.run_id).data.params
        fresh = [Param(name, str(value)) for name, value in values.items() if name not in known]
        for begin in range(0, len(fresh), _PARAMS_AT_ONCE):
            self._client.log_batch(self.run_id, params=fresh[begin : begin + _PARAMS_AT_ONCE])

    def metrics(
        self,
        values: Mapping[str, float | None],
        step: int = 0,
        model_id: str | None = None,
        dataset: str | None = None,
    ) -> None:
        """Log numbers of one step. NaN and None are left out: what is missing is recorded as missing.

        Args:
            model_id: of the model that they judge (`judges_model`): MLflow shows them beside it too.
            dataset: what it was judged on: the name of one that this process recorded (`dataset`).
        """
        now = time.time_ns() // 1_000_000
        digest = None if dataset is None else self._digests[dataset]
        points = [
            Metric(name, float(value), now, step, model_id=model_id, dataset_name=dataset, dataset_digest=digest)
            for name, value in values.items()
            if value is not None and value == value
        ]
        for begin in range(0, len(points), _METRICS_AT_ONCE):
            self._client.log_batch(self.run_id, metrics=points[begin : begin + _METRICS_AT_ONCE])

    def table(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Log rows as the table artifact `<name>.json`, which the MLflow page shows and compares."""
        names = dict.fromkeys(name for row in rows for name in row)
        if names:
            columns = {name: [row.get(name) for row in rows] for name in names}
            self._client.log_table(self.run_id, data=columns, artifact_file=f"{name}.json")

    def file(self, local_path: str | Path, folder: str = "") -> None:
        """Log a local file as an artifact."""
        self._client.log_artifact(self.run_id, str(local_path), artifact_path=folder or None)

    def video(self, local_path: str | Path, name: str, step: int) -> None:
        """Log an mp4 as the artifact `videos/<name>_step_<step>.mp4`: MLflow shows artifacts in the order of names."""
        with tempfile.TemporaryDirectory() as folder:
            named = Path(folder, f"{name}_step_{step:07d}.mp4")
            named.symlink_to(Path(local_path).resolve())
            self.file(named, "videos")

    def text(self, text: str, name: str) -> None:
        """Log a text (YAML, HTML) as the artifact `name`."""
        self._client.log_text(self.run_id, text, name)

    def picture(self, picture: npt.NDArray[np.uint8], name: str) -> None:
        """Log an RGB picture [H, W, 3] as the artifact `name`. (MLflow's series of pictures, by key and step, are shown
        below all of a run's parameters.)"""
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
        """Record a dataset by its manifest's SHA-256: MLflow gets 32 characters of `digest` and all of it in the
        dataset's source; the tag `name`, by which people group and filter, its first 12."""
        source = json.dumps({"uri": uri, "sha256": digest})
        dataset = Dataset(name=name, digest=digest[:_DIGEST_LENGTH], source_type="uri", source=source)
        tags = [InputTag(key="mlflow.data.context", value=context)]
        self._client.log_inputs(self.run_id, [DatasetInput(dataset=dataset, tags=tags)])
        self.tag(name, digest[:_SHORT])
        self._digests[name] = digest[:_DIGEST_LENGTH]
        if context == "output":
            self.outputs[name] = digest

    def makes_model(self, kind: str, name: str, collection_id: str, folder: str, step: int) -> str:
        """Record that this run made a model, with this run's parameters; returns its id in MLflow.

        A model of the same collection, which an earlier run made, is not made again.

        Args:
            kind: `model`, `aligner`, `encoders`, `tiny_decoder`.
            name: of its folder.
            collection_id: of the finished training.
            folder: of its weights, which stay where they are.
            step: optimiser steps of its training.
        """
        model_id = self._model(collection_id) or self._new_model(kind, name, collection_id, folder)
        self._client.log_outputs(self.run_id, [LoggedModelOutput(model_id, step)])
        return model_id

    def judges_model(self, collection_id: str, kind: str = "model") -> str:
        """Record that this run judges a model; returns its id in MLflow, for `metrics`.

        One that no training has recorded in this tracker (weights from elsewhere) is recorded now.
        """
        model_id = self._model(collection_id) or self._new_model(kind, collection_id[:_SHORT], collection_id)
        self._client.log_inputs(self.run_id, models=[LoggedModelInput(model_id)])
        self.tag(kind, collection_id[:_SHORT])
        return model_id

    def _model(self, collection_id: str) -> str | None:
        """Of any experiment: a model may be judged in another one than it was trained in."""
        experiments = [each.experiment_id for each in self._client.search_experiments()]
        found = self._client.search_logged_models(experiments, f"tags.{_COLLECTION} = '{collection_id}'")
        return found[0].model_id if found else None

    def _new_model(self, kind: str, name: str, collection_id: str, folder: str = "") -> str:
        run = self._client.get_run(self.run_id)
        made = mlflow.create_external_model(
            name="".join(c if c.isalnum() or c in "_-" else "-" for c in name),  # MLflow refuses dots, among others
            source_run_id=self.run_id,
            experiment_id=run.info.experiment_id,
            params=run.data.params,
            tags={_COLLECTION: collection_id, "folder": folder},
            model_type=kind,
        )
        model_id: str = made.model_id
        return model_id


def resume(run_id: str, uri: str | None = None) -> Run:
    """The run that the driver created, on a worker."""
    return Run(uri or tracking_uri(), run_id)
