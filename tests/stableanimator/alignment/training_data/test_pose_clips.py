from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stableanimator.alignment.training_data.pose_clips import PoseClips, write_pose_clips
from stableanimator.errors import InputError


def poses(frames: int, seed: int) -> np.ndarray:
    made = np.random.default_rng(seed).uniform(0, 1, (frames, 18, 3)).astype(np.float32)
    made[::2, 3] = (np.nan, np.nan, 0)
    return made


CLIPS = [("a", poses(5, 0)), ("nobody", poses(0, 1)), ("b", poses(3, 2))]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    clips = PoseClips(write_pose_clips(tmp_path / "deep" / "train", iter(CLIPS)))
    assert clips.names == ["a", "nobody", "b"]
    assert len(clips) == 3
    for found, (_, expected) in zip(clips, CLIPS, strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(clips[-1], CLIPS[2][1])
    np.testing.assert_array_equal(clips[1:][1], CLIPS[2][1])
    with pytest.raises(IndexError):
        clips[3]


def test_the_frames_file_is_plain_float32(tmp_path: Path) -> None:
    write_pose_clips(tmp_path / "train", CLIPS)
    raw = np.fromfile(tmp_path / "train.f32", "<f4").reshape(-1, 18, 3)
    np.testing.assert_array_equal(raw, np.concatenate([clip for _, clip in CLIPS]))
    assert json.loads((tmp_path / "train.json").read_text()) == {"names": ["a", "nobody", "b"], "frames": [5, 0, 3]}


def test_several_files_follow_one_another(tmp_path: Path) -> None:
    write_pose_clips(tmp_path / "one", CLIPS)
    write_pose_clips(tmp_path / "none", [])
    write_pose_clips(tmp_path / "two", [("c", poses(4, 3)), ("d", poses(2, 4))])
    clips = PoseClips(*(tmp_path / name for name in ("one", "none", "two")))
    assert clips.names == ["a", "nobody", "b", "c", "d"]
    np.testing.assert_array_equal(clips[2], CLIPS[2][1])
    np.testing.assert_array_equal(clips[3], poses(4, 3))
    np.testing.assert_array_equal(clips[4], poses(2, 4))
    assert len(PoseClips()) == 0


def test_clips_are_mapped_and_not_writable(tmp_path: Path) -> None:
    clips = PoseClips(write_pose_clips(tmp_path / "train", CLIPS))
    assert isinstance(clips[0], np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        clips[0][0, 0, 0] = 1


def test_it_travels_as_paths(tmp_path: Path) -> None:
    clips = PoseClips(write_pose_clips(tmp_path / "train", [("long", poses(2000, 0))]))
    np.testing.assert_array_equal(clips[0], poses(2000, 0))  # mapped before it travels
    sent = pickle.dumps(clips)
    assert len(sent) < 1000
    assert pickle.loads(sent).names == ["long"]
    np.testing.assert_array_equal(pickle.loads(sent)[0], poses(2000, 0))


def test_stems_may_have_dots(tmp_path: Path) -> None:
    write_pose_clips(tmp_path / "dance.v1", CLIPS[:1])
    write_pose_clips(tmp_path / "dance.v2", CLIPS[2:])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("dance.v1.f32", "dance.v1.json", "dance.v2.f32", "dance.v2.json")
    ]
    assert PoseClips(tmp_path / "dance.v1", tmp_path / "dance.v2").names == ["a", "b"]


def test_an_interrupted_writing_leaves_nothing_to_read(tmp_path: Path) -> None:
    stem = write_pose_clips(tmp_path / "train", CLIPS)

    def cut_short() -> Iterator[tuple[str, np.ndarray]]:
        yield "other", poses(8, 9)  # as many frames as before
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_pose_clips(stem, cut_short())
    with pytest.raises(InputError, match="hold no poses"):
        PoseClips(stem)


def _truncate(stem: Path) -> None:
    data = stem.with_suffix(".f32").read_bytes()
    stem.with_suffix(".f32").write_bytes(data[:-4])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_truncate, r"train\.f32 has 1724 bytes, not those of 8 poses; write it again"),
        (lambda stem: stem.with_suffix(".f32").unlink(), "hold no poses"),
        (lambda stem: stem.with_suffix(".json").unlink(), "hold no poses"),
        (lambda stem: stem.with_suffix(".json").write_text('{"names": ['), "hold no poses"),
        (lambda stem: stem.with_suffix(".json").write_text('{"names": []}'), "hold no poses"),
        (lambda stem: stem.with_suffix(".json").write_text("[1, 2]"), "hold no poses"),
        (lambda stem: stem.with_suffix(".json").write_text('{"names": ["a"], "frames": [5, 3]}'), "hold no poses"),
        (lambda stem: stem.with_suffix(".json").write_text('{"names": ["a"], "frames": ["many"]}'), "hold no poses"),
    ],
)
def test_files_that_are_not_whole_are_refused_in_one_line(tmp_path: Path, damage: object, message: str) -> None:
    stem = write_pose_clips(tmp_path / "train", CLIPS)
    damage(stem)  # type: ignore[operator]
    with pytest.raises(InputError, match=message) as caught:
        PoseClips(stem)
    assert "\n" not in str(caught.value)
    assert str(stem) in str(caught.value)
