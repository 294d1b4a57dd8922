"""Verdicts of the default thresholds on real clips, with the real models, against what a person says."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.curation import CurateSettings
from pipelines.measuring.measure import Measured
from pipelines.measuring.measure_cache import measure_keys, missing_of, read_cached
from pipelines.measuring.video_measures import Video, VideoMeasurer
from pipelines.releases.select import judge
from pipelines.storage.store import Store
from stableanimator.perception.settings import FaceSettings, PerceptionSettings, PoseSettings

pytestmark = pytest.mark.real_data

SETTINGS = CurateSettings(sample_fps=2.0)  # enough for verdicts


class Judge:
    """Measures and judges one clip at a time with models that are loaded once."""

    def __init__(self, real_data: Path, root: Path) -> None:
        weights = real_data / "weights"
        perception = PerceptionSettings(
            faces=FaceSettings(pack_root=str(weights / "insightface"), pack="small"),
            pose=PoseSettings(
                detector=str(weights / "dwpose" / "yolox_nano_640.onnx"),
                pose=str(weights / "dwpose" / "simplepose_as_wholebody133.onnx"),
            ),
        )
        self._clips = real_data / "media" / "videos"
        self._store = Store(str(root))
        self._keys = measure_keys(SETTINGS, perception)
        self._measurer = VideoMeasurer(self._store, SETTINGS, perception, self._keys, SETTINGS.measures)

    def __call__(self, name: str) -> dict[tuple[int, int], list[str]]:
        """Failed rules by shot."""
        clip = self._clips / name
        video_id, _ = self._store.put_media(clip, clip.suffix)
        missing = missing_of(read_cached(self._store, self._keys, [video_id]), self._keys, [video_id])
        failures = self._measurer.measure(Video(video_id, clip.suffix, 0), missing[video_id]).failures
        cached = read_cached(self._store, self._keys, [video_id])
        rows = judge(Measured(keys=self._keys, cached=cached, failures=failures), SETTINGS)
        return {(row["start"], row["end"]): [one["rule"] for one in row["failed_rules"]] for row in rows}


@pytest.fixture(scope="module")
def verdicts(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(real_data, tmp_path_factory.mktemp("verdicts"))


@pytest.mark.parametrize("name", ["lp_s13.mp4", "moore_th3.mp4", "animatex_dance1_right.mp4"])
def test_good_clips_are_accepted(verdicts: Judge, name: str):
    assert list(verdicts(name).values()) == [[]]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("lp_s32.mp4", "max_camera_translation"),  # handheld
        ("cotracker_bear.mp4", "min_people_median"),
        ("mmpose_demo.mp4", "min_seconds"),
    ],
)
def test_bad_clips_are_rejected_for_what_is_wrong(verdicts: Judge, name: str, rule: str):
    ((_, failed),) = verdicts(name).items()
    assert rule in failed


def test_of_a_clip_with_a_cut_the_good_shot_is_kept(verdicts: Judge):
    found = verdicts("moore_th1.mp4")
    assert found[0, 269] == []
    assert "min_people_median" in found[269, 299]
