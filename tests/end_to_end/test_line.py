"""From a list of videos to rows in MLflow: the six jobs, one after another, on a Ray head of their own."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import pytest
from mlflow.tracking import MlflowClient

from jobs.local_ray import local_head
from jobs.submit import VERBS
from pipelines.store import Store, file_sha256

CONFIGS = Path(__file__).resolve().parents[2] / "jobs" / "configs"
REPOSITORY = CONFIGS.parents[1]
SHORT = (  # the real settings with fewer steps: what is tested is that every part hands over to the next
    "align.steps=4", "align.evaluation_pairs=50", "align.engine.validate_every=4", "align.engine.checkpoint_every=4",
    "train.loop.steps=4", "train.loop.engine.checkpoint_every=4", "train.loop.engine.validate_every=4",
    "animate.settings.sampler.steps=2", "animate.settings.face_optimisation.denoising_steps=1",
    "animate.settings.face_optimisation.optimisation_steps=3",
)  # fmt: skip


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        return


@pytest.fixture
def served(tmp_path: Path, real_data: Path) -> Iterator[tuple[Path, str]]:
    """A folder with a good and a truncated clip, and a server with another good clip."""
    folder, web = tmp_path / "folder", tmp_path / "web"
    folder.mkdir()
    web.mkdir()
    videos = real_data / "media" / "videos"
    (folder / "dance.mp4").symlink_to(videos / "lp_s13.mp4")
    (folder / "cut short.mp4").write_bytes((videos / "lp_s13.mp4").read_bytes()[:20_000])
    (web / "talk.mp4").symlink_to(videos / "lp_d18.mp4")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(web)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def _submit(verb: str, overrides: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "jobs.submit", verb, "--config", str(CONFIGS / "real_clips.yaml"), *overrides]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def _submit_plainly(verb: str, overrides: tuple[str, ...], environment: dict[str, str]) -> None:
    ray = str(Path(sys.executable).with_name("ray"))
    runtime = json.dumps({"env_vars": environment, "excludes": [".venv", ".git", "tests"]})
    config = "jobs/configs/real_clips.yaml"
    command = [
        ray, "job", "submit", "--working-dir", ".", "--runtime-env-json", runtime,
        "--", "python", "-m", f"jobs.{verb}", "--config", config, *overrides,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.timeout(1200)
def test_from_urls_to_mlflow(
    served: tuple[Path, str], real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = served
    environment = {"SA_ROOT": str(tmp_path), "SA_REAL_DATA": str(real_data)}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    crawl = (
        f'curate.crawl.sources=["{folder}", "{url}/talk.mp4", "{url}/gone.mp4"]',
        "curate.crawl.allow_private_addresses=true",
        "curate.crawl.retries=0",
    )
    with local_head(num_cpus=4):
        _submit_plainly("curate", (*crawl, *SHORT), environment)
        for verb in VERBS[1:]:
            _submit(verb, SHORT)

    store = Store(str(tmp_path / "real_clips"))
    release = store.open("releases")
    sources = release.table("sources").to_pylist()
    assert sorted((row["status"], row["reason"]) for row in sources) == [
        ("failed", "http_404"),
        ("fetched", None),
        ("fetched", None),
        ("fetched", None),
    ]
    verdicts = release.table("verdicts").to_pylist()
    assert sorted(row["verdict"] for row in verdicts) == ["accept", "accept", "reject"]
    assert (Path(release.uri) / "report.html").stat().st_size > 5_000

    predictions = store.open("predictions").table("predictions").to_pylist()
    assert [row["face_optimisation"] for row in predictions] == [False, True]
    for row in predictions:
        assert row["status"] == "done", row["detail"]
        with av.open(row["prediction_uri"]) as video:
            assert video.streams.video[0].codec_context.name == "h264"
            assert sum(1 for _ in video.decode(video=0)) == len(row["frame_index"])
    optimised = predictions[1]
    assert optimised["face_loss_after"] < optimised["face_loss_before"]

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("real_clips")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    children = {run.info.run_name: run for run in runs if "mlflow.parentRunId" in run.data.tags}
    assert set(children) == set(VERBS)
    assert len({run.data.tags["mlflow.parentRunId"] for run in children.values()}) == 1
    assert all(run.info.status == "FINISHED" for run in children.values())
    assert children["encode"].data.tags["dataset.release"] == release.id
    assert {"plain/psnr", "hjb/psnr"} <= set(children["evaluate"].data.metrics)
    assert len(client.get_metric_history(children["train"].info.run_id, "loss")) >= 1


@pytest.mark.slow
def test_drawn_clips_are_curated_without_weights(tmp_path: Path) -> None:
    """What `make demo` does on a machine without real clips."""
    environment = {**os.environ, "SA_ROOT": str(tmp_path), "SA_REAL_DATA": "", "MLFLOW_TRACKING_URI": ""}
    clips = tmp_path / "drawn_clips" / "sources"
    render = [sys.executable, "-m", "stableanimator.synthetic.render", "--count", "6", "--seed", "3", "--out"]
    subprocess.run([*render, str(clips)], env=environment, cwd=REPOSITORY, check=True, capture_output=True)
    command = [sys.executable, "-m", "jobs.curate", "--config", str(CONFIGS / "drawn_clips.yaml")]
    done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    release = Store(str(tmp_path / "drawn_clips")).open("releases")
    assert release.table("sources").num_rows == 6
    listed = csv.DictReader((clips / "clips.csv").read_text().splitlines())
    moving = {file_sha256(clips / row["file"]): row["camera"] != "static" for row in listed}
    verdicts = release.table("verdicts").to_pylist()
    assert {row["video_id"] for row in verdicts} == set(moving)
    accepted = {row["video_id"] for row in verdicts if row["verdict"] == "accept"}
    assert not any(moving[video_id] for video_id in accepted)
    # A person who fills the picture looks like a moving background; those who do not are accepted.
    assert len(accepted) >= 2
