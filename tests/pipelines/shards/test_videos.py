from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.shards.settings import EncodeSettings
from pipelines.shards.videos import videos_of
from pipelines.storage.store import Collection, Store
from pipelines.storage.tables import CLIPS, FRAMES

SAME_PERSON = EncodeSettings(references="same_person")


def _release(root: Path, clips: list[dict[str, Any]], frames: list[dict[str, Any]]) -> Collection:
    tables = {"clips": pa.Table.from_pylist(clips, CLIPS), "frames": pa.Table.from_pylist(frames, FRAMES)}
    return Store(str(root)).commit("releases", content={}, tables=tables, build={})


def test_each_video_comes_with_its_own_rows_wherever_they_lie(tmp_path: Path) -> None:
    clips = [{"shot_id": shot, "video_id": shot[0]} for shot in ("b1", "a2", "b2", "a1", "c1")]
    shots = ["b1", "a1", "b1", "rejected", "a2", "b2", "a1", "b1"]
    frames = [{"shot_id": shot, "frame_index": index} for index, shot in enumerate(shots)]
    release = _release(tmp_path, clips, frames)
    found = [
        (video.video_id, video.clips["shot_id"].to_pylist(), video.frames["frame_index"].to_pylist())
        for video in videos_of(release, EncodeSettings())
    ]
    assert found == [("a", ["a2", "a1"], [1, 4, 6]), ("b", ["b1", "b2"], [0, 2, 5, 7]), ("c", ["c1"], [])]


def _face(shot: str, index: int, degrees: float) -> dict[str, Any]:
    embedding = [20 * np.cos(np.radians(degrees)), 20 * np.sin(np.radians(degrees))]
    return {"shot_id": shot, "frame_index": index, "keypoints": [], "face_boxes": [], "face_embedding": embedding}


def test_videos_come_with_the_clips_that_lend_to_theirs_and_follow_their_rows(tmp_path: Path) -> None:
    who = {"a1": "p", "b1": "p", "b2": "q", "c1": "q"}
    clips = [{"shot_id": shot, "video_id": shot[0], "split": "train", "person": own} for shot, own in who.items()]
    frames = [_face("a1", 0, 0), _face("b1", 1, 5), _face("b2", 2, 90), _face("c1", 3, 80)]
    videos = {video.video_id: video for video in videos_of(_release(tmp_path, clips, frames), SAME_PERSON)}
    assert {name: video.lenders for name, video in videos.items()} == {
        "a": {"a1": ["b1"]},
        "b": {"b1": ["a1"], "b2": ["c1"]},
        "c": {"c1": ["b2"]},
    }
    assert videos["a"].lent_clips["shot_id"].to_pylist() == ["b1"]
    assert videos["b"].lent_frames["frame_index"].to_pylist() == [0, 3]
    # Another frame of b1 is another key for what is made of a, which borrows it, and not of c.
    frames[1] |= {"time": 0.5}
    again = {video.video_id: video for video in videos_of(_release(tmp_path, clips, frames), SAME_PERSON)}
    changed = {name for name, video in videos.items() if video.rows_sha256 != again[name].rows_sha256}
    assert changed == {"a", "b"}
    # Another name of a person is none.
    renamed = [clip | {"person": clip["person"] + "'"} for clip in clips]
    named = {video.video_id: video for video in videos_of(_release(tmp_path, renamed, frames), SAME_PERSON)}
    assert {name: video.rows_sha256 for name, video in named.items()} == {
        name: video.rows_sha256 for name, video in again.items()
    }


def test_without_the_setting_nobody_lends(tmp_path: Path) -> None:
    clips = [{"shot_id": shot, "video_id": shot[0], "split": "train", "person": "p"} for shot in ("a1", "b1")]
    (a, b) = videos_of(_release(tmp_path, clips, [_face("a1", 0, 0), _face("b1", 1, 0)]), EncodeSettings())
    assert (a.lenders, b.lent_clips.num_rows, b.lent_frames.num_rows) == ({}, 0, 0)
