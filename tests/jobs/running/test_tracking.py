"""Runs are read back with MLflow's own client: what a person comparing experiments would see."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from jobs.running import tracking


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.setenv("SA_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("SA_GIT_COMMIT", "0123abc")
    return MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")


def test_a_run_holds_what_was_logged_under_one_parent(client: MlflowClient, tmp_path: Path) -> None:
    digest = "ab" * 32
    with tracking.job_run("curate", "dance", "key-1") as run:
        run.params({"threshold": 0.7})
        run.metrics({"loss": 2.5, "absent": float("nan")}, step=4)
        run.table("verdicts", [{"reason": "camera_motion", "shots": 3}])
        run.dataset("release", "file:///data/releases/x", digest)
    with tracking.job_run("train", "dance", "key-2") as second:
        pass

    stored = client.get_run(run.run_id)
    assert stored.info.status == "FINISHED"
    assert stored.data.params == {"threshold": "0.7"}
    assert stored.data.metrics == {"loss": 2.5}
    assert client.get_metric_history(run.run_id, "loss")[0].step == 4
    assert stored.data.tags["sa.git_commit"] == "0123abc"
    assert stored.inputs.dataset_inputs[0].dataset.digest == digest[:32]
    assert stored.data.tags["dataset.release"] == digest
    assert client.load_table(stored.info.experiment_id, "verdicts.json", [run.run_id])["shots"].tolist() == [3]

    parents = {client.get_run(each.run_id).data.tags["mlflow.parentRunId"] for each in (run, second)}
    assert len(parents) == 1
    assert client.get_run(parents.pop()).data.tags["sa.role"] == "parent"
    assert Path(stored.info.artifact_uri.removeprefix("file://")).is_relative_to(tmp_path)


def test_an_interrupted_job_continues_its_run_and_a_finished_one_does_not(client: MlflowClient) -> None:
    with pytest.raises(KeyboardInterrupt), tracking.job_run("train", "dance", "same") as first:
        raise KeyboardInterrupt
    with tracking.job_run("train", "dance", "same") as second:
        second.metrics({"loss": 1.0})
    with tracking.job_run("train", "dance", "same") as third:
        pass
    assert second.run_id == first.run_id
    assert third.run_id != first.run_id
    assert client.get_run(first.run_id).info.status == "FINISHED"


def test_a_worker_logs_into_the_drivers_run(client: MlflowClient) -> None:
    with tracking.job_run("train", "dance", "key") as run:
        tracking.resume(run.run_id).metrics({"loss": 0.5}, step=9)
    assert client.get_metric_history(run.run_id, "loss")[0].step == 9
