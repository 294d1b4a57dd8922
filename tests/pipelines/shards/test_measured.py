from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.shards.measured import measured_clip, measured_frames
from pipelines.storage.tables import FRAMES


def _row(index: int, people: int, face: bool, **changed: Any) -> dict[str, Any]:
    poses = [(np.arange(399) + 1000 * index + person).tolist() for person in range(people)]
    faces = {"face_boxes": [[index, 0, 40, 40]] if face else [], "face_embedding": [index, 0.5] if face else None}
    return {"shot_id": "v:0-9", "frame_index": index, "time": index / 8, "keypoints": poses, **faces, **changed}


def test_frames_without_a_measure_are_left_out_and_the_rest_come_in_order() -> None:
    rows = [_row(6, 2, True), _row(2, 0, False), _row(4, 1, True), _row(5, 1, True, keypoints=None)]
    rows.append(_row(3, 1, True, face_boxes=None))
    both = pa.concat_tables([pa.Table.from_pylist(rows[:2], FRAMES), pa.Table.from_pylist(rows[2:], FRAMES)])
    frames = measured_frames(both)
    assert [(frame.index, frame.time) for frame in frames] == [(2, 0.25), (4, 0.5), (6, 0.75)]
    assert [frame.keypoints.shape for frame in frames] == [(0, 133, 3), (1, 133, 3), (2, 133, 3)]
    assert [frame.faces.tolist() for frame in frames] == [[], [[4, 0, 40, 40]], [[6, 0, 40, 40]]]
    assert frames[0].embedding is None
    assert frames[2].embedding is not None
    assert frames[2].embedding.tolist() == [6, 0.5]
    assert frames[2].keypoints[1, 0].tolist() == [6001, 6002, 6003]
    assert measured_frames(FRAMES.empty_table()) == []


def test_a_clips_rate_is_that_of_its_measured_frames() -> None:
    """Pauses do not count; of a single frame the video's rate is all that is known."""
    clip = {"shot_id": "v:0-9", "fps": 25.0, "height": 40, "width": 60}
    rows = [_row(index, index % 2, True) for index in (0, 1, 2, 3, 20, 21)]
    other = _row(4, 1, True, shot_id="v:9-12", time=0.1)
    measured = measured_clip(clip, pa.Table.from_pylist([*rows, other], FRAMES))
    assert measured.fps == pytest.approx(8)
    assert (measured.shot_id, measured.size) == ("v:0-9", (40, 60))
    assert [pose[0, 0] for pose in measured.main] == [1000, 3000, 21000]
    assert measured_clip(clip, pa.Table.from_pylist(rows[:1], FRAMES)).fps == 25
