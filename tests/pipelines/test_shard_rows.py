from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines import shard_rows
from stableanimator.errors import RowError


def _frame(index: int, *, face: tuple[float, float, float, float] | None, people: int = 1) -> shard_rows.MeasuredFrame:
    keypoints = np.full((people, 133, 3), float(index), np.float32)
    faces = np.array([face] if face else [], np.float32).reshape(-1, 4)
    embedding = np.array([1, 0], np.float32) if face else None
    return shard_rows.MeasuredFrame(index=index, keypoints=keypoints, faces=faces, embedding=embedding)


INSIDE = (10.0, 10.0, 20.0, 20.0)
OUTSIDE = (60.0, 10.0, 80.0, 20.0)  # its centre lies right of a picture 64 wide


@given(st.integers(1, 20), st.integers(0, 90))
def test_windows_cover_every_frame_and_fit(size: int, count: int) -> None:
    windows = shard_rows.windows(count, size)
    assert all(len(window) == size and window.start >= 0 and window.stop <= count for window in windows)
    covered = {position for window in windows for position in window}
    assert covered == (set(range(count)) if count >= size else set())
    assert len(windows) == (-(-count // size) if count >= size else 0)


def test_only_the_last_window_overlaps() -> None:
    assert shard_rows.windows(10, 4) == [range(4), range(4, 8), range(6, 10)]
    assert shard_rows.windows(8, 4) == [range(4), range(4, 8)]


def test_candidates_have_a_face_in_the_picture_and_a_skeleton_and_are_spread() -> None:
    frames = [_frame(i, face=INSIDE) for i in range(20)]
    frames[0] = _frame(0, face=None)
    frames[1] = _frame(1, face=OUTSIDE)
    frames[2] = _frame(2, face=INSIDE, people=0)
    assert shard_rows.reference_candidates(frames, (64, 64), 3) == [3, 11, 19]
    assert shard_rows.reference_candidates(frames[:5], (64, 64), 3) == [3, 4]
    assert shard_rows.reference_candidates(frames[:3], (64, 64), 3) == []


def test_references_lie_outside_the_window_where_they_can() -> None:
    assert shard_rows.row_references([1, 5, 9], range(4, 8)) == [1, 9]
    assert shard_rows.row_references([1, 5], range(8)) == [1, 5]


def test_a_mask_marks_the_cells_that_a_box_touches() -> None:
    box = np.array([[9, 16, 17, 24], [-5, 28, 2, 50]], np.float32)  # 8-pixel cells: x 1-2, y 2; x 0, y 3
    expected = np.zeros((4, 5), np.uint8)
    expected[2, 1:3] = 1
    expected[3, 0] = 1
    np.testing.assert_array_equal(shard_rows.face_mask(box, (32, 40), 8), expected)
    assert shard_rows.face_mask(np.zeros((0, 4), np.float32), (32, 40), 8).sum() == 0
    assert shard_rows.face_mask(np.array([[-20, -20, -4, -4]], np.float32), (32, 40), 8).sum() == 0


def test_absent_people_are_missing_points_with_score_zero() -> None:
    people = shard_rows.people_array([_frame(7, face=None, people=3), _frame(8, face=None, people=1)], most=2)
    assert people.shape == (2, 2, 133, 3)
    assert (people[0] == 7).all()
    assert (people[1, 0] == 8).all()
    assert np.isnan(people[1, 1, :, :2]).all()
    assert (people[1, 1, :, 2] == 0).all()


def test_what_16_bits_cannot_hold_is_an_error_with_a_reason() -> None:
    assert shard_rows.half(torch.tensor([65504.0]), "latents")[0] == 65504
    for value in (7e4, float("nan")):
        with pytest.raises(RowError) as caught:
            shard_rows.half(torch.tensor([value]), "latents")
        assert caught.value.reason == "latent_overflow"
