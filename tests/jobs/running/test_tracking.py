"""Runs are read back with MLflow's own client: what a person comparing experiments would see."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient

from jobs.running import tracking
from stableanimator.errors import ConfigError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new one: MLflow's database is made by whoever asks first."""
    monkeypatch.setenv("SA_ROOT", str(tmp_path / "root"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("SA_GIT_COMMIT", "0123abc")
    return tmp_path / "root"


@pytest.fixture
def client(root: Path) -> MlflowClient:
    return _client(root)


def _client(root: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{root}/mlflow.db")


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


def test_runs_below_a_run_are_found_again_by_name(client: MlflowClient) -> None:
    with tracking.job_run("evaluate", "dance", "key") as run:
        with pytest.raises(KeyError), run.below("plain"):
            raise KeyError
        with run.below("plain") as plain, run.below("hjb") as hjb:
            plain.metrics({"psnr": 20.0})
            hjb.metrics({"psnr": 21.0})
    (experiment,) = {client.get_run(each.run_id).info.experiment_id for each in (run, plain, hjb)}
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run.run_id}'")
    by_name = {each.info.run_name: (each.info.status, each.data.metrics) for each in found}
    assert by_name == {"plain": ("FINISHED", {"psnr": 20.0}), "hjb": ("FINISHED", {"psnr": 21.0})}
    assert len(found) == 2
    assert not client.get_run(run.run_id).data.metrics


TOGETHER = """
import multiprocessing, sys
from jobs.running import tracking

def job(number, together):
    together.wait()
    with tracking.job_run("curate", "dance", f"key-{number}") as run:
        run.metrics({"number": number})

context = multiprocessing.get_context("fork")  # each would else import MLflow for seconds
together = context.Barrier(4)
jobs = [context.Process(target=job, args=(number, together)) for number in range(4)]
for each in jobs: each.start()
for each in jobs: each.join()
sys.exit(str([each.exitcode for each in jobs]) if any(each.exitcode for each in jobs) else 0)
"""


def test_jobs_that_begin_together_on_a_new_root_are_runs_under_one_parent(root: Path) -> None:
    subprocess.run([sys.executable, "-c", TOGETHER], check=True, cwd=Path(tracking.__file__).parents[2], timeout=300)
    client = _client(root)
    experiment = client.get_experiment_by_name("dance")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL)
    parents = [run for run in runs if run.data.tags.get("sa.role") == "parent"]
    jobs = [run for run in runs if run not in parents]
    assert len(parents) == 1
    assert sorted(run.data.metrics["number"] for run in jobs) == [0, 1, 2, 3]
    assert {run.data.tags["mlflow.parentRunId"] for run in jobs} == {parents[0].info.run_id}
    assert {run.info.status for run in jobs} == {"FINISHED"}


def test_parents_that_were_made_at_one_moment_become_one(client: MlflowClient) -> None:
    """As on a server, which has no lock: three jobs saw no parent, and each made one; one of them runs on."""
    experiment = client.create_experiment("dance")
    made = [client.create_run(experiment, start_time=time, tags={"sa.role": "parent"}) for time in (30, 10, 20)]
    children = [
        client.create_run(experiment, tags={"mlflow.parentRunId": parent.info.run_id}).info.run_id for parent in made
    ]
    with tracking.job_run("train", "dance", "key") as run:
        late = client.create_run(experiment, start_time=5, tags={"sa.role": "parent"}).info.run_id  # a slow one's
    parents = client.search_runs([experiment], "tags.`sa.role` = 'parent'")
    assert [parent.info.run_id for parent in parents] == [late]
    below = {client.get_run(each).data.tags["mlflow.parentRunId"] for each in [*children, run.run_id]}
    assert below == {late}


def test_a_deleted_experiment_is_one_line_for_the_user(client: MlflowClient) -> None:
    client.delete_experiment(client.create_experiment("dance"))
    with pytest.raises(ConfigError, match="'dance' was deleted"), tracking.job_run("train", "dance", "key"):
        pass
