from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pyarrow as pa
import pytest

from pipelines.curation import CurateSettings
from pipelines.measures.camera_motion import CameraMotionSettings
from pipelines.measures.people import PeopleSettings
from pipelines.measures.picture_hash import PictureHashSettings
from pipelines.measures.shots import ShotSettings, bad_video_row, shot_rows
from pipelines.measuring.measure_cache import Keys, measure_keys, missing_of, read_cached
from pipelines.releases.settings import SelectSettings
from pipelines.storage.store import Store
from pipelines.storage.tables import MEASURES, SHOTS, THUMBNAILS
from stableanimator.errors import ConfigError, WeightsError
from stableanimator.perception.settings import CoTrackerSettings, FaceSettings, PerceptionSettings, PoseSettings

CAMERA_ONLY = CurateSettings(measures=("camera_motion",))


def _onnx(path: Path, name: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    graph = onnx.helper.make_graph([], name, [], [])
    onnx.save(onnx.helper.make_model(graph), str(path))
    return str(path)


@pytest.fixture
def perception(tmp_path: Path) -> PerceptionSettings:
    _onnx(tmp_path / "models" / "antelopev2" / "det.onnx", "faces")
    pose = PoseSettings(detector=_onnx(tmp_path / "d.onnx", "people"), pose=_onnx(tmp_path / "p.onnx", "pose"))
    return PerceptionSettings(faces=FaceSettings(pack_root=str(tmp_path)), pose=pose)


def _changed(before: Keys, after: Keys) -> set[str]:
    changed = {name for name in before.measures if before.measures[name] != after.measures[name]}
    return changed | ({"shots"} if before.shots != after.shots else set())


@pytest.mark.parametrize(
    ("changes", "measures"),
    [
        ({"select": SelectSettings(min_seconds=9)}, set()),
        ({"actors": 4}, set()),
        ({"shots": ShotSettings(ratio=3)}, {"shots"}),
        ({"camera_motion": CameraMotionSettings(motion_fps=4)}, {"camera_motion"}),
        # keypoints and camera motion read the people
        ({"people": PeopleSettings(min_score=0.6)}, {"people", "keypoints", "camera_motion"}),
        ({"sample_fps": 4.0}, {"people", "keypoints", "camera_motion", "face_quality", "picture", "picture_hash"}),
        ({"picture_hash": PictureHashSettings(margin=0.1)}, {"picture_hash"}),
        ({"select": SelectSettings(same_person_cosine=0.5, min_near_duplicate_distance=0.2)}, set()),
    ],
)
def test_a_key_changes_with_what_its_values_depend_on(
    perception: PerceptionSettings, changes: dict[str, Any], measures: set[str]
):
    settings = CurateSettings()
    before, after = (measure_keys(one, perception) for one in (settings, replace(settings, **changes)))
    assert _changed(before, after) == measures


def test_other_weights_make_other_keys(perception: PerceptionSettings, tmp_path: Path):
    settings = CurateSettings()
    before = measure_keys(settings, perception)
    _onnx(tmp_path / "d.onnx", "another detector")
    after = measure_keys(settings, perception)
    assert _changed(before, after) == {"people", "keypoints", "camera_motion"}
    assert before.weights["face_quality"] == after.weights["face_quality"]


def test_weights_may_lie_anywhere(perception: PerceptionSettings, tmp_path: Path):
    moved = tmp_path / "elsewhere.onnx"
    moved.write_bytes(Path(perception.pose.detector).read_bytes())
    other = replace(perception, pose=replace(perception.pose, detector=str(moved)), threads=4)
    assert measure_keys(CurateSettings(), perception) == measure_keys(CurateSettings(), other)


def test_camera_motion_alone_needs_no_weights():
    assert list(measure_keys(CAMERA_ONLY, None).measures) == ["camera_motion"]
    with pytest.raises(ConfigError, match=r"curate\.measures has people"):
        measure_keys(CurateSettings(), None)


def test_a_trackers_weights_are_in_its_key_wherever_they_lie(tmp_path: Path):
    def keys(name: str, content: bytes) -> Keys:
        (tmp_path / name).write_bytes(content)
        cotracker = CoTrackerSettings(checkpoint=str(tmp_path / name))
        motion = CameraMotionSettings(tracker="cotracker", cotracker=cotracker)
        return measure_keys(replace(CAMERA_ONLY, camera_motion=motion), None)

    one = keys("one.pth", b"weights")
    assert keys("moved.pth", b"weights") == one
    assert keys("other.pth", b"other weights").measures != one.measures
    assert set(one.weights) == {"camera_motion"}
    assert measure_keys(CAMERA_ONLY, None).weights == {}
    gone = CameraMotionSettings(tracker="cotracker", cotracker=CoTrackerSettings(checkpoint="/gone.pth"))
    with pytest.raises(WeightsError, match=r"/gone\.pth is missing; put CoTracker3's scaled_online\.pth"):
        measure_keys(replace(CAMERA_ONLY, camera_motion=gone), None)


def test_missing_weights_are_the_users_mistake(perception: PerceptionSettings, tmp_path: Path):
    (tmp_path / "p.onnx").unlink()
    with pytest.raises(WeightsError, match=r"p\.onnx is missing"):
        measure_keys(CurateSettings(), perception)


def _shots(video_id: str, cuts: list[int]) -> list[dict[str, Any]]:
    import numpy as np

    return shot_rows(video_id, cuts, 20, 10.0, 64, 48, np.arange(20) / 10)


def _put(store: Store, family: str, key: str, video_id: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    store.write_part(family, key, video_id, pa.Table.from_pylist(rows, schema=schema))


def _missing(store: Store, keys: Keys, *video_ids: str) -> dict[str, set[str]]:
    return missing_of(read_cached(store, keys, video_ids), keys, video_ids)


def test_what_is_missing_is_told_by_video(tmp_path: Path):
    store, keys = Store(str(tmp_path)), measure_keys(CAMERA_ONLY, None)
    everything = {"shots", "camera_motion", "thumbnails"}
    assert _missing(store, keys, "a", "b") == {"a": everything, "b": everything}
    shots = _shots("a", [10])
    _put(store, "shots", keys.shots, "a", shots, SHOTS)
    assert _missing(store, keys, "a", "b") == {"a": {"camera_motion", "thumbnails"}, "b": everything}
    rows = [{"shot_id": shot["shot_id"], "frame_index": [], "time": []} for shot in shots]
    _put(store, *keys.family("camera_motion"), "a", rows[:1], MEASURES["camera_motion"])
    _put(store, "thumbnails", keys.thumbnails, "a", [{"shot_id": row["shot_id"]} for row in rows], THUMBNAILS)
    assert _missing(store, keys, "a") == {"a": {"camera_motion"}}
    _put(store, *keys.family("camera_motion"), "a", rows[1:], MEASURES["camera_motion"])
    assert _missing(store, keys, "a") == {}


def test_a_bad_video_has_nothing_to_measure(tmp_path: Path):
    store, keys = Store(str(tmp_path)), measure_keys(CAMERA_ONLY, None)
    _put(store, "shots", keys.shots, "a", [bad_video_row("a", "truncated", "")], SHOTS)
    assert _missing(store, keys, "a") == {}


def test_rows_come_once_and_sorted_and_only_of_these_shots(tmp_path: Path):
    store, keys = Store(str(tmp_path)), measure_keys(CAMERA_ONLY, None)
    for video_id in ("b", "a", "other"):
        _put(store, "shots", keys.shots, video_id, _shots(video_id, [10]), SHOTS)
    family = keys.family("camera_motion")
    for ids in (["a:10-20", "a:0-10"], ["a:0-10"], ["a:0-20"]):  # the last is of a cut that is no longer there
        rows = [{"shot_id": name, "frame_index": [], "time": []} for name in ids]
        _put(store, *family, "a", rows, MEASURES["camera_motion"])
    cached = read_cached(store, keys, ["a", "b"])
    assert cached.shots["shot_id"].to_pylist() == ["a:0-10", "a:10-20", "b:0-10", "b:10-20"]
    assert cached.measures["camera_motion"]["shot_id"].to_pylist() == ["a:0-10", "a:10-20"]
