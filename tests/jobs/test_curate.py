from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient

from jobs import curate
from jobs.running.config import Config
from jobs.tracking.run import Run
from jobs.tracking.runs import Job, job_run
from pipelines.crawling.settings import CrawlSettings
from pipelines.curation import CurateSettings
from pipelines.measures.camera_motion import CameraMotionSettings
from pipelines.releases.settings import SelectSettings
from pipelines.storage.store import Store
from stableanimator.errors import ConfigError
from stableanimator.media.video import write_mp4

pytestmark = pytest.mark.usefixtures("cluster")


def _clip(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 255, (20, 32, 3), np.uint8)
    write_mp4(path, [cv2.resize(coarse, (320, 200), interpolation=cv2.INTER_CUBIC)] * 24, 24.0)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A web site with one clip and one page."""
    _clip(tmp_path / "site" / "served.mp4", 1)
    (tmp_path / "site" / "page.html").write_text("<!doctype html><p>a page")
    handler = functools.partial(_Quiet, directory=str(tmp_path / "site"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def _config(tmp_path: Path, sources: tuple[str, ...], **select: Any) -> Config:
    crawl = CrawlSettings(
        sources=sources, allow_private_addresses=True, seconds_between_requests=0, retries=0, timeout_s=5
    )
    loose = {"min_seconds": 0.5, "min_width": None, "min_height": None, "min_subject_motion": None}
    settings = CurateSettings(crawl=crawl, measures=("camera_motion",), select=SelectSettings(**{**loose, **select}))
    return Config(experiment="curation", root=str(tmp_path / "root"), curate=settings)


def test_urls_and_files_become_a_release_in_the_store_and_a_run_in_mlflow(
    tmp_path: Path, site: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    _clip(tmp_path / "clips" / "mine.mp4", 2)
    (tmp_path / "clips" / "broken.mp4").write_bytes((tmp_path / "clips" / "mine.mp4").read_bytes()[:500])
    urls = (f"{site}/served.mp4", f"{site}/gone.mp4", f"{site}/page.html")
    config = _config(tmp_path, (str(tmp_path / "clips"), *urls), heldout_share=1.0)
    with job_run(Job(verb="curate", experiment=config.experiment, key="key")) as run:
        line = curate.run(config, run)
        again = curate.run(config, run)
        stricter = curate.run(_config(tmp_path, (str(tmp_path / "clips"), *urls), min_seconds=9.0), run)
    release = Store(config.root).open("releases", line.rsplit("/", 1)[1])
    assert line == f"accepted 2 of 3 shots from 5 sources: {release.uri}"
    assert again == line
    assert stricter.startswith("accepted 0 of 3 shots from 5 sources: ")
    sources = {row["source_uri"].rsplit("/", 1)[1]: row["reason"] for row in release.table("sources").to_pylist()}
    assert sources == {
        "broken.mp4": None,
        "mine.mp4": None,
        "served.mp4": None,
        "gone.mp4": "http_404",
        "page.html": "html_instead_of_video",
    }
    other = Store(config.root).open("releases", stricter.rsplit("/", 1)[1])
    assert other.build()["frames_decoded_now"] == other.build()["fetched_now"] == 0
    report = (tmp_path / "root" / other.folder / "report.html").read_text()
    assert "0 clips of 3 shots: min_seconds rejects 2" in report
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    decoded = [metric.value for metric in client.get_metric_history(run.run_id, "decode/rows")]
    assert decoded == [48.0]  # two clips of 24 frames, once, and nothing in the two runs after it
    assert {metric.value for metric in client.get_metric_history(run.run_id, "camera_motion/rows")} == {2.0}
    logged = client.get_run(run.run_id).data
    assert logged.metrics["select/rows"] == 3
    assert logged.metrics["select/rows_per_second"] > 0
    assert logged.metrics["shots"] == 3
    assert logged.metrics["sources_failed"] == 2
    assert logged.tags["release"] == other.id[:12]  # the last of the three


def test_a_run_makes_what_is_missing_and_nothing_else(tmp_path: Path, site: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    _clip(tmp_path / "clips" / "mine.mp4", 2)
    config = _config(tmp_path, (str(tmp_path / "clips"), f"{site}/served.mp4", f"{site}/late.mp4"))

    def curated(crawl: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
        """Fetched, measured, and rows by table of one run."""
        assert config.curate is not None
        changed = replace(config.curate, crawl=replace(config.curate.crawl, **(crawl or {})), **settings)
        with job_run(Job(verb="curate", experiment=config.experiment, key="key")) as run:
            line = curate.run(config.model_copy(update={"curate": changed}), run)
        build = Store(config.root).open("releases", line.rsplit("/", 1)[1]).build()
        rows = {name: build["stages"][name]["rows"] for name in ("shots", "camera_motion") if name in build["stages"]}
        return {"fetched": build["fetched_now"], "measured": build["videos_measured_now"], **rows}

    assert curated() == {"fetched": 1, "measured": 2, "shots": 2, "camera_motion": 2}
    _clip(tmp_path / "clips" / "more.mp4", 3)
    _clip(tmp_path / "site" / "late.mp4", 4)
    assert curated() == {"fetched": 0, "measured": 1, "shots": 1, "camera_motion": 1}  # what failed is left alone
    assert curated({"retry_failed": True}) == {"fetched": 1, "measured": 1, "shots": 1, "camera_motion": 1}
    other = CameraMotionSettings(motion_fps=4)
    assert curated(camera_motion=other) == {"fetched": 0, "measured": 4, "shots": 0, "camera_motion": 4}
    assert curated(camera_motion=other, select=SelectSettings()) == {"fetched": 0, "measured": 0}


def test_a_picture_that_was_damaged_is_made_again_in_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    for number in (1, 2):
        _clip(tmp_path / "clips" / f"{number}.mp4", number)
    config = _config(tmp_path, (str(tmp_path / "clips"),))
    with job_run(Job(verb="curate", experiment=config.experiment, key="key")) as run:
        line = curate.run(config, run)
        store = Store(config.root)
        (path, _) = (Path(store.root, part.path) for key in store.part_keys() for part in store.parts(*key)
                     if key[0] == "thumbnails")  # fmt: skip
        pages = pq.ParquetFile(path).metadata.row_group(0).column(1)
        last = pages.data_page_offset + pages.total_compressed_size - 1
        whole = path.read_bytes()
        path.write_bytes(whole[:last] + bytes([whole[last] ^ 1]) + whole[last + 1 :])
        assert curate.run(config, run) == line
    assert path.read_bytes() == whole
    assert store.open("releases").build()["videos_measured_now"] == 1


def test_without_its_section_there_is_nothing_to_do(tmp_path: Path):
    config = Config(experiment="curation", root=str(tmp_path))
    with pytest.raises(ConfigError, match=r"curate\.crawl\.sources"):
        curate.run(config, Run(tmp_path / "unused"))
