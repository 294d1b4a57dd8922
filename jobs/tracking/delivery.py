"""What becomes of a spool's records in MLflow. Each may be sent twice, and is there once:

a run           is looked for by the name of its spool, a tag, before it is made
a number        has the time at which it was logged: MLflow takes equal points for one
an artifact     replaces that of its name
a model         is looked for by its collection's id, a tag, before it is made
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import mlflow
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModel,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    RunStatus,
)
from mlflow.tracking import MlflowClient

from jobs.tracking.run import DIGEST_LENGTH
from jobs.tracking.spool import DAMAGED, Record, Spool
from jobs.tracking.tracker import experiment_id, is_refused

log = logging.getLogger(__name__)

_PARAMS_AT_ONCE = 100
_METRICS_AT_ONCE = 1000
_COLLECTION, _SPOOL = "collection", "spool"
_LOGGED_TABLES = "mlflow.loggedArtifacts"
FINISHED, FAILED = RunStatus.to_string(RunStatus.FINISHED), RunStatus.to_string(RunStatus.FAILED)


class Delivery:
    """Sends one spool, from where it was left.

    Args:
        is_live: whether the job of the spool of this name is at work, so that its run is none to go on with.
    """

    def __init__(self, client: MlflowClient, spool: Spool, is_live: Callable[[str], bool]) -> None:
        self.ended = False
        """Whether the last record, the run's end, is sent."""
        self._client, self._spool, self._is_live = client, spool, is_live
        self._described = spool.described()
        self._noted = spool.sent()
        self._models: dict[str, str] = {}

    @property
    def run_id(self) -> str:
        """In MLflow, once `begin` has returned."""
        found: str = self._noted["run"]
        return found

    def begin(self) -> None:
        """Find the run or make it. An unfinished run of the same job is continued, unless that job is at work.

        Raises:
            ConfigError: the experiment was deleted.
        """
        if self._noted["run"] is not None:
            return
        described, tags = self._described, {**self._described["tags"], _SPOOL: self._spool.name}
        experiment = experiment_id(self._client, described["experiment"])
        ours = self._client.search_runs([experiment], f"tags.{_SPOOL} = '{self._spool.name}'")
        run = min(ours, key=_age) if ours else self._unfinished(experiment)
        if run is None:
            run = self._client.create_run(
                experiment, start_time=described["started"], tags=tags, run_name=described["name"]
            )
        elif not ours:
            self._client.update_run(run.info.run_id, RunStatus.to_string(RunStatus.RUNNING))
            for name, value in tags.items():
                self._client.set_tag(run.info.run_id, name, value)
        steps = [metric.step for metric in run.data._metric_objs if metric.key.startswith("system/")]
        self._note(run=run.info.run_id, step=max(steps, default=-1) + 1)

    def _unfinished(self, experiment: str) -> Any:
        described = self._described
        for run in self._client.search_runs([experiment], f"tags.job = '{described['tags']['job']}'"):
            same = run.info.run_name == described["name"] and run.info.status != FINISHED
            if same and not self._is_live(run.data.tags.get(_SPOOL, "")):
                return run
        return None

    def send(self) -> Iterator[int]:
        """Send what there is, some records at a time; yields how many."""
        last = seen = None
        while last is None or seen is None:  # again where the end was seen: others had logged before it was written
            seen = last
            for some in _together(self._spool.records(self._noted["upto"])):
                if some[0][2]["kind"] == "end":
                    last = some
                else:
                    self._carry_out(some)
                    yield len(some)
            if last is None:
                return
        self._carry_out(last)
        self.ended = True
        yield len(last)

    def fail(self) -> None:
        """End a run whose job died."""
        self._send_end({"status": FAILED, "time": None})

    def _carry_out(self, some: list[tuple[str, int, Record]]) -> None:
        """Records of one kind, and what the tracker will never take is passed over."""
        kind = some[0][2]["kind"]
        try:
            if kind in ("metrics", "system"):
                self._send_metrics([record for _, _, record in some])
            elif kind != DAMAGED:
                getattr(self, f"_send_{kind}")(some[0][2])
        except Exception as error:
            if not (is_refused(error) or isinstance(error, FileNotFoundError)):
                raise
            if len(some) > 1:
                for one in some:
                    self._carry_out([one])
                return
            log.warning("the tracker does not take %s of run %s: %s", kind, self.run_id, " ".join(str(error).split()))
        name, end, _ = some[-1]
        self._note(upto={**self._noted["upto"], name: end})

    def _note(self, **changed: Any) -> None:
        self._noted |= changed
        self._spool.note_sent(self._noted)

    def _send_params(self, record: Record) -> None:
        known = self._client.get_run(self.run_id).data.params
        fresh = [Param(name, value) for name, value in record["values"].items() if name not in known]
        for begin in range(0, len(fresh), _PARAMS_AT_ONCE):
            self._client.log_batch(self.run_id, params=fresh[begin : begin + _PARAMS_AT_ONCE])

    def _send_metrics(self, records: Iterable[Record]) -> None:
        points = [point for record in records for point in self._points(record)]
        for begin in range(0, len(points), _METRICS_AT_ONCE):
            self._client.log_batch(self.run_id, metrics=points[begin : begin + _METRICS_AT_ONCE])

    def _points(self, record: Record) -> list[Metric]:
        model, dataset = record.get("model"), record.get("dataset") or (None, None)
        step = record["step"] + (self._noted["step"] if record["kind"] == "system" else 0)
        model_id = None if model is None else self._model_id(model)
        return [
            Metric(
                name, value, record["time"], step, model_id=model_id, dataset_name=dataset[0], dataset_digest=dataset[1]
            )
            for name, value in record["values"].items()
        ]

    def _send_artifact(self, record: Record) -> None:
        path = PurePosixPath(record["path"])
        with tempfile.TemporaryDirectory() as folder:
            named = Path(folder, path.name)  # MLflow takes a file's own name
            named.symlink_to(self._spool.file(record["file"]).resolve())
            self._client.log_artifact(self.run_id, str(named), str(path.parent) if len(path.parts) > 1 else None)

    def _send_table(self, record: Record) -> None:
        """As MLflow's `log_table`, which would add rows that are sent again to those that are there."""
        self._send_artifact(record)
        told = json.loads(self._client.get_run(self.run_id).data.tags.get(_LOGGED_TABLES, "[]"))
        one = {"path": record["path"], "type": "table"}
        if one not in told:
            self._client.set_tag(self.run_id, _LOGGED_TABLES, json.dumps([*told, one]))

    def _send_tag(self, record: Record) -> None:
        self._client.set_tag(self.run_id, record["name"], record["value"])

    def _send_dataset(self, record: Record) -> None:
        source = json.dumps({"uri": record["uri"], "sha256": record["sha256"]})
        digest = record["sha256"][:DIGEST_LENGTH]
        dataset = Dataset(name=record["name"], digest=digest, source_type="uri", source=source)
        tags = [InputTag(key="mlflow.data.context", value=record["context"])]
        self._client.log_inputs(self.run_id, [DatasetInput(dataset=dataset, tags=tags)])

    def _send_made(self, record: Record) -> None:
        self._client.log_outputs(self.run_id, [LoggedModelOutput(self._model(record["model"]), record["step"])])

    def _send_judged(self, record: Record) -> None:
        self._client.log_inputs(self.run_id, models=[LoggedModelInput(self._model(record["model"]))])

    def _model(self, described: Record) -> str:
        """Id of the model that MLflow has of a collection, which is made where there is none."""
        found = self._found(described["collection"])
        model_id: str = found[0].model_id if found else self._new_model(described)
        if found and found[0].status != LoggedModelStatus.READY:  # it was being made when its sender was killed
            self._client.finalize_logged_model(model_id, LoggedModelStatus.READY)
        self._models[described["collection"]] = model_id
        return model_id

    def _model_id(self, collection: str) -> str:
        """Of a model that this run said that it judges."""
        if collection not in self._models:
            self._models[collection] = self._found(collection)[0].model_id
        return self._models[collection]

    def _found(self, collection: str) -> list[LoggedModel]:
        """Models of a collection, oldest first, of any experiment: one may be judged elsewhere than it was trained."""
        experiments = [each.experiment_id for each in self._client.search_experiments()]
        found = self._client.search_logged_models(experiments, f"tags.{_COLLECTION} = '{collection}'")
        return sorted(found, key=lambda model: (model.creation_timestamp, model.model_id))

    def _new_model(self, described: Record) -> str:
        run = self._client.get_run(self.run_id)
        made = mlflow.create_external_model(
            # MLflow refuses dots, among others.
            name="".join(letter if letter.isalnum() or letter in "_-" else "-" for letter in described["name"]),
            source_run_id=self.run_id,
            experiment_id=run.info.experiment_id,
            params=run.data.params,
            tags={_COLLECTION: described["collection"], "folder": described["folder"]},
            model_type=described["type"],
        )
        for twice in self._found(described["collection"]):
            if twice.source_run_id == self.run_id and twice.model_id != made.model_id:
                self._client.delete_logged_model(twice.model_id)
        model_id: str = made.model_id
        return model_id

    def _send_end(self, record: Record) -> None:
        """A request that was given up here may have been carried out later: a run that was made twice is deleted."""
        info = self._client.get_run(self.run_id).info
        for run in self._client.search_runs([info.experiment_id], f"tags.{_SPOOL} = '{self._spool.name}'"):
            if run.info.run_id != self.run_id:
                self._client.delete_run(run.info.run_id)
        self._client.set_terminated(self.run_id, record["status"], record["time"])


def _age(run: Any) -> tuple[int, str]:
    return run.info.start_time, run.info.run_id


def _together(records: Iterable[tuple[str, int, Record]]) -> Iterator[list[tuple[str, int, Record]]]:
    """Numbers that follow one another in one list, up to what MLflow takes at once; anything else alone."""
    numbers: list[tuple[str, int, Record]] = []
    for one in records:
        record = one[2]
        points = sum(len(each["values"]) for _, _, each in numbers)
        number = record["kind"] in ("metrics", "system")
        if numbers and not (number and one[0] == numbers[-1][0] and points + len(record["values"]) <= _METRICS_AT_ONCE):
            yield numbers
            numbers = []
        if number:
            numbers.append(one)
        else:
            yield [one]
    if numbers:
        yield numbers
