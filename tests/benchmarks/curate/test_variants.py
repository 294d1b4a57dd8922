"""What counts as steady: from the second video of every worker to the first worker without one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from benchmarks.curate.variants import Work, end_times, in_new_process, steady_state
from pipelines.curation import CurateSettings
from pipelines.measuring.video_measures import Video
from stableanimator.perception.settings import FaceSettings, PerceptionSettings, PoseSettings

PERCEPTION = PerceptionSettings(faces=FaceSettings(pack_root="/w"), pose=PoseSettings(detector="/d", pose="/p"))


def _work(root: Path, videos: str) -> Work:
    return Work(
        root=str(root),
        videos=[Video(video_id, ".mp4", 1) for video_id in videos],
        settings=CurateSettings(actors=2),
        perception=PERCEPTION,
    )


ENDED = {"a": 9.0, "b": 10.0, "c": 11.0, "d": 12.0, "e": 14.0, "f": 15.0, "g": 17.0, "h": 40.0}


@pytest.mark.parametrize("seen", ["abcdefgh", "abcdefg"])
def test_start_and_end_of_a_run_do_not_count(tmp_path: Path, seen: str) -> None:
    # Two workers; a to d warm them up. When g ends, the other worker has h, and nothing is left.
    samples = {name: [0] * (100 if name in "efg" else 7) for name in "abcdefgh"}
    steady = steady_state(_work(tmp_path, "abcdefgh"), {name: ENDED[name] for name in seen}, samples)
    assert steady.seconds == pytest.approx(17 - 12)
    assert steady.frames == 300
    assert steady.seconds_per_frame == pytest.approx(5 / 300)


def test_a_run_whose_videos_were_not_seen_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="the end of 4 of 8 videos"):
        steady_state(_work(tmp_path, "abcdefgh"), {name: ENDED[name] for name in "abcd"}, {})


def test_the_end_of_a_video_is_when_its_rows_appear(tmp_path: Path) -> None:
    with end_times(_work(tmp_path, "ab")) as ended:
        for name in ("b", "a", "merged"):
            (tmp_path / "parts" / "shots" / "key" / name).mkdir(parents=True)
            time.sleep(0.3)
    assert list(ended) == ["b", "a"]
    assert 0.1 < ended["a"] - ended["b"] < 10


def test_a_variant_runs_in_a_process_of_its_own() -> None:
    assert in_new_process(os.getpid) != os.getpid()
