from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.benchmark_sets.sets import make_benchmark
from pipelines.benchmark_sets.settings import BenchmarkSettings
from pipelines.storage.store import Collection, Store
from pipelines.storage.tables import CLIPS, FRAMES
from stableanimator.alignment.settings import MisalignmentSettings


def _release(root: Path, splits: str = "thhh", faceless: tuple[int, ...] = ()) -> Collection:
    """One clip of 10 seconds at 24 per second for each letter (t train, h heldout); a face in frames 30 and 60."""
    clips, frames = [], []
    for number, split in enumerate(splits):
        video_id = f"{number}" * 64
        shot_id = f"{video_id}:24-264"
        clip = {**dict.fromkeys(CLIPS.names), "shot_id": shot_id, "video_id": video_id, "start": 24, "end": 264}
        clip |= {"fps": 24.0, "media": f"media/{video_id}.mp4", "split": "train" if split == "t" else "heldout"}
        clips.append({**clip, "licence": f"L{number}", "consent": "yes"})
        for frame in (24, 30, 60):
            boxes = [[0.0, 0.0, 1.0, 1.0]] if frame > 24 and number not in faceless else []
            row = {**dict.fromkeys(FRAMES.names), "shot_id": shot_id, "frame_index": frame, "face_boxes": boxes}
            frames.append(row)
    tables = {"clips": pa.Table.from_pylist(clips, schema=CLIPS), "frames": pa.Table.from_pylist(frames, schema=FRAMES)}
    return Store(str(root)).commit("releases", content={}, tables=tables, build={})


def _pairs(release: Collection, **settings: Any) -> list[dict[str, Any]]:
    return make_benchmark(release, BenchmarkSettings(**settings)).table("pairs").to_pylist()


def test_the_same_release_gives_the_same_set_under_every_root(tmp_path: Path):
    made = [make_benchmark(_release(tmp_path / name), BenchmarkSettings()) for name in ("one", "another")]
    assert made[0].id == made[1].id


def test_pairs_are_self_driven_and_of_held_out_clips(tmp_path: Path):
    release = _release(tmp_path)
    pairs = _pairs(release)
    assert [pair["pair_id"] for pair in pairs] == [f"{str(n) * 12}-24-264-0" for n in (1, 2, 3)]
    for number, pair in enumerate(pairs, start=1):
        video = f"media/{str(number) * 64}.mp4"
        assert pair["reference_uri"] in (f"{video}#frame=30", f"{video}#frame=60")  # the frames with a face
        assert pair["driving_uri"] == pair["truth_uri"] == video
        assert (pair["start"], pair["end"]) == (24, 264)
        assert (pair["licence"], pair["consent"]) == (f"L{number}", "yes")


def test_misalignments_lie_in_their_ranges_and_differ(tmp_path: Path):
    ranges = MisalignmentSettings(rotation_degrees=10, scale=(0.8, 1.25), translation=0.1)
    pairs = _pairs(_release(tmp_path), pairs_per_clip=40, misalignment=ranges)
    assert len(pairs) == 100
    assert len({pair["rotation"] for pair in pairs}) == 100
    assert len({pair["seed"] for pair in pairs}) == 100
    assert all(abs(pair["rotation"]) <= 10 and 0.8 <= pair["scale"] <= 1.25 for pair in pairs)
    assert all(max(abs(pair["tx"]), abs(pair["ty"])) <= 0.1 for pair in pairs)
    assert max(abs(pair["rotation"]) for pair in pairs) > 8  # of 100 uniform draws


def test_without_misalignment_pairs_are_left_as_they_are(tmp_path: Path):
    (pair, *_) = _pairs(_release(tmp_path), misaligned=False)
    assert (pair["rotation"], pair["scale"], pair["tx"], pair["ty"]) == (0, 1, 0, 0)


def test_a_pair_does_not_change_when_clips_are_added(tmp_path: Path):
    few = _pairs(_release(tmp_path, "hh"))
    more = _pairs(_release(tmp_path, "hhhh"))
    assert more[:2] == few
    assert _pairs(_release(tmp_path, "hh"), seed=1) != few


def test_long_clips_drive_for_so_many_seconds(tmp_path: Path):
    assert [pair["end"] for pair in _pairs(_release(tmp_path), seconds=2.5)] == [84, 84, 84]


def test_clips_without_a_face_are_named(tmp_path: Path):
    benchmark = make_benchmark(_release(tmp_path, faceless=(2,)), BenchmarkSettings())
    assert benchmark.manifest["clips_without_face"] == [f"{'2' * 64}:24-264"]
    assert benchmark.table("pairs").num_rows == 2


def test_no_held_out_clip_gives_an_empty_table_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    benchmark = make_benchmark(_release(tmp_path, "tt"), BenchmarkSettings())
    assert benchmark.table("pairs").num_rows == 0
    assert "no held-out clip" in caplog.text


@pytest.mark.parametrize("settings", [{"pairs": -1}, {"pairs_per_clip": 0}, {"seconds": 0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]):
    with pytest.raises(ValueError, match=next(iter(settings))):
        BenchmarkSettings(**settings)
