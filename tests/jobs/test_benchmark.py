from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from jobs import benchmark
from jobs.rebuild import receipts
from jobs.running.config import Config, load
from jobs.running.files import needed_files
from jobs.tracking.runs import Job, job_run
from pipelines.benchmark_sets.named_settings import NamedSetSettings
from pipelines.crawling.settings import CrawlSettings
from pipelines.storage.store import Store
from stableanimator.errors import ConfigError
from stableanimator.media.video import write_mp4
from stableanimator.perception.settings import FaceSettings, PerceptionSettings, PoseSettings
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import ClipRenderer
from stableanimator.synthetic.script import ClipSettings

pytestmark = pytest.mark.usefixtures("cluster")

_WEIGHTS = "package://stableanimator.synthetic/weights"
_NAMED = PerceptionSettings(
    faces=FaceSettings(pack_root=f"{_WEIGHTS}/insightface", pack="drawn", detector_sizes=(320,)),
    pose=PoseSettings(detector="/nowhere/detector.onnx", pose="/nowhere/pose.onnx"),
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two drawn people, one who faces the camera and one who does not, and a damaged file."""
    folder = tmp_path_factory.mktemp("clips")
    short = ClipSettings(min_seconds=0.5, max_seconds=0.5)
    for kind in ("talk", "away"):
        write_mp4(folder / f"{kind}.mp4", ClipRenderer(write_clip(kind, 4_100_000, short)), 25)
    (folder / "broken.mp4").write_bytes((folder / "talk.mp4").read_bytes()[:900])
    return folder


def _config(tmp_path: Path, clips: Path, **settings: Any) -> Config:
    named = NamedSetSettings(crawl=CrawlSettings(sources=(str(clips),)), **settings)
    return Config(experiment="sets", root=str(tmp_path / "root"), perception=_NAMED, benchmark=named)


def test_videos_become_a_set_in_the_store_and_a_run_in_mlflow(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    config = _config(tmp_path, clips)
    with job_run(Job(verb="benchmark", experiment=config.experiment, key="key")) as run:
        line = benchmark.run(config, run)
    made = Store(config.root).open("benchmarks")
    assert line == f"MisAlign100: 1 pairs of 3 files, 2 without use: {made.uri}"
    assert {row["name"]: row["reason"] for row in made.table("files").to_pylist()}["away.mp4"] == "no_reference_face"
    logged = MlflowClient().get_run(run.run_id)
    assert logged.data.metrics["benchmark_pairs"] == 1
    assert logged.data.metrics["benchmark_files_unused"] == 2
    assert run.outputs == {"benchmark": made.id}


def test_without_videos_it_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"benchmark\.crawl\.sources"):
        benchmark.run(Config(experiment="sets", root=str(tmp_path)), None)  # type: ignore[arg-type]


def test_yaml_names_a_set(tmp_path: Path) -> None:
    path = tmp_path / "set.yaml"
    settings = {"name": "TikTok", "ids": "335-340", "frames": ["/data/TikTok_dataset"]}
    path.write_text(json.dumps({"experiment": "e", "root": "/data", "benchmark": settings}))
    assert load(str(path)).benchmark == NamedSetSettings(name="TikTok", ids="335-340", frames=("/data/TikTok_dataset",))
    with pytest.raises(ConfigError, match="ids"):
        load(str(path), ["benchmark.ids=all"])


def test_only_faces_are_needed_of_the_networks(tmp_path: Path, clips: Path) -> None:
    config = _config(tmp_path, clips)
    assert {each.setting for each in needed_files(config, ["benchmark"])} == {
        "perception.faces.pack_root",
        "benchmark.crawl.sources",
    }


def test_a_receipt_covers_videos_and_settings(tmp_path: Path, clips: Path) -> None:
    config = _config(tmp_path, clips)
    store = Store(config.root)

    def key(config: Config) -> str | None:
        return receipts.inputs_key("benchmark", config, store, {})

    assert key(config) == key(_config(tmp_path, clips)) is not None
    assert key(_config(tmp_path, clips, seed=1)) != key(config)
    assert key(_config(tmp_path, clips, frames=(str(clips),))) is None  # what lies there is not read for a key
