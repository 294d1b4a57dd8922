"""Pictures for the pretraining of encoders: two frames of a clip, cut as encode cuts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.releases import select
from pipelines.shards.pictures import read_pictures, write_pictures
from pipelines.shards.settings import EncodeSettings
from pipelines.storage.store import Collection, Store, media_path
from pipelines.storage.tables import CLIPS, FRAMES
from stableanimator.errors import InputError
from stableanimator.media.video import write_mp4

SETTINGS = EncodeSettings(buckets=((32, 32), (32, 64)), frames_per_row=4, gpus_per_actor=0)


def _frame(shot_id: str, index: int) -> dict[str, Any]:
    keypoints = np.full((133, 3), np.nan, np.float32)
    keypoints[:, 2] = 0
    keypoints[0] = [32, 20, 0.9]
    return {
        "shot_id": shot_id,
        "frame_index": index,
        "time": index / 12,
        "person_boxes": [[0, 0, 64, 64]],
        "person_scores": [0.9],
        "keypoints": [keypoints.ravel().tolist()],
        "face_boxes": [[26.0, 14.0, 38.0, 26.0]],
        "face_scores": [0.9],
        "face_landmarks": [[0.0] * 10],
        "face_embedding": [1.0, 0.0],
    }


@pytest.fixture
def release(tmp_path: Path) -> Collection:
    """Three clips of 12 frames of 64x64: in clip n, frame t is grey 20 + 60 n + 4 t throughout. The second is held out,
    the third lost its video."""
    store = Store(str(tmp_path / "root"))
    clips, frames = [], []
    for number, split in enumerate(("train", "heldout", "train")):
        path = tmp_path / f"{number}.mp4"
        levels = [20 + 60 * number + 4 * time for time in range(12)]
        write_mp4(path, [np.full((64, 64, 3), level, np.uint8) for level in levels], 12)
        video_id = store.put_media(path, ".mp4")[0]
        shot_id = f"{video_id}:0-12"
        clips.append(
            {"shot_id": shot_id, "video_id": video_id, "media": media_path(video_id, ".mp4"), "split": split}
            | {"start": 0, "end": 12, "fps": 12.0, "width": 64, "height": 64, "seconds": 1.0}
        )
        frames += [_frame(shot_id, index) for index in range(12)]
    Path(store.local_path(clips[2]["media"])).write_bytes(b"no video any more")
    tables = {
        "clips": pa.Table.from_pylist(clips, schema=CLIPS),
        "frames": pa.Table.from_pylist(frames, schema=FRAMES),
    }
    return store.commit("releases", content={"version": select.VERSION}, tables=tables, build={})


def test_two_frames_of_every_clip_that_can_be_decoded(release: Collection, tmp_path: Path) -> None:
    pictures = read_pictures(write_pictures(release, SETTINGS, "train", 10, tmp_path / "train"))
    assert pictures.shape == (1, 2, 32, 32, 3)
    # Frames 2 and 9 of 12, a sixth from each end.
    assert pictures.mean((2, 3, 4)).tolist() == [pytest.approx([28, 56], abs=2)]
    held_out = read_pictures(write_pictures(release, SETTINGS, "heldout", 10, tmp_path / "heldout"))
    assert held_out.mean((2, 3, 4)).tolist() == [pytest.approx([88, 116], abs=2)]


def test_what_is_whole_stays_and_what_is_not_is_refused(release: Collection, tmp_path: Path) -> None:
    stem = write_pictures(release, SETTINGS, "train", 10, tmp_path / "train")
    written = stem.with_suffix(".u8").stat().st_mtime_ns
    write_pictures(release, SETTINGS, "train", 10, stem)
    assert stem.with_suffix(".u8").stat().st_mtime_ns == written
    stem.with_suffix(".u8").write_bytes(b"short")
    with pytest.raises(InputError, match="hold no pictures"):
        read_pictures(stem)


def test_a_split_without_clips_is_one_line(release: Collection, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no clip of the split 'test' that fits 32x32"):
        write_pictures(release, SETTINGS, "test", 10, tmp_path / "test")
