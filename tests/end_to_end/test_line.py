"""From a list of URLs to rows in MLflow and one page: the demo, with fewer steps, as a newcomer runs it."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import psutil
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from jobs.running.local_ray import local_head
from jobs.submit import LINE
from pipelines.storage.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]  # three demos, minutes each

CONFIGS = Path(__file__).resolve().parents[2] / "jobs" / "configs"
REPOSITORY = CONFIGS.parents[1]
SHORT = (  # the real settings with fewer steps: what is tested is that every part hands over to the next
    "align.steps=4", "align.validation_pairs=50", "align.engine.validate_every=2", "align.engine.checkpoint_every=4",
    "align.engine.zero_stage=0",
    "align.evaluation.drives_per_clip=2", "align.evaluation.worst=1",
    "train.loop.steps=4", "train.loop.engine.checkpoint_every=4", "train.loop.engine.validate_every=4",
    "animate.settings.sampler.steps=2", "animate.settings.max_frames=8",
    "animate.settings.hjb.optimisation_steps=3", "curate.benchmark.pairs=4", "evaluate.videos=2",
)  # fmt: skip
VARIANTS = {"plain", "hjb", "align_none", "align_svd", "face_off"}


def _demo(folder: Path) -> subprocess.Popen[str]:
    """In a session of its own, so that whatever it leaves behind can be found."""
    command = [sys.executable, "-m", "jobs.demo", "--folder", str(folder), *SHORT]
    return subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def _left_behind(folder: Path) -> list[str]:
    """Processes that the demo of a folder started and that are there still."""
    left = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SA_ROOT") == str(folder):
                left.append(f"{process.pid} {' '.join(process.cmdline())[:200]}")
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return left


def _wait_until_nothing_is_left(folder: Path, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while (left := _left_behind(folder)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert left == []


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Its folder, and what it said on the terminal."""
    folder = tmp_path_factory.mktemp("demo")
    with _demo(folder) as process:
        said, _ = process.communicate()
    log = folder / "demo.log"
    assert process.returncode == 0, said + (log.read_text()[-5000:] if log.exists() else "")
    return folder, said


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


def test_the_terminal_has_a_line_for_each_step_and_nothing_is_left_running(demo: tuple[Path, str]) -> None:
    folder, said = demo
    _wait_until_nothing_is_left(folder)
    lines = said.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("✓")] == ["start", *LINE, "page"]
    assert len(lines) < 20
    assert f"the page:  {folder}/index.html" in lines


def test_bad_sources_are_turned_away_each_for_its_reason(demo: tuple[Path, str]) -> None:
    store = Store(str(demo[0]))
    release = store.open("releases")
    sources = {row["source_uri"].rpartition("/")[2]: row for row in release.table("sources").to_pylist()}
    assert len(sources) == 27
    assert {name: row["reason"] for name, row in sources.items() if row["status"] == "failed"} == {
        "missing.mp4": "http_404",
        "page.mp4": "html_instead_of_video",
    }
    shots = release.table("verdicts").to_pylist()
    names = {row["video_id"]: name for name, row in sources.items() if row["video_id"]}
    verdicts: dict[str, set[str]] = {}
    for row in shots:
        kind = names[row["video_id"]].removesuffix(".mp4").split("_", 1)[-1]
        verdicts.setdefault(kind, set()).add(row["verdict"])
    turned_away = ("pan", "pair", "statue", "zoom", "away", "follow", "empty", "shake", "turn_away", "roll", "group",
                   "far", "off")  # fmt: skip
    assert {kind for kind in verdicts if verdicts[kind] == {"reject"}} == set(turned_away)
    assert (Path(release.uri) / "report.html").stat().st_size > 5_000


def test_every_pair_is_animated_in_every_variant(demo: tuple[Path, str]) -> None:
    store = Store(str(demo[0]))
    predictions = store.open("predictions").table("predictions").to_pylist()
    pairs = store.open("benchmarks").table("pairs").num_rows
    assert pairs == 4
    assert len(predictions) == pairs * len(VARIANTS)
    assert {row["variant"] for row in predictions} == VARIANTS
    for row in predictions:
        assert row["status"] == "done", row["detail"]
        with av.open(store.resolve(row["prediction_uri"])) as video:
            assert video.streams.video[0].codec_context.name == "h264"
            assert sum(1 for _ in video.decode(video=0)) == len(row["frame_index"])
        if row["variant"] == "hjb":
            assert row["face_loss_after"] < row["face_loss_before"]
    metrics = store.open("metrics").table("metrics").to_pylist()
    assert {row["variant"] for row in metrics} == {*VARIANTS, "repeat"}
    assert all(row["joints"] > 0 and (row["csim"] is None) == (row["csim_held_out"] is None) for row in metrics)


