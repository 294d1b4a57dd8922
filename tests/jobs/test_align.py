"""The align job: what decides a run, and a whole short run from a release to a committed aligner."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from jobs.align import deciding, run
from jobs.running.config import Config, load
from jobs.tracking.runs import Job, job_run
from jobs.tracking.tracker import tracking_uri
from jobs.training.settings import AlignEngineSettings, AlignJobSettings
from pipelines.storage.store import Collection, Store
from stableanimator.alignment.aligner_folder import load_aligner_folder
from stableanimator.alignment.settings import EvaluationSettings
from stableanimator.alignment.training_data.pose_clips import PoseClips, write_pose_clips
from stableanimator.errors import InputError

Release = Callable[..., Collection]
SHORT = (
    "align.steps=4", "align.batch_size=8", "align.validation_pairs=8", "align.aligner.width=8", "align.aligner.heads=2",
    "align.evaluation.methods=[none, svd, learned]", "align.evaluation.drives_per_clip=2", "align.evaluation.worst=1",
    "align.engine.batch_per_pass=8", "align.engine.cpus_per_worker=1", "align.engine.gpus_per_worker=0",
    "align.engine.validate_every=2", "align.engine.checkpoint_every=4", "align.engine.loader_processes=0",
)  # fmt: skip


def test_what_leaves_the_result_alone_does_not_name_the_run() -> None:
    quiet = AlignJobSettings(
        engine=AlignEngineSettings(log_every=1, keep_last=9), name="x", evaluation=EvaluationSettings(clips=3)
    )
    assert deciding(quiet) == deciding(AlignJobSettings())


@pytest.mark.parametrize(
    "changed",
    [
        AlignJobSettings(engine=AlignEngineSettings(weight_decay=0.5)),
        AlignJobSettings(seed=1),
    ],
)
def test_what_changes_the_result_names_another_run(changed: AlignJobSettings) -> None:
    assert deciding(changed) != deciding(AlignJobSettings())


def test_more_poses_count_by_what_they_are_and_not_by_where(tmp_path: Path) -> None:
    def with_poses(name: str, value: float) -> AlignJobSettings:
        poses = np.full((3, 18, 3), value, np.float32)
        return AlignJobSettings(more_poses=(str(write_pose_clips(tmp_path / name, [("clip", poses)])),))

    here = deciding(with_poses("here", 0.5))
    assert here == deciding(with_poses("there", 0.5))
    assert here != deciding(with_poses("here", 0.6))
    assert here != deciding(AlignJobSettings())


@pytest.fixture(scope="module", autouse=True)
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


def configuration(tmp_path: Path, *overrides: str) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(f"experiment: align\nroot: {tmp_path}/root\n")
    return load(str(path), [*SHORT, *overrides])


def test_from_a_release_to_an_aligner(
    cluster: str, tmp_path: Path, release_with_poses: Release, caplog: pytest.LogCaptureFixture
) -> None:
    splits = {"a": "train", "b": "train", "c": "heldout", "d": "heldout"}
    release_with_poses(tmp_path / "root", [{"shot_id": shot, "split": split} for shot, split in splits.items()])
    more = write_pose_clips(tmp_path / "more", [("x", np.full((9, 18, 3), 0.5, np.float32))])
    config = configuration(tmp_path, "align.name=short", f"align.more_poses=[{more}]")
    with caplog.at_level("INFO"), job_run(Job(verb="align", experiment="align", key="whole")) as job:
        line = run(config, job)
    assert "3 training clips, 2 held-out clips" in caplog.text
    assert line.startswith("short ")
    assert "on 4 drives of 2 clips of 2 people; aligner in" in line

    folder = tmp_path / "root" / "aligners" / "short"
    assert PoseClips(folder / "poses_train").names == ["a", "b"]
    assert PoseClips(folder / "poses_heldout").names == ["c", "d"]
    collection = Store(config.root).open("aligners")
    assert collection.manifest["folder"] == "aligners/short/step_4"
    assert load_aligner_folder(folder / "step_4").settings.width == 8

    client = MlflowClient(tracking_uri=tracking_uri())
    logged = client.get_run(job.run_id)
    for name in ("dis_learned_clip", "dis_svd_frame", "validation_loss"):
        history = client.get_metric_history(job.run_id, name)
        assert sorted({point.step for point in history}) == [2, 4], name
    # What the last validation found, on the workers' weights, is what the committed weights give.
    rows = client.load_table(logged.info.experiment_id, "dis.json", [job.run_id])
    final = rows[(rows["scope"] == "clip") & (rows["group"] == "all")].set_index("alignment")["dis"].to_dict()
    for name, value in final.items():
        assert logged.data.metrics[f"dis_{name}_clip"] == pytest.approx(value, rel=1e-5), name
    assert collection.build()["drives"] == "4 drives of 2 clips of 2 people"
    found = {artifact.path for artifact in client.list_artifacts(job.run_id, "validation")}
    names = ("dis_{}.json", "dis_by_clip_{}.json", "worst_cases_{}.png")
    assert found == {f"validation/{name.format(step)}" for name in names for step in ("0000002", "0000004")}
    assert "dis.html" in {artifact.path for artifact in client.list_artifacts(job.run_id)}


def test_poses_that_are_not_there_are_one_line(tmp_path: Path, release_with_poses: Release) -> None:
    release_with_poses(tmp_path / "root", [{"shot_id": "a", "split": "train"}])
    with (
        job_run(Job(verb="align", experiment="align", key="missing")) as job,
        pytest.raises(InputError, match="hold no poses") as caught,
    ):
        run(configuration(tmp_path, f"align.more_poses=[{tmp_path}/nothing]"), job)
    assert "\n" not in str(caught.value)
