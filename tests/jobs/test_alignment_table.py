"""Table III on a benchmark set of known poses: which frames drive, who they show, and what the job logs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from mlflow.tracking import MlflowClient

from jobs.alignment_table import benchmark_drives, run
from jobs.running.config import Config, load
from jobs.tracking.runs import Job, job_run
from jobs.training import run_folder
from pipelines.storage.pair_tables import PAIRS
from pipelines.storage.store import Collection, Store
from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.aligner_folder import save_aligner_folder
from stableanimator.alignment.scoring.drives import Drive
from stableanimator.alignment.settings import AlignerSettings
from stableanimator.errors import InputError

Release = Callable[..., Collection]
CLIPS: list[dict[str, Any]] = [
    {"shot_id": "a", "split": "heldout", "uploader": "ann", "camera_translation": 0.02},
    {"shot_id": "b", "split": "heldout", "uploader": None, "camera_translation": None},
    {"shot_id": "t", "split": "train", "uploader": "tim"},
]


def benchmark(release: Collection, *pairs: dict[str, Any]) -> Collection:
    """A benchmark set: of each pair `clip` and `reference`, and whatever differs from all eight frames unmoved."""
    rows = []
    for number, pair in enumerate(pairs):
        video = release.store.uri(f"media/{pair['clip']}.mp4")
        row = {
            "pair_id": str(number), "reference_uri": f"{video}#frame={pair['reference']}", "driving_uri": video,
            "start": 10, "end": 26, "rotation": 0.0, "scale": 1.0, "tx": 0.0, "ty": 0.0, **pair,
        }  # fmt: skip
        rows.append({name: row.get(name) for name in PAIRS.names})
    table = pa.Table.from_pylist(rows, schema=PAIRS)
    return release.store.commit("benchmarks", content={"release": release.id}, tables={"pairs": table}, build={})


def drives_of(release: Collection, *pairs: dict[str, Any]) -> list[Drive]:
    return list(benchmark_drives(benchmark(release, *pairs), release, 0.01))


def noses(poses: torch.Tensor) -> list[float]:
    return [round(float(x), 5) for x in poses[..., 0, 0]]


def numbered() -> np.ndarray:
    """Eight frames whose nose goes to the right by 2 pixels a frame."""
    poses = np.full((8, 133, 3), (np.nan, np.nan, 0), np.float32)
    poses[:, :17, :2] = np.random.default_rng(0).uniform(20, 80, (17, 2))
    poses[:, :17, 2] = 0.9
    poses[:, 0, 0] = 30 + 2 * np.arange(8)
    return poses


@pytest.fixture
def release(tmp_path: Path, release_with_poses: Release) -> Collection:
    return release_with_poses(tmp_path / "root", [{**CLIPS[0], "poses": numbered()}, *CLIPS[1:]])


def test_the_reference_frame_does_not_drive(release: Collection) -> None:
    (drive,) = drives_of(release, {"clip": "a", "reference": 16})  # the fourth of frames 10, 12, 14 …
    assert noses(drive.reference[None]) == [0.36]
    assert noses(drive.truth) == [0.30, 0.32, 0.34, 0.38, 0.40, 0.42, 0.44]
    torch.testing.assert_close(drive.driven, drive.truth, equal_nan=True)


def test_only_the_pairs_own_frames_drive_and_the_reference_may_lie_outside(release: Collection) -> None:
    (drive,) = drives_of(release, {"clip": "a", "reference": 24, "end": 16})
    assert noses(drive.reference[None]) == [0.44]
    assert noses(drive.truth) == [0.30, 0.32, 0.34]


def test_the_pairs_misalignment_is_about_the_centroid_of_what_drives(release: Collection) -> None:
    (drive,) = drives_of(release, {"clip": "a", "reference": 10, "rotation": 90.0, "scale": 2.0, "tx": 0.1, "ty": -0.2})
    points = drive.truth[..., :2].double().reshape(-1, 2)
    offset = points - points.mean(0)
    expected = 2 * torch.stack([-offset[:, 1], offset[:, 0]], -1) + points.mean(0) + torch.tensor([0.1, -0.2])
    torch.testing.assert_close(drive.driven[..., :2].double().reshape(-1, 2), expected, atol=1e-5, rtol=0)


def test_people_and_cameras_are_those_of_the_clip(release: Collection) -> None:
    one, two = drives_of(release, {"clip": "a", "reference": 10}, {"clip": "b", "reference": 10})
    assert (one.clip, one.person, one.moving) == ("a", "ann", True)
    assert (two.clip, two.person, two.moving) == ("b", "video of b", False)  # nobody is named, no camera measured


def test_several_pairs_of_a_clip_are_drives_of_their_own(release: Collection) -> None:
    drives = drives_of(release, {"clip": "a", "reference": 10}, {"clip": "a", "reference": 12, "tx": 0.1})
    assert [noses(drive.reference[None]) for drive in drives] == [[0.30], [0.32]]


def test_pairs_without_poses_are_passed_over(tmp_path: Path, release_with_poses: Release) -> None:
    gap = numbered()
    gap[2] = (np.nan, np.nan, 0)
    alone = numbered()
    alone[1:] = (np.nan, np.nan, 0)
    release = release_with_poses(
        tmp_path, [{**CLIPS[0], "poses": gap}, {"shot_id": "alone", "split": "heldout", "poses": alone}]
    )
    pairs = [
        {"clip": "a", "reference": 14},  # nobody is seen in it
        {"clip": "a", "reference": 15},  # not measured
        {"clip": "alone", "reference": 10},  # no other frame
        {"clip": "a", "reference": 10},
    ]
    (drive,) = drives_of(release, *pairs)
    assert noses(drive.truth) == [0.32, 0.36, 0.38, 0.40, 0.42, 0.44]  # nor does the empty frame drive


def configuration(tmp_path: Path, *overrides: str) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(f"experiment: table\nroot: {tmp_path}/root\n")
    return load(str(path), overrides)


def untrained_aligner(root: str) -> Collection:
    settings, content = AlignerSettings(width=8, heads=2), {"untrained": True}
    with run_folder.claim(root, "aligners", "mine", content) as folder:
        save_aligner_folder(folder.begin(1), settings, Aligner(settings).state_dict(), {})
        folder.complete({"step": 1, "total_steps": 1}, keep_last=1)
        return run_folder.commit(Store(root), "aligners", folder, content, {})


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def client(database: str, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    return MlflowClient(tracking_uri=database)


def test_the_table_its_rows_and_its_pictures_are_logged(
    release: Collection, client: MlflowClient, tmp_path: Path
) -> None:
    aligner = untrained_aligner(release.store.root)
    pairs = benchmark(release, {"clip": "a", "reference": 10, "tx": 0.25}, {"clip": "b", "reference": 10, "ty": 0.125})
    with job_run(Job(verb="alignment_table", experiment="table", key="key")) as job:
        line = run(configuration(tmp_path, "align.evaluation.methods=[none, svd, learned]"), job)
    assert line.startswith(
        "Dis, one transform a clip, on 2 drives of 2 clips of 2 people of 2 pairs: none 0.1875, svd 0."
    )
    stored = client.get_run(job.run_id)
    assert stored.data.tags["aligner"] == aligner.id[:12]
    assert stored.data.tags["benchmark"] == pairs.id[:12]
    logged = {artifact.path for artifact in client.list_artifacts(job.run_id)}
    assert logged == {"config.yaml", "table_3.html", "table_3.json", "dis_by_clip.json", "worst_cases.png"}
    experiment = stored.info.experiment_id
    rows = client.load_table(experiment, "table_3.json", [job.run_id])
    none = rows[(rows["alignment"] == "none") & (rows["scope"] == "clip")].set_index("group")["dis"]
    assert none["all"] == pytest.approx((0.25 + 0.125) / 2, abs=1e-5)
    assert none["moving camera"] == pytest.approx(0.25, abs=1e-5)
    by_clip = client.load_table(experiment, "dis_by_clip.json", [job.run_id]).set_index("clip")
    assert by_clip["none, one a frame"].to_dict() == pytest.approx({"a": 0.25, "b": 0.125}, abs=1e-5)
    (judged,) = [client.get_logged_model(each.model_id) for each in stored.inputs.model_inputs]
    assert (judged.model_type, judged.tags["collection"]) == ("aligner", aligner.id)
    assert {metric.key for metric in judged.metrics} >= {"dis_learned_clip", "dis_learned_frame"}
    assert all(metric.key.startswith("dis_learned_") for metric in judged.metrics)
    metrics = stored.data.metrics
    assert metrics["dis_none_clip"] == pytest.approx(0.1875, abs=1e-5)
    assert metrics["dis_svd_clip"] < 0.02  # they sway by less
    assert {"dis_learned_clip", "dis_learned_frame", "dis_svd_frame_moving_camera"} <= set(metrics)


def test_without_worst_cases_no_picture_is_logged(release: Collection, client: MlflowClient, tmp_path: Path) -> None:
    untrained_aligner(release.store.root)
    benchmark(release, {"clip": "a", "reference": 10})
    with job_run(Job(verb="alignment_table", experiment="table", key="key")) as job:
        run(configuration(tmp_path, "align.evaluation.worst=0"), job)
    assert "worst_cases.png" not in {artifact.path for artifact in client.list_artifacts(job.run_id)}


def test_a_benchmark_set_without_poses_is_one_line(release: Collection, client: MlflowClient, tmp_path: Path) -> None:
    untrained_aligner(release.store.root)
    benchmark(release, {"clip": "a", "reference": 11})
    message = "none of the 1 pairs of .* has poses; curate"
    with (
        job_run(Job(verb="alignment_table", experiment="table", key="key")) as job,
        pytest.raises(InputError, match=message) as caught,
    ):
        run(configuration(tmp_path), job)
    assert "\n" not in str(caught.value)
