from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.shards.measured import measured_clip
from pipelines.shards.plan import plan_clip, row_windows
from pipelines.shards.settings import EncodeSettings
from pipelines.storage.tables import FRAMES


@given(st.integers(1, 20), st.integers(0, 90), st.integers(1, 5))
def test_windows_cover_every_frame_of_their_stride_and_fit(size: int, count: int, stride: int) -> None:
    windows = row_windows(count, size, stride)
    assert all(len(window) == size and window.step == stride for window in windows)
    covered = {position for window in windows for position in window}
    long_enough = (size - 1) * stride < count
    assert covered == (set(range(0, count, stride)) if long_enough else set())
    assert len(windows) == (-(-len(range(0, count, stride)) // size) if long_enough else 0)


def test_only_the_last_window_overlaps() -> None:
    assert row_windows(10, 4) == [range(4), range(4, 8), range(6, 10)]
    assert row_windows(8, 4) == [range(4), range(4, 8)]
    assert [list(window) for window in row_windows(12, 4, 2)] == [[0, 2, 4, 6], [4, 6, 8, 10]]


def _row(index: int, people: int, face: bool, **changed: Any) -> dict[str, Any]:
    poses = [(np.arange(399) + 1000 * index + person).tolist() for person in range(people)]
    faces = {"face_boxes": [[index, 0, 40, 40]] if face else [], "face_embedding": [index, 0.5] if face else None}
    return {"shot_id": "v:0-9", "frame_index": index, "time": index / 8, "keypoints": poses, **faces, **changed}


def _plan(rows: list[dict[str, Any]], **settings: Any) -> Any:
    clip = {"shot_id": "v:0-9", "height": 64, "width": 128}
    table = pa.Table.from_pylist(rows, FRAMES)
    return plan_clip(measured_clip(clip, table), EncodeSettings(buckets=((64, 64),), frames_per_row=3, **settings))


def _standing(index: int, x: float) -> dict[str, Any]:
    """Head, shoulders and hips around `x`, and a face."""
    pose = np.full((133, 3), np.nan)
    pose[:, 2] = 0
    for joint, (dx, y) in {1: (2, 8), 2: (-2, 8), 5: (5, 14), 6: (-5, 14), 11: (3, 26), 12: (-3, 26)}.items():
        pose[joint] = (x + dx, y, 0.9)
    return _row(index, 1, True, keypoints=[pose.ravel()], face_boxes=[[x - 4, 4, x + 4, 12]])


def test_each_crop_and_stride_has_rows_or_a_reason() -> None:
    rows = [_standing(i, 100) for i in range(4)]
    plan = _plan(rows, crops=("centre", "person", "half_body"), strides=(1, 2), max_enlargement=3.0)
    # Of 128 columns the centre is 32 to 96, so the face lies outside; four frames are too few for a stride of 2.
    assert [(line["crop"], line["stride"], line["reason"]) for line in plan.lost] == [
        ("centre", 2, "too_short"),
        ("centre", 1, "no_reference_face"),
        ("person", 2, "too_short"),
        ("half_body", 2, "too_short"),
    ]
    assert plan.lost[0]["detail"] == "4 measured frames, a row needs 5"
    person, half_body = plan.crops
    assert (person.crop, person.bucket, person.framing.left) == ("person", "64x64", 64)
    assert (half_body.crop, half_body.row_count, list(half_body.windows)) == ("half_body", 2, [1])
    assert 2 < half_body.framing.enlargement <= 3


def test_a_cut_that_shows_the_same_again_is_left_out() -> None:
    plan = _plan([_standing(i, 62) for i in range(3)], crops=("centre", "person"))
    assert [crop.crop for crop in plan.crops] == ["centre"]
    assert [(line["reason"], line["detail"]) for line in plan.lost] == [("same_cut", "nearly that of centre")]


@pytest.mark.parametrize(("limit", "reason"), [(0.99, "too_small"), (1.0, None)])
def test_pixels_are_enlarged_up_to_the_limit(limit: float, reason: str | None) -> None:
    plan = _plan([_standing(i, 64) for i in range(3)], max_enlargement=limit)
    assert [line["reason"] for line in plan.lost] == ([reason] if reason else [])
