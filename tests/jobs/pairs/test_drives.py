"""Drives from tables of keypoints, good and bad."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.pairs.drives import keypoint_table, read_keypoints
from pipelines.storage.pair_tables import PAIRS
from pipelines.storage.tables import FRAMES
from stableanimator.errors import RowError

EMPTY: dict[str, Any] = dict.fromkeys(PAIRS.names)


def _person(x: float) -> np.ndarray:
    pose = np.full((133, 3), np.nan, np.float32)
    pose[:, 2] = 0
    pose[:17] = [(x + joint, 40, 0.9) for joint in range(17)]
    return pose


def _keypoints_table(path: Path, metadata: dict[str, str] | None) -> str:
    rows = [
        {"frame_index": i, "time": i / 10, "keypoints": None if i == 4 else [_person(i).ravel().tolist()]}
        for i in reversed(range(12))
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=FRAMES).replace_schema_metadata(metadata), path)
    return str(path)


def test_poses_from_a_table_are_in_order_strided_and_cut(tmp_path: Path) -> None:
    uri = _keypoints_table(tmp_path / "poses.parquet", {"frame_size": json.dumps([48, 64])})
    pair = EMPTY | {"driving_keypoints_uri": uri, "start": 2, "end": 11}
    every = read_keypoints(pair, 25.0, 100)
    assert every.frame_index == [2, 3, 3, 5, 6, 7, 8, 9, 10]  # frame 4 was not measured
    assert every.fps == pytest.approx(10)
    assert (every.height, every.width, every.left_out) == (48, 64, 0)
    assert math.isclose(every.poses[0][0, 0, 0], 2)
    some = read_keypoints(EMPTY | {"driving_keypoints_uri": uri, "start": 5}, 5.0, 3)
    assert (some.frame_index, some.left_out) == ([5, 7, 9], 1)
    assert some.fps == pytest.approx(5)


def test_a_table_without_a_frame_size_or_rows_is_refused(tmp_path: Path) -> None:
    uri = _keypoints_table(tmp_path / "poses.parquet", None)
    with pytest.raises(RowError, match="no_frame_size"):
        read_keypoints(EMPTY | {"driving_keypoints_uri": uri}, 25.0, 4)
    with pytest.raises(RowError, match="no_driving_frames"):
        read_keypoints(EMPTY | {"driving_keypoints_uri": uri, "start": 50}, 25.0, 4)
    with pytest.raises(RowError, match="bad_keypoints_table"):
        read_keypoints(EMPTY | {"driving_keypoints_uri": str(tmp_path / "gone.parquet")}, 25.0, 4)


def _pose() -> list[float]:
    return _person(3).ravel().tolist()


GOOD: dict[str, Any] = {"frame_index": [0, 1, 2], "time": [0.0, 0.1, 0.2], "keypoints": [[_pose()]] * 3}


def _read(path: Path, columns: dict[str, Any], size: str | None = "[48, 64]") -> Any:
    table = pa.table(columns).replace_schema_metadata(None if size is None else {"frame_size": size})
    pq.write_table(table, path)
    return read_keypoints(EMPTY | {"driving_keypoints_uri": str(path)}, 25.0, 9)


def test_a_table_of_other_types_is_read_and_a_half_missing_point_is_missing(tmp_path: Path) -> None:
    odd = _pose()
    odd[3:6] = [math.nan, 5.0, 0.9]
    drive = _read(
        tmp_path / "k.parquet",
        {
            "shot_id": ["a"] * 4,
            "frame_index": [3.0, 1.0, 2.0, 0.0],  # in any order
            "time": pa.array([0.5, 0.25, 0.375, 0.125], pa.float32()),
            "keypoints": pa.array([[odd], [_pose()], None, []], pa.large_list(pa.list_(pa.float64()))),
        },
    )
    assert (drive.frame_index, [len(people) for people in drive.poses]) == ([0, 1, 1, 3], [0, 1, 1, 1])
    assert np.isnan(drive.poses[3][0, 1, :2]).all()
    assert drive.poses[3][0, 1, 2] == 0
    assert drive.remarks == ("1 of the table's 4 frames were not measured; others stand in",)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"frame_index": [0, 1, 1]}, "frame_index does not grow"),
    ({"frame_index": [0.0, 0.5, 1.0]}, "row 2, column 'frame_index': 0.5 is no whole number"),
    ({"frame_index": [0, None, 2]}, "row 2, column 'frame_index' is empty"),
    ({"time": [0.0, 0.1, 0.1]}, "time does not grow"),
    ({"time": [0.0, 0.2, 0.1]}, "time does not grow"),
    ({"time": [0.0, math.nan, 0.2]}, "row 2, column 'time': nan is no finite number"),
    ({"time": [0.0, None, 0.2]}, "row 2, column 'time' is empty"),
    ({"keypoints": [[_pose()[:51]]] * 3}, "row 1, column 'keypoints': .* is no list; each item a list of 399 numbers"),
    ({"keypoints": [_pose()] * 3}, "column 'keypoints': .* is no list"),
    ({"keypoints": [[_pose()], [[math.inf] * 399], None]}, "row 2, column 'keypoints'"),
    ({"keypoints": ["a", "b", "c"]}, "row 1, column 'keypoints': 'a' is no list"),
    ({"keypoint": GOOD["keypoints"], "keypoints": None}, "did you mean 'keypoints'"),
]


@pytest.mark.parametrize(("columns", "message"), BAD)
def test_a_table_that_cannot_drive_is_a_row_that_says_where(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    given = {name: column for name, column in (GOOD | columns).items() if column is not None}
    with pytest.raises(RowError, match=message) as caught:
        _read(tmp_path / "k.parquet", given)
    assert caught.value.reason == "bad_keypoints_table"
    assert "\n" not in caught.value.detail


@pytest.mark.parametrize("size", ["", "1080p", "[1080]", "[0, 64]", "[48, 64, 3]", "[NaN, 4]", "null", '["a", "b"]'])
def test_a_frame_size_that_is_none_is_named(tmp_path: Path, size: str) -> None:
    with pytest.raises(RowError, match="bad_keypoints_table: frame_size in the metadata is"):
        _read(tmp_path / "k.parquet", GOOD, size)


def test_written_poses_drive_as_they_were(tmp_path: Path) -> None:
    """A frame that is held stands in the table once, and is held again by whoever reads it."""
    poses = np.stack([np.stack([_person(x), _person(100 + x)]) for x in (1, 1, 5, 9)])
    pq.write_table(keypoint_table(poses, [4, 4, 7, 9], 8.0, (48, 64)), tmp_path / "poses.parquet")
    drive = read_keypoints(EMPTY | {"driving_keypoints_uri": str(tmp_path / "poses.parquet")}, 8.0, 100)
    assert (drive.height, drive.width, drive.fps) == (48, 64, 8.0)
    assert drive.frame_index == [4, 4, 7, 9]
    np.testing.assert_array_equal(np.stack(drive.poses), poses)
