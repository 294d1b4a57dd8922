from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.crawling.crawl import CrawlSettings, crawl
from pipelines.curation import CurateSettings
from pipelines.measuring.measure import Measured, measure_videos
from pipelines.measuring.video_measures import Video
from pipelines.releases.select import make_release
from pipelines.releases.settings import SelectSettings
from pipelines.storage import compaction
from pipelines.storage.store import Collection, Store
from stableanimator.errors import ConfigError, InputError, WeightsError
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
    build = {"stages": {"measure": {"rows": measured.videos_now}}}
    return measured, make_release(store, crawled.sources, measured, settings, build)


def test_from_files_to_a_release_and_again(tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch):
    settings = replace(SETTINGS, select=LOOSE)
    measured, release = _curate(tmp_path / "one", clips, settings)
    counts = release.manifest["counts"]
    assert counts["sources"] == {"listed": 5, "failed": 1, "fetched": 4}
    assert counts["failed_sources"] == {"empty_file": 1}
    assert counts["undecodable_videos"] == {"truncated": 1}
    assert counts["shots"] == {"total": 5, "accept": 3, "reject": 2}
    assert counts["failed_rules"] == {"decode": 1, "max_camera_translation": 1}
    assert measured.frames_decoded == 24 + 24 + 48  # each once

    measured, again = _curate(tmp_path / "one", clips, settings)
    assert (again.id, measured.videos_now, measured.frames_decoded) == (release.id, 0, 0)

    looser = replace(settings, select=replace(LOOSE, max_camera_translation=0.5))
    measured, other = _curate(tmp_path / "one", clips, looser)
    assert measured.frames_decoded == 0
    assert other.id != release.id
    assert other.manifest["counts"]["shots"]["accept"] == 4

    assert other.build()["stages"]["measure"]["rows"] == 0

    monkeypatch.setattr(compaction, "ENOUGH", 2)  # and here the parts are merged
    _, elsewhere = _curate(tmp_path / "two", clips, replace(settings, actors=4, cpus_per_actor=0.5))
    assert {path.parent.name for path in (tmp_path / "two" / "parts").rglob("measures-*/*/*/*")} == {"merged"}
    assert elsewhere.id == release.id
    assert sorted(release.manifest["tables"]) == ["clips", "frames", "sources", "verdicts"]
    for name in release.manifest["tables"]:
        one, two = (
            [Path(file).read_bytes() for file in files] for files in (release.files(name), elsewhere.files(name))
        )
        assert one == two
    report = [Path(folder.uri, "report.html").read_bytes() for folder in (release, elsewhere)]
    assert report[0] == report[1]


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


def test_where_most_videos_are_bad_the_run_ends_with_the_reasons(tmp_path: Path, clips: Path):
    folder = tmp_path / "mostly bad"
    folder.mkdir()
    (folder / "good.mp4").write_bytes((clips / "still.mp4").read_bytes())
    for number in range(4):
        (folder / f"{number}.mp4").write_bytes((clips / "cut.mp4").read_bytes() + bytes([number]))
    settings = replace(SETTINGS, select=LOOSE, min_videos_for_cap=5)
    message = r"of 5 cannot be measured .*max_bad_video_share = 0\.5: truncated \d; for example .* Mend the cause"
    with pytest.raises(InputError, match=message):
        _curate(tmp_path / "root", folder, settings)
    with pytest.raises(InputError, match=r"curate: 4 videos of 5 cannot be measured \(of 0 that were tried now, 0\)"):
        _curate(tmp_path / "root", folder, replace(settings, cpus_per_actor=10_000.0))  # remembered: nothing is tried
    measured, release = _curate(tmp_path / "root", folder, replace(settings, max_bad_video_share=0.8))
    assert measured.videos_now <= 1
    assert release.manifest["counts"]["undecodable_videos"] == {"truncated": 4}