def test_every_job_is_a_run_and_every_variant_of_an_evaluation(demo: tuple[Path, str]) -> None:
    client = MlflowClient(tracking_uri=f"sqlite:///{demo[0]}/mlflow.db")
    experiment = client.get_experiment_by_name("demo")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    variants = {run.data.tags["variant"]: run for run in runs if "variant" in run.data.tags}
    jobs = {run.data.tags["verb"]: run for run in runs if "variant" not in run.data.tags}
    assert (set(variants), set(jobs)) == ({*VARIANTS, "repeat"}, {*LINE} - {"evaluate"})
    assert len(runs) == len(variants) + len(jobs)
    assert all(run.info.status == "FINISHED" and "mlflow.parentRunId" not in run.data.tags for run in runs)
    assert jobs["encode"].data.tags["release"] == Store(str(demo[0])).open("releases").id[:12]
    for run in variants.values():
        assert {"standard/psnr", "pck_10"} <= set(run.data.metrics)
    _assert_found_once(client, jobs["align"])
    assert {"dis_learned_clip", "dis_svd_literal_frame"} <= set(jobs["alignment_table"].data.metrics)
    table = {artifact.path for artifact in client.list_artifacts(jobs["alignment_table"].info.run_id)}
    assert {"table_3.html", "table_3.json", "dis_by_clip.json", "worst_cases.png"} <= table
    assert len(client.get_metric_history(jobs["train"].info.run_id, "loss")) >= 1


def test_the_page_holds_videos_metrics_and_curves_and_loads_nothing(demo: tuple[Path, str], tmp_path: Path) -> None:
    page = (demo[0] / "index.html").read_text()
    videos = re.findall(r'src="data:video/mp4;base64,([^"]+)"', page)
    assert len(videos) == 2
    (tmp_path / "first.mp4").write_bytes(base64.b64decode(videos[0]))
    with av.open(str(tmp_path / "first.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 8
    assert not re.search(r'(?:src|href)="(?!data:)(?!\.{0,2}/?releases/)[^"#]', page.replace("xlink:href", "x"))
    for text in ("sources listed", "learned", "svd_literal", "repeat", "held-out people", "mlflow ui"):
        assert text in page
    (report,) = re.findall(r'href="(releases/[^"]+)"', page)
    assert (demo[0] / report).exists()


def test_a_second_run_makes_nothing_again(demo: tuple[Path, str]) -> None:
    folder, _ = demo
    kept = {path: path.stat().st_mtime_ns for path in (folder / "parts").rglob("*.parquet")}
    ids = {family: Store(str(folder)).open(family).id for family in ("releases", "shards", "models", "metrics")}
    with _demo(folder) as process:
        said, _ = process.communicate()
    assert process.returncode == 0, said
    assert {path: path.stat().st_mtime_ns for path in (folder / "parts").rglob("*.parquet")} == kept
    assert {family: Store(str(folder)).open(family).id for family in ids} == ids


def test_ctrl_c_ends_everything_and_keeps_what_is_done(tmp_path: Path) -> None:
    with _demo(tmp_path) as process:
        log = tmp_path / "demo.log"
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline and not (log.exists() and "measuring videos" in log.read_text()):
            time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)  # what a terminal does
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "stopped by SIGINT; what is done is kept in" in said
    assert "Traceback" not in said
    _wait_until_nothing_is_left(tmp_path)
    assert len(list((tmp_path / "media").rglob("*.mp4"))) == 25


def test_ray_job_submit_alone_runs_a_verb(tmp_path: Path, demo: tuple[Path, str]) -> None:
    """Ray's own command, from a checkout, without ours; on the demo's folder, where everything is there already."""
    folder, _ = demo
    ray = str(Path(sys.executable).with_name("ray"))
    runtime = {
        "env_vars": {"SA_ROOT": str(folder), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"},
        "excludes": [".venv", ".git", "tests", "demo"],
    }
    with local_head(num_cpus=4):
        command = [
            ray, "job", "submit", "--working-dir", ".", "--runtime-env-json", json.dumps(runtime),
            "--", "python", "-m", "jobs.encode", "--config", "jobs/configs/demo.yaml", *SHORT,
        ]  # fmt: skip
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert Store(str(folder)).open("shards").id in done.stdout
