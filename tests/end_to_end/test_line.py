"""From a list of videos to rows in MLflow: all jobs, one after another, on a Ray head of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from jobs.running.local_ray import local_head
from jobs.submit import LINE
from pipelines.releases.select import is_heldout
from pipelines.releases.settings import SelectSettings
from pipelines.storage.store import Store, file_sha256

CONFIGS = Path(__file__).resolve().parents[2] / "jobs" / "configs"
REPOSITORY = CONFIGS.parents[1]
SHORT = (  # the real settings with fewer steps: what is tested is that every part hands over to the next
    "curate.actors=1",
    "align.steps=4", "align.validation_pairs=50", "align.engine.validate_every=2", "align.engine.checkpoint_every=4",
    "align.engine.zero_stage=0",
    "align.evaluation.drives_per_clip=2", "align.evaluation.worst=1",
    "train.loop.steps=4", "train.loop.engine.checkpoint_every=4", "train.loop.engine.validate_every=4",
    "animate.settings.sampler.steps=2", "animate.settings.hjb.denoising_steps=1",
    "animate.settings.hjb.optimisation_steps=3",
)  # fmt: skip


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        return


KINDS = ("dance", "gesture", "wave", "walk")  # all of them clips to be accepted


def _draw(folder: Path) -> list[Path]:
    command = [sys.executable, "-m", "stableanimator.synthetic.render", "--count", str(len(KINDS)), "--seed", "11"]
    subprocess.run(
        [*command, "--kinds", ",".join(KINDS), "--out", str(folder)], cwd=REPOSITORY, check=True, capture_output=True
    )
    return sorted(folder.glob("*.mp4"))


def _seed_that_divides(clips: list[Path]) -> int:
    """A seed that keeps some of the clips for evaluation and leaves some for training."""
    ids = [file_sha256(clip) for clip in clips]
    settings = (SelectSettings(seed=seed, heldout_share=0.5) for seed in range(100))
    return next(one.seed for one in settings if 0 < sum(is_heldout(video_id, one) for video_id in ids) < len(ids))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str, int]]:
    """A folder with good clips and a truncated one, a server with another good clip, and a seed that divides them."""
    folder, web = tmp_path / "folder", tmp_path / "web"
    clips = _draw(folder)
    web.mkdir()
    (folder / "cut short.mp4").write_bytes(clips[0].read_bytes()[:20_000])
    seed = _seed_that_divides(clips)
    clips[-1].rename(web / "talk.mp4")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(web)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}", seed
    server.shutdown()


def _submit(verb: str, overrides: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "jobs.submit", verb, "--config", str(CONFIGS / "tiny.yaml"), *overrides]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def _submit_plainly(verb: str, overrides: tuple[str, ...], environment: dict[str, str]) -> None:
    ray = str(Path(sys.executable).with_name("ray"))
    runtime = json.dumps({"env_vars": environment, "excludes": [".venv", ".git", "tests"]})
    config = "jobs/configs/tiny.yaml"
    command = [
        ray, "job", "submit", "--working-dir", ".", "--runtime-env-json", runtime,
        "--", "python", "-m", f"jobs.{verb}", "--config", config, *overrides,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def _assert_found_once(client: MlflowClient, align: Run) -> None:
    """What two workers find at a validation is told once, with its step; the last is true of the written weights."""
    found = {}
    for name in ("dis_learned_clip", "dis_svd_literal_frame"):
        history = client.get_metric_history(align.info.run_id, name)
        assert [point.step for point in history] == [2, 4]
        found[name] = history[-1].value
    table = json.loads(Path(client.download_artifacts(align.info.run_id, "dis.json")).read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    (final,) = [row for row in rows if (row["scope"], row["group"], row["alignment"]) == ("clip", "all", "learned")]
    assert found["dis_learned_clip"] == pytest.approx(final["dis"], rel=1e-4)


@pytest.mark.timeout(1200)
def test_from_urls_to_mlflow(served: tuple[Path, str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, url, seed = served
    environment = {"SA_ROOT": str(tmp_path)}
    monkeypatch.setenv("SA_ROOT", str(tmp_path))
    monkeypatch.delenv("SA_REAL_DATA", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    crawl = (
        f'curate.crawl.sources=["{folder}", "{url}/talk.mp4", "{url}/gone.mp4"]',
        "curate.crawl.allow_private_addresses=true",
        "curate.crawl.retries=0",
        "curate.select.heldout_share=0.5",
        f"curate.select.seed={seed}",
    )
    with local_head(num_cpus=4):
        _submit_plainly("curate", (*crawl, *SHORT), environment)
        for verb in LINE[1:]:
            _submit(verb, SHORT)

    store = Store(str(tmp_path / "tiny"))
    release = store.open("releases")
    sources = release.table("sources").to_pylist()
    # The truth of drawn clips lies beside them, and is passed over as no videos.
    beside = [row for row in sources if row["status"] == "passed_over"]
    assert {row["reason"] for row in beside} == {"not_a_video"}
    assert not [row["source_uri"] for row in beside if row["source_uri"].endswith(".mp4")]
    assert sorted((row["status"], row["reason"]) for row in sources if row not in beside) == [
        ("failed", "http_404"),
        *[("fetched", None)] * 5,
    ]
    verdicts = release.table("verdicts").to_pylist()
    assert sorted(row["verdict"] for row in verdicts) == ["accept"] * 4 + ["reject"]
    assert (Path(release.uri) / "report.html").stat().st_size > 5_000

    predictions = store.open("predictions").table("predictions").to_pylist()
    pairs = store.open("benchmarks").table("pairs").num_rows
    assert sorted(row["variant"] for row in predictions) == ["hjb"] * pairs + ["plain"] * pairs
    for row in predictions:
        assert row["status"] == "done", row["detail"]
        with av.open(row["prediction_uri"]) as video:
            assert video.streams.video[0].codec_context.name == "h264"
            assert sum(1 for _ in video.decode(video=0)) == len(row["frame_index"])
    for row in predictions:
        if row["variant"] == "hjb":
            assert row["face_loss_after"] < row["face_loss_before"]

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    children = {run.info.run_name: run for run in runs if "mlflow.parentRunId" in run.data.tags}
    variants = {name: children.pop(name) for name in ("plain", "hjb")}
    assert {run.data.tags["mlflow.parentRunId"] for run in variants.values()} == {children["evaluate"].info.run_id}
    assert set(children) == set(LINE)
    assert len({run.data.tags["mlflow.parentRunId"] for run in children.values()}) == 1
    assert all(run.info.status == "FINISHED" for run in children.values())
    assert children["encode"].data.tags["dataset.release"] == release.id
    for run in variants.values():
        assert {"psnr", "pck_10"} <= set(run.data.metrics)
    metrics = store.open("metrics").table("metrics").to_pylist()
    assert all(row["joints"] > 0 and (row["csim"] is None) == (row["csim_held_out"] is None) for row in metrics)
    _assert_found_once(client, children["align"])
    assert {"dis_learned_clip", "dis_svd_literal_frame"} <= set(children["alignment_table"].data.metrics)
    table = {artifact.path for artifact in client.list_artifacts(children["alignment_table"].info.run_id)}
    assert {"table_3.html", "table_3.json", "dis_by_clip.json", "worst_cases.png"} <= table
    assert len(client.get_metric_history(children["train"].info.run_id, "loss")) >= 1
