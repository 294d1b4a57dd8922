"""Runs are read back with MLflow's own client: what a person comparing experiments would see."""

from __future__ import annotations

import contextlib
import json
import math
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from mlflow.entities import Run as Stored
from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient

from jobs.tracking import runs as tracking
from jobs.tracking.run import Run
from jobs.tracking.runs import Job, job_run, job_runs
from jobs.tracking.stored import StoredRun
from stableanimator.errors import ConfigError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new one: MLflow's database is made by whoever asks first."""
    monkeypatch.setenv("SA_ROOT", str(tmp_path / "root"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("SA_GIT_COMMIT", "0123456789abcdef")
    return tmp_path / "root"


@pytest.fixture
def client(root: Path) -> MlflowClient:
    return _client(root)


def _client(root: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{root}/mlflow.db")


def _job(verb: str = "train", key: str = "key", **more: object) -> Job:
    return Job(verb=verb, experiment="dance", key=key, **more)  # type: ignore[arg-type]


def _all(client: MlflowClient) -> list[Stored]:
    experiment = client.get_experiment_by_name("dance")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL))


def test_a_run_holds_what_was_logged_and_stands_alone(client: MlflowClient, tmp_path: Path) -> None:
    digest = "ab" * 32
    with job_run(_job("curate", line="small", params={"b": "2", "a": 1}, settings={"a": 1, "name": "Tänze"})) as run:
        run.params({"threshold": 0.7, "a": 5})
        run.metrics({"loss": 2.5, "diverged": float("nan"), "none": None}, step=4)
        run.table("verdicts", [{"reason": "camera_motion", "shots": 3}])
        run.dataset("release", "file:///data/releases/x", digest)

    (stored,) = _all(client)
    assert stored.info.run_id == run.run_id
    assert (stored.info.run_name, stored.info.status) == ("curate (small)", "FINISHED")
    assert stored.data.params == {"threshold": "0.7", "a": "1", "b": "2"}
    assert stored.data.metrics.keys() == {"loss", "diverged", "job_seconds"}
    assert math.isnan(stored.data.metrics["diverged"])
    assert (stored.data.metrics["loss"], client.get_metric_history(run.run_id, "loss")[0].step) == (2.5, 4)
    shown = {name: value for name, value in stored.data.tags.items() if not name.startswith("mlflow.")}
    assert shown == {
        "line": "small", "verb": "curate", "job": "key", "commit": "0123456789ab", "release": digest[:12],
        "spool": Path(run.folder).name,
    }  # fmt: skip
    assert stored.data.tags["mlflow.source.git.commit"] == "0123456789abcdef"
    assert "mlflow.parentRunId" not in stored.data.tags
    (logged,) = stored.inputs.dataset_inputs
    assert (logged.dataset.name, logged.dataset.digest) == ("release", digest[:32])
    assert json.loads(logged.dataset.source) == {"uri": "file:///data/releases/x", "sha256": digest}
    table = json.loads(StoredRun(run.run_id).artifact("verdicts.json"))
    assert table == {"columns": ["reason", "shots"], "data": [["camera_motion", 3]]}
    assert json.loads(stored.data.tags["mlflow.loggedArtifacts"]) == [{"path": "verdicts.json", "type": "table"}]
    assert yaml.safe_load(StoredRun(run.run_id).artifact("config.yaml")) == {"a": 1, "name": "Tänze"}
    assert Path(stored.info.artifact_uri.removeprefix("file://")).is_relative_to(tmp_path)


def test_a_commit_that_is_not_whole_is_told(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SA_GIT_COMMIT", "0123456789abcdef-dirty")
    with job_run(_job()) as run:
        pass
    assert client.get_run(run.run_id).data.tags["commit"] == "0123456789ab-dirty"


def test_a_user_without_a_name_is_unknown(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(number: int) -> None:
        raise KeyError(f"uid not found: {number}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    with job_run(_job()) as run:
        pass
    assert client.get_run(run.run_id).data.tags["mlflow.user"] == "unknown"


def test_more_than_mlflow_takes_at_once(client: MlflowClient) -> None:
    params = {f"curate.select.rule_{number:03d}": "x" * 7000 for number in range(250)}
    with job_run(_job(params=params)) as run:
        run.metrics({f"metric_{number}": number for number in range(1200)})
    stored = client.get_run(run.run_id)
    assert stored.data.params.keys() == params.keys()
    assert {len(value) for value in stored.data.params.values()} == {6000}
    assert len(stored.data.metrics) == 1201


def test_an_interrupted_job_continues_its_run_and_a_finished_one_does_not(client: MlflowClient) -> None:
    interrupted = _job(key="same", params={"a": 1}, line="what if it's `quoted` %")
    with contextlib.suppress(KeyboardInterrupt), job_run(interrupted) as first:
        first.params({"rows": 12})
        raise KeyboardInterrupt
    assert client.get_run(first.run_id).info.status == "FAILED"
    assert "job_seconds" not in client.get_run(first.run_id).data.metrics
    with job_run(interrupted) as second:
        assert client.get_run(first.run_id).info.status == "RUNNING"
        second.metrics({"loss": 1.0})
        second.params({"rows": 13})  # what is known stays
    with job_run(interrupted) as third:
        pass
    assert second.run_id == first.run_id
    assert third.run_id != first.run_id
    assert client.get_run(first.run_id).info.status == "FINISHED"
    assert client.get_run(first.run_id).data.params == {"a": "1", "rows": "12"}


def test_a_job_of_several_variants_has_a_run_for_each_and_none_beside(client: MlflowClient) -> None:
    def evaluate(fail: bool) -> dict[str, str]:
        with job_runs(_job("evaluate", params={"evaluate.protocol": "disco"}, settings={"a": 1})) as runs:
            begun = {name: runs.open(name, {"face_optimisation": name == "hjb"}) for name in ("plain", "hjb")}
            begun["plain"].metrics({"psnr": 20.0})
            if fail:
                raise KeyError("killed")
            begun["hjb"].metrics({"psnr": 21.0})
            begun["hjb"].dataset("metrics", "file:///metrics/x", "cd" * 32, context="output")
            assert runs.outputs == {"metrics": "cd" * 32}
            assert runs.page.endswith("/runs?workflowType=machine_learning")
        return {name: run.run_id for name, run in begun.items()}

    with pytest.raises(KeyError):
        evaluate(fail=True)
    assert {run.info.status for run in _all(client)} == {"FAILED"}  # also the one that had all its numbers
    again = evaluate(fail=False)
    stored = {run.data.tags["variant"]: run for run in _all(client)}
    assert {name: run.info.run_id for name, run in stored.items()} == again
    assert len(_all(client)) == 2
    assert {name: run.data.metrics["psnr"] for name, run in stored.items()} == {"plain": 20.0, "hjb": 21.0}
    for name, run in stored.items():
        assert (run.info.status, run.info.run_name) == ("FINISHED", f"evaluate {name} (main)")
        assert run.data.metrics.keys() == {"psnr", "job_seconds"}
        assert run.data.params == {"face_optimisation": str(name == "hjb")}
        assert run.data.tags["job"] == "key"
        assert "mlflow.parentRunId" not in run.data.tags
        assert yaml.safe_load(StoredRun(run.info.run_id).artifact("config.yaml")) == {"a": 1}


def test_a_worker_logs_into_the_drivers_run(client: MlflowClient) -> None:
    with job_run(_job()) as run:
        pickle.loads(pickle.dumps(run)).metrics({"loss": 0.5}, step=9)
    assert client.get_metric_history(run.run_id, "loss")[0].step == 9
    assert StoredRun(run.run_id).curve("loss") == [(9, 0.5)]


def test_a_model_is_shown_with_what_judged_it(client: MlflowClient) -> None:
    trained, elsewhere = "12" * 32, "34" * 32
    with job_run(_job("train", "t", params={"train.loop.learning_rate": "0.1"})) as training:
        training.makes_model("model", "small.v2", trained, "/models/small.v2/step_9", 9)
    with job_run(_job("train", "again")) as later:  # which finds the training finished
        later.makes_model("model", "small.v2", trained, "/models/small.v2/step_9", 9)
    with job_runs(Job(verb="evaluate", experiment="another", key="e")) as runs:
        plain, hjb = runs.open("plain"), runs.open("hjb")
        for run, psnr in ((plain, 20.0), (hjb, 21.0)):
            run.dataset("benchmark", "file:///pairs", "ef" * 32)
            run.judges_model(trained)
            run.metrics({"psnr": psnr, "ssim": None}, model=trained, dataset="benchmark")
        hjb.judges_model(elsewhere)

    (made,) = [each.model_id for each in client.get_run(training.run_id).outputs.model_outputs]
    model = client.get_logged_model(made)
    assert (model.name, model.model_type, model.source_run_id) == ("small-v2", "model", training.run_id)
    assert model.params == {"train.loop.learning_rate": "0.1"}
    assert {name: model.tags[name] for name in ("collection", "folder")} == {
        "collection": trained, "folder": "/models/small.v2/step_9"
    }  # fmt: skip
    assert {(metric.dataset_name, metric.dataset_digest) for metric in model.metrics} == {("benchmark", "ef" * 16)}
    judged = {(metric.run_id, metric.key, metric.value) for metric in model.metrics}
    assert judged == {(plain.run_id, "psnr", 20.0), (hjb.run_id, "psnr", 21.0)}
    outputs = [(each.model_id, each.step) for each in client.get_run(later.run_id).outputs.model_outputs]
    assert outputs == [(made, 9)]
    judged_by_hjb = {each.model_id for each in client.get_run(hjb.run_id).inputs.model_inputs}
    (stranger,) = judged_by_hjb - {made}
    assert len(judged_by_hjb) == 2
    assert client.get_logged_model(stranger).tags["collection"] == elsewhere
    assert client.get_run(plain.run_id).data.tags["model"] == trained[:12]


def test_videos_sort_by_step(client: MlflowClient, tmp_path: Path) -> None:
    (tmp_path / "000.mp4").write_bytes(b"film")
    with job_run(_job()) as run:
        for step in (12500, 500):
            run.video(tmp_path / "000.mp4", "dance", step)
    names = [each.path for each in client.list_artifacts(run.run_id, "videos")]
    assert names == ["videos/dance_step_0000500.mp4", "videos/dance_step_0012500.mp4"]
    assert StoredRun(run.run_id).artifact(names[0]) == b"film"


def test_a_long_job_knows_what_the_machine_did(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    with job_runs(_job("evaluate")) as runs:
        begun = [runs.open(name) for name in ("plain", "hjb")]
        time.sleep(1.5)
    for run in begun:
        assert any(name.startswith("system/cpu") for name in client.get_run(run.run_id).data.metrics)


TOGETHER = """
import multiprocessing, sys
from jobs.tracking.runs import Job, job_run

def job(number, together):
    together.wait()
    with job_run(Job(verb="curate", experiment="dance", key=f"key-{number}")) as run:
        run.metrics({"number": number})

context = multiprocessing.get_context("fork")  # each would else import MLflow for seconds
together = context.Barrier(4)
jobs = [context.Process(target=job, args=(number, together)) for number in range(4)]
for each in jobs: each.start()
for each in jobs: each.join()
sys.exit(str([each.exitcode for each in jobs]) if any(each.exitcode for each in jobs) else 0)
"""


def test_jobs_that_begin_together_on_a_new_root_have_a_run_each(root: Path) -> None:
    begin_together()
    assert_four_runs(_client(root))


def begin_together() -> None:
    """Four processes that begin a job at one moment."""
    subprocess.run([sys.executable, "-c", TOGETHER], check=True, cwd=Path(tracking.__file__).parents[2], timeout=300)


def assert_four_runs(client: MlflowClient) -> None:
    """Of `begin_together`, and nothing beside them."""
    runs = _all(client)
    assert sorted(run.data.metrics["number"] for run in runs) == [0, 1, 2, 3]
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_experiments_of_earlier_versions_are_left_as_they_are(client: MlflowClient, tmp_path: Path) -> None:
    """They had a run that was the parent of all others."""
    experiment = client.create_experiment("dance", artifact_location=str(tmp_path / "artifacts"))
    parent = client.create_run(experiment, tags={"sa.role": "parent"})
    old = client.create_run(experiment, tags={"mlflow.parentRunId": parent.info.run_id, "sa.key": "key"})
    before = [client.get_run(each.info.run_id).to_dictionary() for each in (parent, old)]
    with job_run(_job()) as run:
        run.metrics({"loss": 1.0})
    assert [client.get_run(each.info.run_id).to_dictionary() for each in (parent, old)] == before
    assert len(_all(client)) == 3


def test_a_deleted_experiment_is_one_line_for_the_user(client: MlflowClient) -> None:
    client.delete_experiment(client.create_experiment("dance"))
    with pytest.raises(ConfigError, match="'dance' was deleted"), job_run(_job()):
        pass


def test_a_run_travels_to_other_processes() -> None:
    assert pickle.loads(pickle.dumps(Run("/data/tracking/1"))).folder == "/data/tracking/1"
