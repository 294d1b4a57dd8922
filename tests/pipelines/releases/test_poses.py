from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.releases.poses import ClipPoses, clip_poses
from pipelines.storage.parquet_files import ROWS_PER_GROUP, stream_parquet
from pipelines.storage.store import Collection, Store
from pipelines.storage.tables import CLIPS, FRAMES

HEIGHT = 100

Seen = dict[tuple[str, int], list[np.ndarray] | None]
"""The people of each shot's frames; None where keypoints were not measured."""


def person(x: float, y: float = 20) -> np.ndarray:
    """Body joints on a grid from (x, y) on; shoulders (5, 6) at known places; everything else missing."""
    keypoints = np.full((133, 3), (np.nan, np.nan, 0), np.float32)
    for joint in range(17):
        keypoints[joint] = (x + joint % 4 * 3, y + joint // 4 * 10 + joint, 0.9)
    keypoints[5], keypoints[6] = (x, y + 10, 0.8), (x + 8, y + 14, 0.5)
    return keypoints


def clip_row(shot: str, split: str, height: int = HEIGHT, width: int = 200) -> dict[str, object]:
    return {"shot_id": shot, "video_id": shot, "split": split, "height": height, "width": width}


def frames_table(seen: Seen) -> pa.Table:
    rows = [
        {
            "shot_id": shot,
            "frame_index": frame,
            "keypoints": None if people is None else [one.ravel() for one in people],
        }
        for (shot, frame), people in seen.items()
    ]
    return pa.Table.from_pylist(rows, schema=FRAMES)


def commit(root: Path, clips: list[dict[str, object]], *frames: pa.Table) -> Collection:
    """A release; several tables of frames become several files."""
    tables = {
        "clips": pa.Table.from_pylist(clips, schema=CLIPS),
        "frames": frames[0] if len(frames) == 1 else [stream_parquet([table], FRAMES) for table in frames],
    }
    return Store(str(root)).commit("releases", content={}, tables=tables, build={})


def read(release: Collection, split: str) -> dict[str, ClipPoses]:
    clips = list(clip_poses(release, split))
    assert len({clip.shot_id for clip in clips}) == len(clips)
    return {clip.shot_id: clip for clip in clips}


@pytest.fixture
def release(tmp_path: Path) -> Collection:
    """A training clip of two people who change places in the list, and two held-out ones."""
    left, right = [person(20), person(22), person(24)], [person(120), person(122), person(124)]
    seen: Seen = {
        ("b", 4): [right[1], left[1]],
        ("b", 0): [left[0], right[0]],
        ("b", 8): [right[2], left[2]],
        ("b", 12): [],
        ("b", 16): None,
        **{("a", frame): [person(50)] for frame in range(3)},
        **{("high", frame): [person(50)] for frame in range(2)},
    }
    clips = [clip_row("b", "train"), clip_row("a", "heldout"), clip_row("high", "heldout", height=200)]
    return commit(tmp_path, clips, frames_table(seen))


def test_the_first_person_is_followed_in_image_heights(release: Collection) -> None:
    (clip,) = clip_poses(release, "train")
    assert clip.shot_id == "b"
    # The frame without a measurement is left out, the one without people is not.
    np.testing.assert_array_equal(clip.frame_index, [0, 4, 8, 12])
    np.testing.assert_allclose(clip.poses[:3, 0, 0], [0.20, 0.22, 0.24], rtol=1e-6)  # the nose
    np.testing.assert_allclose(clip.poses[0, 1], [0.24, 0.32, 0.5], rtol=1e-6)  # neck: midpoint, the lower score
    assert np.isnan(clip.poses[3, :, :2]).all()
    assert (clip.poses[3, :, 2] == 0).all()


def test_a_split_gives_its_own_clips_each_in_its_own_height(release: Collection) -> None:
    found = read(release, "heldout")
    assert list(found) == ["a", "high"]
    np.testing.assert_allclose(found["a"].poses[:, 0], np.tile([0.5, 0.2, 0.9], (3, 1)), rtol=1e-6)
    np.testing.assert_allclose(found["high"].poses[:, 0], np.tile([0.25, 0.1, 0.9], (2, 1)), rtol=1e-6)
    assert list(clip_poses(release, "test")) == []


def test_a_clip_without_any_measured_frame_is_passed_over(tmp_path: Path) -> None:
    seen: Seen = {("a", 0): None, ("a", 1): None, ("b", 0): [person(20)]}
    release = commit(tmp_path, [clip_row("a", "train"), clip_row("b", "train")], frames_table(seen))
    assert list(read(release, "train")) == ["b"]


def test_poses_have_the_joints_that_the_picture_shows(tmp_path: Path) -> None:
    """Of 200 x 100 pixels; a shoulder outside takes the neck with it."""
    seen: Seen = {("a", frame): [person(20)] for frame in range(2)}
    seen["a", 1][0][[5, 13]] = [(24, -3, 0.8), (203, 50, 0.9)]  # left shoulder, left knee
    (clip,) = clip_poses(commit(tmp_path, [clip_row("a", "train")], frames_table(seen)), "train")
    lost = [1, 5, 12]
    assert np.isfinite(clip.poses[0]).all()
    assert np.isnan(clip.poses[1, lost, :2]).all()
    assert (clip.poses[1, lost, 2] == 0).all()
    there = [joint for joint in range(18) if joint not in lost]
    np.testing.assert_array_equal(clip.poses[1, there], clip.poses[0, there])


def test_an_empty_release_gives_nothing(tmp_path: Path) -> None:
    assert list(clip_poses(commit(tmp_path, [], FRAMES.empty_table()), "train")) == []


def nose_table(lengths: dict[str, int]) -> pa.Table:
    """One person a frame of whom only the nose is seen; its x is the frame's number in all."""
    count = sum(lengths.values())
    values = np.full((count, 133, 3), (np.nan, np.nan, 0), np.float32)
    values[:, 0] = np.stack([np.arange(count), np.full(count, 50), np.full(count, 0.9)], 1)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), 133 * 3)
    people = pa.ListArray.from_arrays(pa.array(np.arange(count + 1), pa.int32()), flat)
    empty = FRAMES.empty_table()
    columns = {
        "shot_id": pa.array([shot for shot, length in lengths.items() for _ in range(length)]),
        "frame_index": pa.array(np.concatenate([np.arange(length) for length in lengths.values()]), pa.int32()),
        "keypoints": people.cast(FRAMES.field("keypoints").type),
    }
    nulls = {name: pa.nulls(count, FRAMES.field(name).type) for name in empty.column_names}
    return pa.table({**nulls, **columns}, schema=FRAMES)


