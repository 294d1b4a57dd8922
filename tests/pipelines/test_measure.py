from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.actor_pool import run_actors
from pipelines.crawl import CrawlSettings, crawl
from pipelines.curation import CurateSettings
from pipelines.measure import Measured, measure_videos
from pipelines.rules import SelectSettings
from pipelines.select import make_release
from pipelines.store import Collection, Store
from pipelines.video_measures import Video
from stableanimator.errors import ConfigError, WeightsError
from stableanimator.perception.settings import FaceSettings, PerceptionSettings, PoseSettings

pytestmark = pytest.mark.usefixtures("cluster")

SETTINGS = CurateSettings(measures=("camera_motion",))
LOOSE = SelectSettings(min_seconds=0.5, min_width=None, min_height=None, min_subject_motion=None)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path]) -> Path:
    """A still camera, a pan, two shots, a truncated file, no bytes."""
    folder = tmp_path_factory.mktemp("clips")
    make_clip(folder / "still.mp4")
    make_clip(folder / "pan.mp4", seeds=(3,), speed=2)
    make_clip(folder / "two.mp4", seeds=(4, 5))
    (folder / "cut.mp4").write_bytes((folder / "two.mp4").read_bytes()[:600])
    (folder / "zero.mp4").write_bytes(b"")
    return folder


def _curate(root: Path, clips: Path, settings: CurateSettings) -> tuple[Measured, Collection]:
    store = Store(str(root))
    crawled = crawl(CrawlSettings(sources=(str(clips),)), store)
    videos = [
        Video(row["video_id"], row["extension"], row["bytes"])
        for row in crawled.sources.to_pylist()
        if row["status"] == "fetched"
    ]
    measured = measure_videos(store, videos, settings, None)
    return measured, make_release(store, crawled.sources, measured, settings, {})


def test_from_files_to_a_release_and_again(tmp_path: Path, clips: Path):
    settings = replace(SETTINGS, select=LOOSE)
    measured, release = _curate(tmp_path / "one", clips, settings)
    counts = release.manifest["counts"]
    assert counts["sources"] == {"listed": 5, "failed": 1, "fetched": 4}
    assert counts["failed_sources"] == {"empty_file": 1}
    assert counts["undecodable_videos"] == {"truncated": 1}
    assert counts["shots"] == {"total": 5, "accept": 3, "reject": 2}
    assert counts["failed_rules"] == {"decode": 1, "max_camera_translation": 1}
    assert measured.frames_decoded == 24 + 24 + 48 + 4 * 8  # each once for the cuts, and the samples

    measured, again = _curate(tmp_path / "one", clips, settings)
    assert (again.id, measured.videos_now, measured.frames_decoded) == (release.id, 0, 0)

    looser = replace(settings, select=replace(LOOSE, max_camera_translation=0.5))
    measured, other = _curate(tmp_path / "one", clips, looser)
    assert measured.frames_decoded == 0
    assert other.id != release.id
    assert other.manifest["counts"]["shots"]["accept"] == 4

    _, elsewhere = _curate(tmp_path / "two", clips, replace(settings, actors=2, cpus_per_actor=0.5))
    assert elsewhere.id == release.id


def test_a_lost_part_is_made_again_and_nothing_else(tmp_path: Path, clips: Path):
    settings = replace(SETTINGS, select=LOOSE)
    _, release = _curate(tmp_path, clips, settings)
    parts = sorted((tmp_path / "parts" / "measures-camera_motion").rglob("*.parquet"))
    assert len(parts) == 3  # one for each video that can be decoded
    parts[0].write_bytes(parts[0].read_bytes()[:100])
    measured, again = _curate(tmp_path, clips, settings)
    assert measured.videos_now == 1
    assert again.id == release.id


def test_without_anything_missing_ray_is_not_asked(tmp_path: Path):
    settings = replace(SETTINGS, cpus_per_actor=10_000.0)
    assert measure_videos(Store(str(tmp_path)), [], settings, None).frames_decoded == 0


def test_an_actor_that_no_node_can_hold_is_refused_at_once(tmp_path: Path):
    settings = replace(SETTINGS, cpus_per_actor=10_000.0)
    with pytest.raises(ConfigError, match="10000 CPU cores"):
        measure_videos(Store(str(tmp_path)), [Video("a" * 64, ".mp4", 1)], settings, None)


def test_unusable_weights_are_the_users_mistake(tmp_path: Path, clips: Path):
    import onnx

    model = tmp_path / "model.onnx"
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], [])), str(model))
    pose = PoseSettings(detector=str(model), pose=str(model))
    perception = PerceptionSettings(faces=FaceSettings(pack_root=str(tmp_path)), pose=pose)
    store = Store(str(tmp_path / "root"))
    video_id, _ = store.put_media(clips / "still.mp4", ".mp4")
    with pytest.raises(WeightsError, match=r"model\.onnx"):
        measure_videos(store, [Video(video_id, ".mp4", 1)], CurateSettings(measures=("people",)), perception)


class _Dies:
    """An actor that one row kills."""

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        if row["value"] == 2:
            os._exit(1)
        return row


def test_a_row_that_kills_its_actor_is_given_up_and_the_others_go_on():
    rows = [{"value": value} for value in range(5)]
    outcomes = list(run_actors(rows, _Dies, (), what="dying", actors=1, cpus=1, tries=2))
    assert sorted(row["value"] for row in outcomes) == [0, 1, 3, 4]
