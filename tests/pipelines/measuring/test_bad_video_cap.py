from __future__ import annotations

import hashlib
from typing import Any

import pyarrow as pa
import pytest

from pipelines.curation import CurateSettings
from pipelines.measures.shots import bad_video_row
from pipelines.measuring.bad_video_cap import BadVideoCap
from pipelines.measuring.measure_cache import Cached
from pipelines.measuring.shot_run import VideoResult
from pipelines.measuring.video_measures import Video
from pipelines.storage.tables import SHOTS, THUMBNAILS
from stableanimator.errors import InputError

GOOD, BAD = {"shots": 2}, {"shots": 1, "bad": ("truncated", "no frames")}
BROKEN = {
    "shots": 2,
    "failures": [
        {"shot_id": f"x:{n}", "measure": "people", "reason": "measure_failed", "detail": "CUDA"} for n in (0, 1)
    ],
}


def _tried(cap: BadVideoCap, *results: dict[str, Any]) -> None:
    for number, result in enumerate(results):
        cap.add(VideoResult(f"{number:064}", **result))
        cap.check()


def test_half_may_be_bad_and_one_more_may_not():
    _tried(BadVideoCap(CurateSettings(), 20), *[BAD, GOOD] * 10)
    with pytest.raises(
        InputError, match=r"curate: 11 videos of 20 .* \(of 20 that were tried now, 11\), .*truncated 11"
    ):
        _tried(BadVideoCap(CurateSettings(), 20), *[GOOD] * 9, *[BAD] * 11)


def test_it_ends_as_soon_as_it_is_certain():
    with pytest.raises(InputError, match="of 11 that were tried now"):
        _tried(BadVideoCap(CurateSettings(), 20), *[BAD] * 20)
    # of ten thousand videos, after the sample that is tried first
    with pytest.raises(InputError, match=r"truncated 20; for example 0+ \(truncated: no frames\)\. What was"):
        _tried(BadVideoCap(CurateSettings(), 10_000), *[BAD] * 40)
    _tried(BadVideoCap(CurateSettings(), 10_000), *[BAD, GOOD, BAD] * 13, *[GOOD] * 9, *[BAD] * 100)  # may be chance


def test_a_measure_that_breaks_down_everywhere_is_a_reason():
    with pytest.raises(InputError, match=r"people: measure_failed 20"):
        _tried(BadVideoCap(CurateSettings(), 10_000), *[BROKEN] * 40)
    one_shot = {"shots": 2, "failures": BROKEN["failures"][:1]}  # the other shot was measured
    _tried(BadVideoCap(CurateSettings(), 20), *[one_shot] * 20)


def test_a_handful_and_a_raised_share_are_left_alone():
    _tried(BadVideoCap(CurateSettings(), 19), *[BAD] * 19)
    _tried(BadVideoCap(CurateSettings(max_bad_video_share=1), 40), *[BAD] * 40)


def test_bad_videos_of_earlier_runs_count():
    rows = [bad_video_row(f"{number:064}", "no_video_stream", "") for number in range(100, 111)]
    shots = pa.Table.from_pylist(rows, schema=SHOTS)
    cap = BadVideoCap(CurateSettings(), 20)
    cap.remember(Cached(shots=shots, measures={}, thumbnails=THUMBNAILS.empty_table()))
    with pytest.raises(InputError, match=r"11 videos of 20 .*\(of 0 that were tried now, 0\).*no_video_stream 11"):
        cap.check()


def test_the_largest_come_first_after_a_sample_that_has_nothing_to_do_with_size():
    videos = [Video(hashlib.sha256(bytes([number])).hexdigest(), ".mp4", number) for number in range(200)]
    ordered = BadVideoCap(CurateSettings(), 200).order(videos)
    assert sorted(video.size for video in ordered) == list(range(200))
    assert ordered[:40] == sorted(videos, key=lambda video: video.video_id)[:40]
    assert [video.size for video in ordered[40:]] == sorted((video.size for video in ordered[40:]), reverse=True)
    few = BadVideoCap(CurateSettings(), 30).order(videos[:30])
    assert [video.size for video in few] == list(range(29, -1, -1))