def test_clips_that_cross_row_groups_come_whole_and_once(tmp_path: Path) -> None:
    # Row groups end within b, within d (which fills more than one), and exactly where e ends.
    lengths = {"a": 1000, "b": ROWS_PER_GROUP, "c": 10, "d": 2 * ROWS_PER_GROUP}
    lengths["e"] = 4 * ROWS_PER_GROUP - sum(lengths.values())
    lengths["f"] = 7
    width = sum(lengths.values())  # room for all noses
    release = commit(tmp_path, [clip_row(shot, "train", width=width) for shot in lengths], nose_table(lengths))
    (file,) = release.files("frames")
    assert pq.ParquetFile(file).num_row_groups == 5
    found = read(release, "train")
    assert list(found) == list(lengths)
    start = 0
    for shot, length in lengths.items():
        np.testing.assert_array_equal(found[shot].frame_index, np.arange(length))
        assert found[shot].poses.shape == (length, 18, 3)
        first = found[shot].poses[0, 0, 0]  # people who jump too far are lost, so only the first frame is sure
        assert first == pytest.approx(start / HEIGHT)
        start += length


def test_clips_of_other_splits_between_row_groups_are_no_part_of_their_neighbours(tmp_path: Path) -> None:
    lengths = {"a": ROWS_PER_GROUP - 5, "other": ROWS_PER_GROUP, "b": 20}
    rows = [clip_row("a", "train"), clip_row("other", "heldout"), clip_row("b", "train")]
    found = read(commit(tmp_path, rows, nose_table(lengths)), "train")
    assert {shot: len(clip.poses) for shot, clip in found.items()} == {"a": ROWS_PER_GROUP - 5, "b": 20}


def test_a_clip_may_go_on_in_the_next_file(tmp_path: Path) -> None:
    one, two = ({("a", frame): [person(20 + frame)] for frame in frames} for frames in (range(3), range(3, 5)))
    release = commit(tmp_path, [clip_row("a", "train")], frames_table(one), frames_table(two))
    (clip,) = clip_poses(release, "train")
    np.testing.assert_allclose(clip.poses[:, 0, 0], [0.20, 0.21, 0.22, 0.23, 0.24], rtol=1e-6)
